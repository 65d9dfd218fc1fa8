//! Every key under a prefix, shard by shard, page by page.
//!
//! A slot that changes hands under a scan can hide its keys from it, so that the owners are looked at again when the
//! last page is read, and the scan starts over where they have changed. Keys of a slot that is on its way just then
//! may still be overlooked: Redis has no scan of a whole cluster.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use crate::model::limits::{ADMIN_TIMEOUT, RETRY_BACKOFF_MAX, SCAN_PAGE_KEYS};
use crate::shard::{Command, Reply, Target};
use crate::slot::{NodeAddr, Shard, Slot, Topology};

use super::Engine;
use super::error::StoreError;

/// Times a scan starts over.
const RESTARTS_MAX: usize = 5;

/// A scan under way.
pub(super) struct Scan<'a> {
    engine: &'a Engine,
    pattern: String,
    topology: Arc<Topology>,
    shard: usize,
    cursor: Vec<u8>,
    restarts: usize,
}

/// What a scan gives next.
pub(super) enum Page {
    /// Keys; some may come twice.
    Keys(Vec<Vec<u8>>),
    /// Slots changed hands: every key comes again.
    Restart,
}

impl<'a> Scan<'a> {
    /// A scan of every key that begins with `prefix`.
    pub(super) fn new(engine: &'a Engine, prefix: &str) -> Self {
        let pattern = [escape_glob(prefix), "*".to_owned()].concat();
        Self { engine, pattern, topology: engine.cluster.topology(), shard: 0, cursor: start(), restarts: 0 }
    }

    /// The next page; `None` where every key was given.
    pub(super) async fn next(&mut self) -> Result<Option<Page>, StoreError> {
        let Some(shard) = self.topology.shards().get(self.shard) else { return self.end_of_round().await };
        let (cursor, keys) = self.page(shard).await?;
        if cursor == start() {
            self.shard += 1;
        }
        self.cursor = cursor;
        Ok(Some(Page::Keys(keys)))
    }

    async fn end_of_round(&mut self) -> Result<Option<Page>, StoreError> {
        if self.owners_are_as_planned().await {
            return Ok(None);
        }
        self.restarts += 1;
        if self.restarts > RESTARTS_MAX {
            return Err(StoreError::Broken(
                "slots kept changing hands; keys may have been overlooked".to_owned(),
            ));
        }
        self.engine.cluster.refresh(self.topology.version()).await;
        self.topology = self.engine.cluster.topology();
        (self.shard, self.cursor) = (0, start());
        Ok(Some(Page::Restart))
    }

    /// Asks every primary who owns which slot.
    async fn owners_are_as_planned(&self) -> bool {
        let asked = self.topology.shards().iter().map(|shard| async {
            let target = Target::Shard(Arc::clone(shard));
            let asking = self.engine.cluster.send(&target, [Command::new("CLUSTER").arg("SLOTS")], None);
            let Ok(Ok(mut answer)) = timeout(self.engine.options.request_timeout, asking).await else {
                return false;
            };
            let slots = answer.replies.pop().and_then(Result::ok).and_then(Reply::into_array);
            answer.node == shard.primary
                && slots.is_some_and(|ranges| {
                    ranges
                        .into_iter()
                        .all(|range| is_as_planned(range, &answer.node, &self.topology) == Some(true))
                })
        });
        join_all(asked).await.into_iter().all(|as_planned| as_planned)
    }

    async fn page(&self, shard: &Arc<Shard>) -> Result<(Vec<u8>, Vec<Vec<u8>>), StoreError> {
        let target = Target::Shard(Arc::clone(shard));
        let mut last = "no answer".to_owned();
        let attempts = async {
            loop {
                let scan =
                    Command::new("SCAN").arg(&self.cursor).arg("MATCH").arg(&self.pattern).arg("COUNT");
                match self.engine.cluster.send(&target, [scan.number(SCAN_PAGE_KEYS as u64)], None).await {
                    Ok(mut answer) if answer.node == shard.primary => match answer.replies.pop() {
                        Some(Ok(reply)) => return page(reply),
                        other => last = format!("{other:?}"),
                    },
                    Ok(_) => last = "not connected".to_owned(),
                    Err(fault) => last = fault.to_string(),
                }
                tokio::time::sleep(RETRY_BACKOFF_MAX).await;
            }
        };
        let limit: Duration = ADMIN_TIMEOUT;
        match timeout(limit, attempts).await {
            Ok(Some(page)) => Ok(page),
            Ok(None) => {
                Err(StoreError::Broken(format!("{} answers SCAN in an unknown shape", shard.primary)))
            }
            Err(_) => Err(StoreError::Broken(format!("{}: {last}", shard.primary))),
        }
    }
}

/// The cursor of a new scan, and of one that is over.
fn start() -> Vec<u8> {
    b"0".to_vec()
}

fn page(reply: Reply) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let [cursor, keys] = <[Reply; 2]>::try_from(reply.into_array()?).ok()?;
    let keys = keys.into_array()?.iter().filter_map(|key| Some(key.as_bytes()?.to_vec())).collect();
    Some((cursor.as_bytes()?.to_vec(), keys))
}

/// Does a range of `CLUSTER SLOTS` have the owner that the topology names? It is first, last, primary, replicas.
fn is_as_planned(range: Reply, answered_by: &NodeAddr, topology: &Topology) -> Option<bool> {
    let range = range.into_array()?;
    let [first, last, primary, ..] = &range[..] else { return None };
    let Reply::Array(primary) = primary else { return None };
    let host = primary.first()?.as_str().filter(|host| !host.is_empty()).unwrap_or(&answered_by.host);
    let owner = NodeAddr::new(host, u16::try_from(primary.get(1)?.as_i64()?).ok()?);
    let (first, last) = (u16::try_from(first.as_i64()?).ok()?, u16::try_from(last.as_i64()?).ok()?);
    let owned = |slot| Some(topology.shard_of(Slot::new(slot)?)?.primary == owner);
    Some((first..=last).all(|slot| owned(slot) == Some(true)))
}

/// Takes the special meaning from the characters that `MATCH` gives one.
fn escape_glob(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_with_glob_characters_matches_only_itself() {
        assert_eq!(escape_glob("fs:user:"), "fs:user:");
        assert_eq!(escape_glob("a*b?[c]\\"), "a\\*b\\?\\[c\\]\\\\");
    }

    #[test]
    fn a_range_with_another_owner_is_seen() {
        let node = |port| NodeAddr::new("h", port);
        let slot = |number| Slot::new(number).unwrap();
        let shard = |port, first, last| Shard {
            primary: node(port),
            replicas: Vec::new(),
            ranges: vec![(slot(first), slot(last))],
        };
        let topology = Topology::new(1, vec![shard(1, 0, 99), shard(2, 100, 16_383)]).unwrap();
        let range = |first, last, host: &str, port| {
            let primary = Reply::Array(vec![Reply::Bytes(host.into()), Reply::Int(port)]);
            is_as_planned(
                Reply::Array(vec![Reply::Int(first), Reply::Int(last), primary]),
                &node(9),
                &topology,
            )
        };
        assert_eq!(range(0, 99, "h", 1), Some(true));
        assert_eq!(range(0, 99, "", 1), Some(true), "an empty host is the host of the node that answers");
        assert_eq!(range(0, 100, "h", 1), Some(false));
        assert_eq!(range(0, 99, "h", 2), Some(false));
        assert_eq!(is_as_planned(Reply::Nil, &node(9), &topology), None);
    }
}

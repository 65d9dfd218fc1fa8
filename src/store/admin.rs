//! The whole of an entity kind: list, count, delete, reset; and whether the cluster is ready.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use crate::model::EntityId;
use crate::model::limits::{ADMIN_TIMEOUT, RETRY_BACKOFF_MAX, SCAN_PAGE_KEYS};
use crate::shard::{Command, Reply, Target};
use crate::slot::{KeySet, SLOT_COUNT, Shard, Topology};

use super::FeatureStore;
use super::error::{RequestError, StoreError};
use super::keyed::Repeat;

/// Times a scan starts again because slots changed hands under it.
const SCAN_RESTARTS_MAX: usize = 5;
/// Times `reset` looks for keys that were written while it deleted.
const RESET_ROUNDS_MAX: usize = 5;

/// Whether the cluster can answer for every key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// True where every slot has an owner that answers and says that the cluster is ok.
    pub ready: bool,
    /// What is wrong, per shard; empty where nothing is.
    pub problems: Vec<String>,
}

impl FeatureStore {
    /// The ids of this kind, sorted. Reads every key name under the prefix: not for the request path.
    pub async fn list_entity_ids(&self) -> Result<Vec<EntityId>, StoreError> {
        let mut ids = BTreeSet::new();
        let layout = self.layout();
        self.scan(|_, keys| {
            let known = keys.iter().filter_map(|key| EntityId::new(layout.id_of_key(key)?).ok());
            ids.extend(known);
        })
        .await?;
        Ok(ids.into_iter().collect())
    }

    /// How many entities of this kind there are. Reads every key name under the prefix.
    pub async fn count_entities(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        let layout = self.layout();
        self.scan(|start, keys| {
            if start {
                count = 0;
            }
            count += keys.iter().filter(|key| layout.id_of_key(key).is_some()).count() as u64;
        })
        .await?;
        Ok(count)
    }

    /// Deletes an entity, wherever its key lies: plain or under a tag of a cohort. True where there was one.
    pub async fn delete_entity(&self, id: &EntityId) -> Result<bool, StoreError> {
        let layout = self.layout();
        layout.key(id).map_err(RequestError::from)?;
        let mut keys = vec![layout.plain_key(id)];
        keys.extend(layout.cohorts().tags().iter().map(|tag| layout.tagged_key(tag, id)));
        Ok(self.unlink(&keys).await? > 0)
    }

    /// Deletes every key under this kind's prefix. Returns how many there were.
    pub async fn reset(&self) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for _ in 0..RESET_ROUNDS_MAX {
            let mut keys = Vec::new();
            self.scan(|_, page| keys.extend(page)).await?;
            if keys.is_empty() {
                return Ok(deleted);
            }
            deleted += self.unlink(&keys).await?;
        }
        Err(StoreError::Broken(format!(
            "{deleted} keys under {:?} were deleted, but new ones keep coming; stop the writers first",
            self.kind.options.prefix
        )))
    }

    /// Asks every primary whether the cluster is well; takes `limit` at most.
    pub async fn readiness(&self, limit: Duration) -> Readiness {
        let topology = self.topology();
        let mut problems = Vec::new();
        let covered = topology.slots_covered();
        if covered != usize::from(SLOT_COUNT) {
            problems.push(format!("{covered} of {SLOT_COUNT} slots have an owner"));
        }
        let checks = topology.shards().iter().map(|shard| async move {
            let problem = match timeout(limit, self.shard_problem(shard)).await {
                Ok(problem) => problem?,
                Err(_) => format!("no answer within {limit:?}"),
            };
            Some(format!("{}: {problem}", shard.primary))
        });
        problems.extend(join_all(checks).await.into_iter().flatten());
        if !problems.is_empty() {
            self.engine.cluster.request_refresh();
        }
        Readiness { ready: problems.is_empty(), problems }
    }

    async fn shard_problem(&self, shard: &Shard) -> Option<String> {
        let target = Target::Shard(shard.clone().into());
        let answer = match self.engine.cluster.send(&target, [Command::new("CLUSTER").arg("INFO")]).await {
            Ok(answer) => answer,
            Err(fault) => return Some(fault.to_string()),
        };
        if answer.node != shard.primary {
            return Some("not connected".to_owned());
        }
        match answer.replies.first() {
            Some(Ok(info)) if info.as_str().is_some_and(|info| info.contains("cluster_state:ok")) => None,
            Some(Ok(_)) => Some("the cluster is down in its view".to_owned()),
            Some(Err(fault)) => Some(format!("{fault:?}")),
            None => Some("an empty answer".to_owned()),
        }
    }

    async fn unlink(&self, keys: &[Vec<u8>]) -> Result<u64, StoreError> {
        let keys = KeySet::of_keys(keys).map_err(RequestError::from)?;
        let unlink = |key| vec![Command::new("UNLINK").arg(keys.key(key))];
        let mut deleted = 0;
        for answer in self.engine.run_commands(&keys, &unlink, 1, Repeat::Yes, ADMIN_TIMEOUT).await {
            deleted += answer?.iter().filter(|reply| reply.as_i64() == Some(1)).count() as u64;
        }
        Ok(deleted)
    }

    /// Gives `on_page` every key under the prefix, page by page; a key may come twice. The flag is true on the
    /// first page, and again where the scan had to start over because slots changed hands.
    async fn scan(&self, mut on_page: impl FnMut(bool, Vec<Vec<u8>>) + Send) -> Result<(), StoreError> {
        for _ in 0..SCAN_RESTARTS_MAX {
            let topology = self.topology();
            let mut start = true;
            for shard in topology.shards() {
                let mut cursor = b"0".to_vec();
                loop {
                    let (next, keys) = self.scan_page(shard, &cursor).await?;
                    on_page(std::mem::take(&mut start), keys);
                    if next == b"0" {
                        break;
                    }
                    cursor = next;
                }
            }
            self.engine.cluster.refresh(self.topology().version()).await;
            if same_owners(&topology, &self.topology()) {
                return Ok(());
            }
        }
        Err(StoreError::Broken("slots kept changing hands; keys may have been overlooked".to_owned()))
    }

    async fn scan_page(&self, shard: &Shard, cursor: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>), StoreError> {
        let pattern = [escape_glob(&self.kind.options.prefix), "*".to_owned()].concat();
        let target = Target::Shard(shard.clone().into());
        let mut last = "no answer".to_owned();
        let attempts = async {
            loop {
                let scan = Command::new("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT");
                match self.engine.cluster.send(&target, [scan.number(SCAN_PAGE_KEYS as u64)]).await {
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
        match timeout(ADMIN_TIMEOUT, attempts).await {
            Ok(Some(page)) => Ok(page),
            Ok(None) => {
                Err(StoreError::Broken(format!("{} answers SCAN in an unknown shape", shard.primary)))
            }
            Err(_) => Err(StoreError::Broken(format!("{}: {last}", shard.primary))),
        }
    }
}

fn page(reply: Reply) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let [cursor, keys] = <[Reply; 2]>::try_from(reply.into_array()?).ok()?;
    let keys = keys.into_array()?.iter().filter_map(|key| Some(key.as_bytes()?.to_vec())).collect();
    Some((cursor.as_bytes()?.to_vec(), keys))
}

fn same_owners(before: &Topology, after: &Topology) -> bool {
    let owners = |topology: &Topology| -> Vec<_> {
        topology.shards().iter().map(|shard| (shard.primary.clone(), shard.ranges.clone())).collect()
    };
    owners(before) == owners(after)
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
}

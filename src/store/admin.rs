//! The whole of an entity kind: list, count, delete, reset; and whether the cluster is ready.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ahash::{AHashSet, RandomState};
use futures::future::join_all;
use tokio::time::timeout;

use crate::model::EntityId;
use crate::model::limits::{ADMIN_TIMEOUT, READINESS_REMEMBERED};
use crate::shard::{Command, Target};
use crate::slot::{KeySet, NodeAddr, SLOT_COUNT, Shard};

use super::FeatureStore;
use super::error::{RequestError, StoreError};
use super::fan_out::Effect;
use super::keyed::Commands;
use super::options::ReadFrom;
use super::scan::{Page, Scan};

/// Times `reset` looks for keys that were written while it deleted.
const RESET_ROUNDS_MAX: usize = 5;

/// Whether the cluster can answer for every key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// True where the rows of every slot can be read: of a primary that answers and says that the cluster is ok, or of a
    /// replica where `read_from` allows it.
    pub ready: bool,
    /// What is wrong, per shard, also where a replica stands in; empty where nothing is.
    pub problems: Vec<String>,
}

impl FeatureStore {
    /// The ids of this kind, sorted. Reads every key name under the prefix: not for the request path. During a reshard
    /// some may be overlooked.
    pub async fn list_entity_ids(&self) -> Result<Vec<EntityId>, StoreError> {
        let mut ids = BTreeSet::new();
        let layout = self.layout();
        let mut scan = self.scan();
        while let Some(page) = scan.next().await? {
            if let Page::Keys(keys) = page {
                ids.extend(keys.iter().filter_map(|key| EntityId::new(layout.id_of_key(key)?).ok()));
            }
        }
        Ok(ids.into_iter().collect())
    }

    /// How many entities of this kind there are. Reads every key name under the prefix; keeps eight bytes of each, so
    /// that a key that a scan gives twice is counted once. During a reshard some may be overlooked.
    pub async fn count_entities(&self) -> Result<u64, StoreError> {
        let mut seen: AHashSet<u64> = AHashSet::new();
        let hasher = RandomState::new();
        let layout = self.layout();
        let mut scan = self.scan();
        while let Some(page) = scan.next().await? {
            match page {
                Page::Restart => seen.clear(),
                Page::Keys(keys) => {
                    seen.extend(keys.iter().filter_map(|key| Some(hasher.hash_one(layout.id_of_key(key)?))));
                }
            }
        }
        Ok(seen.len() as u64)
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
            let mut found = false;
            let mut scan = self.scan();
            while let Some(page) = scan.next().await? {
                if let Page::Keys(keys) = page
                    && !keys.is_empty()
                {
                    found = true;
                    deleted += self.unlink(&keys).await?;
                }
            }
            if !found {
                return Ok(deleted);
            }
        }
        Err(StoreError::Broken(format!(
            "{deleted} keys under {:?} were deleted, but new ones keep coming; stop the writers first",
            self.kind.options.prefix
        )))
    }

    /// Asks every primary whether the cluster is well, and the replicas of one that is not; takes `limit` at most. One
    /// look at a time, and what it found counts for [`READINESS_REMEMBERED`].
    pub async fn readiness(&self, limit: Duration) -> Readiness {
        let mut last = self.engine.readiness.lock().await;
        if let Some((at, readiness)) = &*last
            && at.elapsed() < READINESS_REMEMBERED
        {
            return readiness.clone();
        }
        let readiness = self.look_for_problems(limit).await;
        *last = Some((Instant::now(), readiness.clone()));
        readiness
    }

    async fn look_for_problems(&self, limit: Duration) -> Readiness {
        let topology = self.topology();
        let (mut ready, mut problems) = (true, Vec::new());
        let covered = topology.slots_covered();
        if covered != usize::from(SLOT_COUNT) {
            ready = false;
            problems.push(format!("{covered} of {SLOT_COUNT} slots have an owner"));
        }
        let checks = topology.shards().iter().map(|shard| async move {
            let problem = self.node_problem(&shard.primary, limit / 2).await?;
            Some((self.replica_that_answers(shard, limit / 2).await, format!("{}: {problem}", shard.primary)))
        });
        for (stands_in, problem) in join_all(checks).await.into_iter().flatten() {
            match stands_in {
                Some(replica) => problems.push(format!("{problem}; reads come from {replica}")),
                None => {
                    ready = false;
                    problems.push(problem);
                }
            }
        }
        if !problems.is_empty() {
            self.engine.cluster.request_refresh();
        }
        Readiness { ready, problems }
    }

    /// A replica of which the shard's rows can be read meanwhile.
    async fn replica_that_answers(&self, shard: &Shard, limit: Duration) -> Option<NodeAddr> {
        if self.engine.options.read_from == ReadFrom::Primary {
            return None;
        }
        let asked = shard.replicas.iter().map(|replica| async move {
            self.node_problem(replica, limit).await.is_none().then(|| replica.clone())
        });
        join_all(asked).await.into_iter().flatten().next()
    }

    async fn node_problem(&self, node: &NodeAddr, limit: Duration) -> Option<String> {
        let target = Target::Redirect { node: node.clone(), asking: false };
        let asking = self.engine.cluster.send(&target, [Command::new("CLUSTER").arg("INFO")], None);
        let answer = match timeout(limit, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(fault)) => return Some(fault.to_string()),
            Err(_) => return Some(format!("no answer within {limit:?}")),
        };
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
        let effect = Effect::SameTwice;
        let commands = Commands { of: &unlink, count: &|_| 1, effect, confirm: None, sent: None };
        let mut deleted = 0;
        for answer in self.engine.run_commands(&keys, commands, ADMIN_TIMEOUT).await {
            deleted += answer?.iter().filter(|reply| reply.as_i64() == Some(1)).count() as u64;
        }
        Ok(deleted)
    }

    fn scan(&self) -> Scan<'_> {
        Scan::new(&self.engine, &self.kind.options.prefix)
    }
}

//! The whole of an entity kind: list, count, delete, reset; and whether the cluster is ready.

use std::collections::BTreeSet;
use std::time::Duration;

use ahash::{AHashSet, RandomState};
use futures::future::join_all;
use tokio::time::timeout;

use crate::model::EntityId;
use crate::model::limits::ADMIN_TIMEOUT;
use crate::shard::{Command, Target};
use crate::slot::{KeySet, SLOT_COUNT, Shard};

use super::FeatureStore;
use super::error::{RequestError, StoreError};
use super::fan_out::Effect;
use super::scan::{Page, Scan};

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
        // Beside the cluster connection, which keeps everybody waiting while it looks for a silent node.
        let target = Target::Redirect { node: shard.primary.clone(), asking: false };
        let answer = match self.engine.cluster.send(&target, [Command::new("CLUSTER").arg("INFO")]).await {
            Ok(answer) => answer,
            Err(fault) => return Some(fault.to_string()),
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
        let mut deleted = 0;
        for answer in self.engine.run_commands(&keys, &unlink, 1, Effect::SameTwice, ADMIN_TIMEOUT).await {
            deleted += answer?.iter().filter(|reply| reply.as_i64() == Some(1)).count() as u64;
        }
        Ok(deleted)
    }

    fn scan(&self) -> Scan<'_> {
        Scan::new(&self.engine, &self.kind.options.prefix)
    }
}

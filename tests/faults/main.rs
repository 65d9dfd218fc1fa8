//! Servers that stall, die or refuse: the answer comes within its deadline, says what is wrong, and all is well again
//! by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../support/mod.rs"]
pub(crate) mod support;

mod away;
mod cancelled;
mod failover;
mod killed;
mod stalled;
mod unreachable;

use std::time::Duration;

use slotwise::FeatureStore;
use slotwise::devcluster::{ClusterSpec, LocalCluster};
use slotwise::model::{EntityId, FeatureBatch, RowStatus};
use slotwise::shard::node::NodeClient;
use slotwise::slot::NodeAddr;

use support::features::{Oracle, ids, kind, names, store, value_of};
use support::{server, start, unique_prefix};

/// Time by which an answer may miss its deadline.
pub(crate) const LATE_MAX: Duration = Duration::from_millis(100);

/// Three shards; the slots of two go on being served while the third is away.
pub(crate) async fn cluster() -> LocalCluster {
    let mut spec = ClusterSpec::new(server().await, 3);
    spec.extra_config.push(("cluster-require-full-coverage".to_owned(), "no".to_owned()));
    start(spec).await
}

/// 600 entities with their values, and a store that reads them.
pub(crate) struct Scene {
    pub(crate) prefix: String,
    pub(crate) store: FeatureStore,
    pub(crate) ids: Vec<EntityId>,
}

impl Scene {
    pub(crate) async fn new(cluster: &LocalCluster) -> Self {
        let (prefix, ids) = (unique_prefix(), ids("u", 0..600));
        Oracle::of(cluster).await.fill(&prefix, &ids).await;
        Self { store: store(cluster, kind(&prefix)).await, prefix, ids }
    }

    pub(crate) async fn read(&self, timeout_ms: u64) -> FeatureBatch {
        self.read_of(&self.ids, timeout_ms).await
    }

    pub(crate) async fn read_of(&self, ids: &[EntityId], timeout_ms: u64) -> FeatureBatch {
        let timeout = Some(Duration::from_millis(timeout_ms));
        self.store.batch_get_features(ids, names(&["v"]), timeout).await.unwrap()
    }

    /// The entities that lie on a node, and those that do not.
    pub(crate) fn split(&self, node: &NodeAddr) -> (Vec<EntityId>, Vec<EntityId>) {
        let topology = self.store.topology();
        let on_node = |id: &EntityId| {
            let key = self.store.layout().key(id).unwrap();
            topology.shard_of(slotwise::slot::Slot::for_key(&key)).unwrap().primary == *node
        };
        self.ids.iter().cloned().partition(on_node)
    }

    /// Has the replica every key of its primary?
    pub(crate) async fn replicated(&self, primary: &NodeClient, replica: &NodeClient) -> bool {
        let keys = async |node: &NodeClient| node.call(&["DBSIZE"]).await.unwrap().as_i64().unwrap();
        keys(primary).await == keys(replica).await
    }

    /// The rows of `away` are unavailable with a reason that names the node, all others are found.
    pub(crate) fn assert_only_these_are_unavailable(
        &self,
        batch: &FeatureBatch,
        away: &[EntityId],
        node: &NodeAddr,
    ) {
        for row in batch.rows() {
            if away.contains(row.id) {
                assert_eq!(row.status, RowStatus::Unavailable, "{}", row.id);
                let reason = row.reason.unwrap().to_string();
                assert!(reason.contains(&node.to_string()), "{reason}");
            } else {
                assert_eq!(row.status, RowStatus::Found, "{}: {:?}", row.id, row.reason);
                assert_eq!(row.value(0), Some(value_of(row.id).as_bytes()));
            }
        }
    }
}

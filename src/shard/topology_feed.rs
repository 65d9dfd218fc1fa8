//! Turns the driver's view of the cluster into our immutable snapshots, and swaps them atomically.

use std::sync::Arc;

use arc_swap::ArcSwap;
use redis::cluster::NodeAddress;
use redis::cluster_read_routing::{
    ClusterTopology, ReadCandidates, ReadRoutingStrategy, ReadRoutingStrategyFactory,
};
use tokio::sync::watch;

use crate::slot::{NodeAddr, Shard, Slot, Topology};

/// The newest snapshot, and a signal for those who wait for a newer one.
pub(super) struct TopologyCell {
    current: ArcSwap<Topology>,
    version: watch::Sender<u64>,
}

impl TopologyCell {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { current: ArcSwap::from_pointee(Topology::empty()), version: watch::Sender::new(0) })
    }

    pub(super) fn load(&self) -> Arc<Topology> {
        self.current.load_full()
    }

    /// Waits until the snapshot is newer than `version`. Cancel-safe.
    pub(super) async fn newer_than(&self, version: u64) {
        // The sender lives in `self`, so that waiting can't fail.
        let _ = self.version.subscribe().wait_for(|current| *current > version).await;
    }

    fn publish(&self, driver: &ClusterTopology) {
        let version = self.current.load().version() + 1;
        match Topology::new(version, driver.shards().map(shard).collect()) {
            Ok(topology) => {
                self.current.store(Arc::new(topology));
                self.version.send_replace(version);
            }
            // The driver's map has one owner per slot; should that change, the last good snapshot stays.
            Err(error) => tracing::warn!(%error, "topology refused"),
        }
    }
}

/// Gives the driver strategies that publish to one cell.
pub(super) struct TopologyFeed(pub(super) Arc<TopologyCell>);

impl ReadRoutingStrategyFactory for TopologyFeed {
    fn create_strategy(&self) -> Box<dyn ReadRoutingStrategy> {
        Box::new(Publisher(Arc::clone(&self.0)))
    }
}

struct Publisher(Arc<TopologyCell>);

impl ReadRoutingStrategy for Publisher {
    fn on_topology_changed(&self, topology: ClusterTopology) {
        self.0.publish(&topology);
    }

    fn route_read<'a>(&self, candidates: &ReadCandidates<'a>) -> &'a NodeAddress {
        match candidates {
            ReadCandidates::AnyNode(any) => any.primary(),
            ReadCandidates::ReplicasOnly(only) => only.replicas().first(),
        }
    }
}

fn shard(driver: &redis::cluster_read_routing::Shard) -> Shard {
    let range = |(first, last): &(u16, u16)| Some((Slot::new(*first)?, Slot::new(*last)?));
    Shard {
        primary: addr(driver.primary()),
        replicas: driver.replicas().iter().map(addr).collect(),
        ranges: driver.slot_ranges().iter().filter_map(range).collect(),
    }
}

fn addr(driver: &NodeAddress) -> NodeAddr {
    NodeAddr::new(driver.host(), driver.port())
}

//! Direct lanes: a few pipelined connections per node that carry reads and nothing else. The requests of all callers
//! share them; replies are scanned where they arrived, into spans.
//!
//! The topology, writes and administration have connections of their own.

mod connect;
mod encode;
mod exchange;
mod gathering;
mod lane;
mod nodes;
mod output;
mod replies;
mod resp;
mod silence;
mod skip;

use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::slot::Topology;

use super::cluster::{Cluster, Target};
use super::fault::{FaultKind, PipelineFault};
use super::read::{InFlight, ShardRead, ShardRows, ShardTransport};
use super::role::Role;

use nodes::NodeLanes;

pub use replies::ReplyScanner;
pub use resp::Malformed;

/// Why a lane ended.
#[derive(Debug, thiserror::Error)]
enum LaneError {
    #[error("the connection was closed")]
    Closed,
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("silent for {0} timeouts in a row")]
    Silent(u32),
}

impl LaneError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Closed | Self::Lost(_) => FaultKind::Connection,
            Self::Malformed(_) => FaultKind::Protocol,
            Self::Silent(_) => FaultKind::Timeout,
        }
    }
}

/// Reads over direct lanes.
#[derive(Debug)]
pub struct LaneTransport {
    cluster: Arc<Cluster>,
    lanes: NodeLanes,
}

impl LaneTransport {
    /// Reads from the nodes that `cluster` knows, over `lanes_per_node` connections to each. Connections to the
    /// primaries are opened in the background.
    pub fn new(cluster: Arc<Cluster>, lanes_per_node: usize) -> Self {
        let lanes = NodeLanes::new(cluster.settings().clone(), lanes_per_node);
        for shard in cluster.topology().shards() {
            // Whether it opens is told to whoever reads.
            let _ = lanes.lane(&shard.primary, Role::Primary);
        }
        Self { cluster, lanes }
    }
}

impl ShardTransport for LaneTransport {
    fn topology(&self) -> Arc<Topology> {
        let topology = self.cluster.topology();
        self.lanes.sort_out(&topology);
        topology
    }

    fn request_refresh(&self) {
        self.cluster.request_refresh();
    }

    fn read<'a>(
        &'a self,
        read: ShardRead<'a>,
        place: InFlight,
    ) -> BoxFuture<'a, Result<ShardRows, PipelineFault>> {
        Box::pin(async move {
            let (asking, role) = match read.target {
                Target::Shard(_) => (false, Role::Primary),
                Target::Redirect { asking, .. } => (*asking, Role::Primary),
                Target::Replica(_) => (false, Role::Replica),
            };
            let node = read.target.node();
            let (lane, replaced) = self.lanes.lane(node, role)?;
            if replaced {
                // The node was in trouble: another one may have taken over.
                self.request_refresh();
            }
            let replies = lane.ask(read, asking, place).await?;
            Ok(ShardRows { node: node.clone(), block: replies.block, faults: replies.faults })
        })
    }
}

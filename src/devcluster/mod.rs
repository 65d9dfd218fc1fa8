//! A real local Redis Cluster as child processes: for `slotwise cluster`, `slotwise demo`, tests and benches.
//!
//! Invariants: nothing is started before ports and folder are known to be usable; a start that fails leaves
//! no process and no file; a cluster outlives its owner only where `detach` said so, even if the owner is
//! killed; only processes that were verified as ours are signalled, only files that we made are removed.

mod cluster;
mod detached;
mod error;
mod folder;
mod form;
mod guard;
mod limits;
mod node;
mod ports;
mod process;
mod server_binary;
mod spec;
mod state;
mod view;

pub use cluster::LocalCluster;
pub use detached::{ClusterStatus, Downed, NodeStatus, down, status};
pub use error::DevClusterError;
pub use node::{LocalNode, NodeRole};
pub(crate) use server_binary::cache_dir;
pub use server_binary::{Flavour, ServerBinary, ServerBinaryError, ServerVersion};
pub use spec::{ClusterSpec, ClusterTls};
pub use state::{ClusterState, NodeState, read_state, sweep_stale};

//! slotwise: a cluster-aware, high-throughput serving engine for machine-learning features in Redis Cluster.

pub mod cli;
pub mod devcluster;
pub mod model;
pub mod shard;
pub mod slot;

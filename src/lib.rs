//! slotwise: a cluster-aware, high-throughput serving engine for machine-learning features in Redis Cluster.

pub mod cli;
pub mod config;
pub mod devcluster;
pub mod encode;
pub mod http;
pub mod ingest;
pub mod metrics;
pub mod model;
pub mod shard;
pub mod slot;
pub mod store;
pub mod telemetry;

pub use store::FeatureStore;

//! How one shard is talked to: connections, pipelines, redirects as facts, capabilities. The only importer of
//! `redis`. What a fault means for a request is decided in `store/`.

mod capability;
mod cluster;
mod command;
mod connection;
mod fault;
mod lanes;
pub mod node;
mod read;
mod redirects;
pub mod reply;
mod role;
mod settings;
pub mod tls;
mod topology_feed;

pub use capability::{Capabilities, StreamingWrite};
pub use cluster::{Answer, Cluster, ConnectError, Target};
pub use command::Command;
pub use fault::{KeyFault, PipelineFault};
pub use lanes::{LaneTransport, Malformed, ReplyScanner};
pub use read::{ClusterTransport, InFlight, ShardRead, ShardRows, ShardTransport};
pub use reply::Reply;
pub use settings::{RedisSettings, SettingsError};

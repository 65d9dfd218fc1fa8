//! How one shard is talked to: connections, pipelines, redirects as facts, capabilities. The only importer of
//! `redis`. What a fault means for a request is decided in `store/`.

mod background;
mod capability;
mod cluster;
mod command;
mod discovery;
mod driver;
mod fault;
mod lanes;
mod link;
mod links;
pub mod node;
mod read;
pub mod reply;
mod role;
mod settings;
mod slots_reply;
pub mod tls;

pub use capability::{Capabilities, StreamingWrite};
pub use cluster::{Answer, Cluster, Confirm, ConnectError, Target};
pub use command::Command;
pub use driver::ClusterTransport;
pub use fault::{FaultKind, KeyFault, PipelineFault};
pub use lanes::{LaneTransport, Malformed, ReplyScanner};
pub use read::{InFlight, ShardRead, ShardRows, ShardTransport};
pub use reply::Reply;
pub use settings::{RedisSettings, SettingsError};
pub use slots_reply::{SlotsReplyError, shards as shards_of_reply};

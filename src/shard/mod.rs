//! How one shard is talked to. The only importer of `redis`.

pub mod node;
pub mod reply;

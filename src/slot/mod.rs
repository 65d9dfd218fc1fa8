//! From an id to the shard that owns it. Pure and synchronous.

mod addr;

pub use addr::{NodeAddr, NodeAddrError};

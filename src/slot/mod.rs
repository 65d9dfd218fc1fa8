//! From an id to the shard that owns it: key, slot, topology, plan. Pure and synchronous.

mod addr;
mod cohort;
mod hash;
mod key;
mod plan;
mod topology;

pub use addr::{NodeAddr, NodeAddrError};
pub use cohort::{Cohort, CohortClash, CohortIndex, CohortTag, CohortTagError};
pub use hash::{SLOT_COUNT, Slot, hash_tag};
pub use key::{KeyError, KeyLayout};
pub use plan::{Chunk, KeyNumber, KeySet, Plan, PlanError};
pub use topology::{Shard, ShardNumber, Topology, TopologyError};

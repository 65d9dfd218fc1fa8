//! The cluster as it was last seen: shards, their nodes, and the owner of every slot. Immutable; a newer one
//! replaces it whole.
//!
//! Invariant: a slot has at most one owner, and that owner's ranges name it.

use std::sync::Arc;
use std::time::Instant;

use super::addr::NodeAddr;
use super::hash::{SLOT_COUNT, Slot};

/// Place of a shard in its [`Topology`]; means nothing in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardNumber(u16);

impl ShardNumber {
    const NONE: u16 = u16::MAX;

    /// As an index into [`Topology::shards`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A primary, its replicas, and the slots they own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shard {
    /// The node that takes writes.
    pub primary: NodeAddr,
    /// Nodes that hold a copy.
    pub replicas: Vec<NodeAddr>,
    /// Slot ranges, both ends included, in ascending order.
    pub ranges: Vec<(Slot, Slot)>,
}

impl Shard {
    /// Any slot that this shard owns.
    pub fn any_slot(&self) -> Option<Slot> {
        self.ranges.first().map(|(first, _)| *first)
    }

    /// How many slots it owns.
    pub fn slot_count(&self) -> usize {
        self.ranges.iter().map(|(first, last)| last.index() - first.index() + 1).sum()
    }
}

/// Why shards do not make a topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// A range ends before it starts.
    #[error("the range {0}-{1} of {2} is empty")]
    EmptyRange(Slot, Slot, NodeAddr),
    /// Two shards claim a slot.
    #[error("slot {0} is claimed by {1} and by {2}")]
    Overlap(Slot, NodeAddr, NodeAddr),
    /// More shards than a cluster can have.
    #[error("{0} shards are more than a cluster has slots")]
    TooManyShards(usize),
}

/// An immutable snapshot of the cluster.
#[derive(Debug, Clone)]
pub struct Topology {
    version: u64,
    since: u64,
    learned: Instant,
    shards: Vec<Arc<Shard>>,
    owner: Box<[u16]>,
}

impl Topology {
    /// A snapshot of `shards`. Slots that none of them names stay without an owner; shards without slots are
    /// left out.
    pub fn new(version: u64, shards: Vec<Shard>) -> Result<Self, TopologyError> {
        let mut shards: Vec<Shard> = shards.into_iter().filter(|shard| !shard.ranges.is_empty()).collect();
        if shards.len() > usize::from(SLOT_COUNT) {
            return Err(TopologyError::TooManyShards(shards.len()));
        }
        for shard in &mut shards {
            shard.ranges.sort_unstable();
        }
        shards.sort_by_key(|shard| shard.ranges.first().copied());
        let mut owner = vec![ShardNumber::NONE; usize::from(SLOT_COUNT)].into_boxed_slice();
        for (number, shard) in (0u16..).zip(&shards) {
            for (first, last) in &shard.ranges {
                if first > last {
                    return Err(TopologyError::EmptyRange(*first, *last, shard.primary.clone()));
                }
                for slot in first.number()..=last.number() {
                    let held = &mut owner[usize::from(slot)];
                    if *held != ShardNumber::NONE {
                        let holder = shards[usize::from(*held)].primary.clone();
                        let slot = Slot::new(slot).unwrap_or(*first);
                        return Err(TopologyError::Overlap(slot, holder, shard.primary.clone()));
                    }
                    *held = number;
                }
            }
        }
        let shards = shards.into_iter().map(Arc::new).collect();
        Ok(Self { version, since: version, learned: Instant::now(), shards, owner })
    }

    /// A cluster of which nothing is known.
    pub fn empty() -> Self {
        Self {
            version: 0,
            since: 0,
            learned: Instant::now(),
            shards: Vec::new(),
            owner: vec![ShardNumber::NONE; usize::from(SLOT_COUNT)].into_boxed_slice(),
        }
    }

    /// Grows by one with every refresh.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version from which on its shards are what they are.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// The same one version on: the shards are still what they were.
    #[must_use]
    pub fn confirmed(&self) -> Self {
        Self { version: self.version + 1, learned: Instant::now(), ..self.clone() }
    }

    /// When it was learned.
    pub fn learned(&self) -> Instant {
        self.learned
    }

    /// All shards, by their first slot.
    pub fn shards(&self) -> &[Arc<Shard>] {
        &self.shards
    }

    /// The shard that owns a slot.
    pub fn owner(&self, slot: Slot) -> Option<ShardNumber> {
        let number = self.owner[slot.index()];
        (number != ShardNumber::NONE).then_some(ShardNumber(number))
    }

    /// A shard by its number in this snapshot.
    pub fn shard(&self, number: ShardNumber) -> Option<&Arc<Shard>> {
        self.shards.get(number.index())
    }

    /// The shard that owns a slot, whole.
    pub fn shard_of(&self, slot: Slot) -> Option<&Arc<Shard>> {
        self.shard(self.owner(slot)?)
    }

    /// Is this node a primary or a replica here?
    pub fn has(&self, node: &NodeAddr) -> bool {
        self.shards.iter().any(|shard| shard.primary == *node || shard.replicas.contains(node))
    }

    /// How many slots have an owner.
    pub fn slots_covered(&self) -> usize {
        self.owner.iter().filter(|number| **number != ShardNumber::NONE).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(port: u16, ranges: &[(u16, u16)]) -> Shard {
        Shard {
            primary: NodeAddr::new("127.0.0.1", port),
            replicas: Vec::new(),
            ranges: ranges.iter().map(|(a, b)| (Slot::new(*a).unwrap(), Slot::new(*b).unwrap())).collect(),
        }
    }

    #[test]
    fn every_slot_has_the_owner_whose_ranges_name_it() {
        let topology =
            Topology::new(7, vec![shard(2, &[(100, 200), (50, 60)]), shard(1, &[(0, 49)]), shard(3, &[])])
                .unwrap();
        assert_eq!(topology.version(), 7);
        assert_eq!(topology.shards().len(), 2, "a node without slots is no shard");
        for number in 0..SLOT_COUNT {
            let slot = Slot::new(number).unwrap();
            let expected = match number {
                0..=49 => Some(1),
                50..=60 | 100..=200 => Some(2),
                _ => None,
            };
            assert_eq!(topology.shard_of(slot).map(|shard| shard.primary.port), expected, "{number}");
        }
        assert_eq!(topology.slots_covered(), 50 + 11 + 101);
        assert_eq!(topology.shards()[1].slot_count(), 112);
    }

    #[test]
    fn overlaps_and_empty_ranges_are_refused() {
        let overlap = Topology::new(1, vec![shard(1, &[(0, 10)]), shard(2, &[(10, 20)])]);
        assert!(matches!(overlap, Err(TopologyError::Overlap(slot, ..)) if slot.number() == 10));
        assert!(matches!(Topology::new(1, vec![shard(1, &[(5, 4)])]), Err(TopologyError::EmptyRange(..))));
    }
}

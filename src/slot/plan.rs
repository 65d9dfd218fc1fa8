//! The plan of a batch: which key goes to which shard, in which pipeline.
//!
//! Invariants, held by property tests: every id has exactly one key number; an id asked for twice has one;
//! every key whose slot has an owner is in exactly one chunk, of that owner; no chunk is larger than its bound;
//! the members of a cohort's tag share a chunk where the bound allows it.

use std::hash::Hash;

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::model::EntityId;

use super::cohort::TagNumber;
use super::hash::Slot;
use super::key::{KeyError, KeyLayout};
use super::topology::{ShardNumber, Topology};

/// Place of a key in its [`KeySet`].
pub type KeyNumber = u32;

/// The distinct keys of a batch, in the order their ids were first asked for.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    bytes: Vec<u8>,
    keys: Vec<Key>,
    /// The key of each id; `None` where every id is different, so that they are the same.
    key_of_id: Option<Vec<KeyNumber>>,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    end: u32,
    slot: Slot,
    tag: Option<TagNumber>,
}

/// Why a list of ids has no plan: the place in the list, and the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// An id has no key.
    #[error("ids[{index}]: {error}")]
    Key {
        /// Place in the list of ids.
        index: usize,
        /// The cause.
        error: KeyError,
    },
    /// Together the keys are too large to be numbered.
    #[error("the keys of the batch hold more than 4 GiB")]
    TooLarge,
}

impl KeySet {
    /// The keys of `ids` under `layout`.
    pub fn new(ids: &[EntityId], layout: &KeyLayout) -> Result<Self, PlanError> {
        let bytes_guess = ids.len() * (layout.prefix().len() + 12);
        Self::collect(ids.iter().map(EntityId::as_str), bytes_guess, |index, id, bytes| {
            layout.append_key(id, bytes).map_err(|error| PlanError::Key { index, error })
        })
    }

    /// The given keys, each once, whatever layout they have.
    pub fn of_keys<K: AsRef<[u8]>>(given: &[K]) -> Result<Self, PlanError> {
        let bytes_guess = given.iter().map(|key| key.as_ref().len()).sum();
        Self::collect(given.iter().map(AsRef::as_ref), bytes_guess, |_, key, bytes| {
            bytes.extend_from_slice(key);
            Ok(None)
        })
    }

    /// Numbers what is given, each once; `append_key` writes the key of one and says its tag.
    fn collect<'g, G: Hash + Eq + ?Sized + 'g>(
        given: impl ExactSizeIterator<Item = &'g G>,
        bytes_guess: usize,
        mut append_key: impl FnMut(usize, &G, &mut Vec<u8>) -> Result<Option<TagNumber>, PlanError>,
    ) -> Result<Self, PlanError> {
        let count = given.len();
        let mut bytes = Vec::with_capacity(bytes_guess);
        let mut keys = Vec::with_capacity(count);
        let mut key_of_id = Vec::with_capacity(count);
        // Numbers only, so that the table of a batch stays in the fastest cache.
        let mut seen: HashTable<KeyNumber> = HashTable::with_capacity(count);
        let mut distinct: Vec<&G> = Vec::with_capacity(count);
        let hasher = RandomState::new();
        for (index, one) in given.enumerate() {
            let next = KeyNumber::try_from(keys.len()).map_err(|_| PlanError::TooLarge)?;
            let same = |number: &KeyNumber| distinct[*number as usize] == one;
            let hash_of = |number: &KeyNumber| hasher.hash_one(distinct[*number as usize]);
            match seen.entry(hasher.hash_one(one), same, hash_of) {
                Entry::Occupied(number) => {
                    key_of_id.push(*number.get());
                    continue;
                }
                Entry::Vacant(place) => place.insert(next),
            };
            key_of_id.push(next);
            distinct.push(one);
            let start = bytes.len();
            let tag = append_key(index, one, &mut bytes)?;
            let slot = Slot::for_key(&bytes[start..]);
            let end = u32::try_from(bytes.len()).map_err(|_| PlanError::TooLarge)?;
            keys.push(Key { end, slot, tag });
        }
        let key_of_id = (keys.len() != count).then_some(key_of_id);
        Ok(Self { bytes, keys, key_of_id })
    }

    /// How many distinct keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True where there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Every key number.
    pub fn numbers(&self) -> std::ops::Range<KeyNumber> {
        // `new` refuses sets whose keys can't be numbered.
        0..KeyNumber::try_from(self.keys.len()).unwrap_or(KeyNumber::MAX)
    }

    /// The key of that number.
    pub fn key(&self, number: KeyNumber) -> &[u8] {
        let index = number as usize;
        let start = if index == 0 { 0 } else { self.keys[index - 1].end as usize };
        &self.bytes[start..self.keys[index].end as usize]
    }

    /// Its slot.
    pub fn slot(&self, number: KeyNumber) -> Slot {
        self.keys[number as usize].slot
    }

    /// The key number of each id; `None` where ids and keys correspond one to one.
    pub fn key_of_id(&self) -> Option<&[KeyNumber]> {
        self.key_of_id.as_deref()
    }
}

/// The keys of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The shard that owns every key in it.
    pub shard: ShardNumber,
    /// The keys, by number.
    pub keys: Vec<KeyNumber>,
}

/// Chunks for some keys under one topology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One pipeline each; those of one shard stand together.
    pub chunks: Vec<Chunk>,
    /// Keys whose slot no shard owns.
    pub uncovered: Vec<KeyNumber>,
}

impl Plan {
    /// Plans `numbers` of `keys` under `topology`, at most `chunk_keys_max` keys a chunk.
    pub fn new(
        keys: &KeySet,
        numbers: impl IntoIterator<Item = KeyNumber>,
        topology: &Topology,
        chunk_keys_max: usize,
    ) -> Self {
        let mut uncovered = Vec::new();
        let mut plain: Vec<Vec<KeyNumber>> = vec![Vec::new(); topology.shards().len()];
        let mut tagged: Vec<(ShardNumber, TagNumber, KeyNumber)> = Vec::new();
        let mut owners: Vec<Option<ShardNumber>> = vec![None; topology.shards().len()];
        for number in numbers {
            let key = keys.keys[number as usize];
            let Some(shard) = topology.owner(key.slot) else {
                uncovered.push(number);
                continue;
            };
            owners[shard.index()] = Some(shard);
            match key.tag {
                None => plain[shard.index()].push(number),
                Some(tag) => tagged.push((shard, tag, number)),
            }
        }
        tagged.sort_unstable();

        let mut chunks = Vec::new();
        for shard in owners.into_iter().flatten() {
            let from = tagged.partition_point(|(other, ..)| *other < shard);
            let to = tagged.partition_point(|(other, ..)| *other <= shard);
            pack(shard, &plain[shard.index()], &tagged[from..to], chunk_keys_max.max(1), &mut chunks);
        }
        Self { chunks, uncovered }
    }
}

/// Packs one shard's keys: the plain ones in even chunks, then each tag's members, together where they fit.
fn pack(
    shard: ShardNumber,
    plain: &[KeyNumber],
    tagged: &[(ShardNumber, TagNumber, KeyNumber)],
    max: usize,
    chunks: &mut Vec<Chunk>,
) {
    let even = plain.len().div_ceil(plain.len().div_ceil(max).max(1)).max(1);
    for keys in plain.chunks(even) {
        chunks.push(Chunk { shard, keys: keys.to_vec() });
    }
    for members in tagged.chunk_by(|a, b| a.1 == b.1) {
        let members = members.iter().map(|(.., number)| *number);
        match chunks.last_mut() {
            Some(last) if last.shard == shard && last.keys.len() + members.len() <= max => {
                last.keys.extend(members);
            }
            _ => {
                let members: Vec<KeyNumber> = members.collect();
                chunks.extend(members.chunks(max).map(|keys| Chunk { shard, keys: keys.to_vec() }));
            }
        }
    }
}

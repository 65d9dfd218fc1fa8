//! The router once more, in the most naive way there is, and the inputs that both get.
//!
//! Nothing here calls the code under test: CRC16 bit by bit, hash tags by searching, keys by `format!`, owners by
//! walking the segments.

use proptest::prelude::*;
use slotwise::model::EntityId;
use slotwise::slot::{
    Cohort, CohortIndex, CohortTag, KeyLayout, NodeAddr, SLOT_COUNT, Shard, Slot, Topology,
};

pub(crate) const PREFIX: &str = "prop-user:";

/// The slot of a key, by the Redis Cluster specification.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    crc16_xmodem(tag_of(key)) & 0x3FFF
}

fn tag_of(key: &[u8]) -> &[u8] {
    for open in 0..key.len() {
        if key[open] == b'{' {
            for close in open + 1..key.len() {
                if key[close] == b'}' {
                    return if close == open + 1 { key } else { &key[open + 1..close] };
                }
            }
            return key;
        }
    }
    key
}

fn crc16_xmodem(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    for byte in bytes {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc
}

/// A cohort in plain text: tags and members.
#[derive(Debug, Clone)]
pub(crate) struct PlainCohort {
    pub(crate) tags: Vec<String>,
    pub(crate) members: Vec<String>,
}

/// A stretch of slots and the shard that owns it, if any.
pub(crate) type Segment = (std::ops::Range<u16>, Option<u16>);

/// Everything a plan depends on.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) ids: Vec<String>,
    pub(crate) cohorts: Vec<PlainCohort>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) chunk_keys_max: usize,
}

impl Case {
    /// The tag that an id's cohort gives it.
    pub(crate) fn tag(&self, id: &str) -> Option<&str> {
        let cohort = self
            .cohorts
            .iter()
            .find(|cohort| !cohort.tags.is_empty() && cohort.members.iter().any(|member| member == id))?;
        let spread = usize::from(crc16_xmodem(id.as_bytes())) % cohort.tags.len();
        Some(&cohort.tags[spread])
    }

    /// The key of an id; `None` where it could be taken for a member's.
    pub(crate) fn key(&self, id: &str) -> Option<String> {
        let mut tags = self.cohorts.iter().flat_map(|cohort| &cohort.tags);
        if tags.any(|tag| id.starts_with(&format!("{{{tag}}}:"))) {
            return None;
        }
        Some(self.tag(id).map_or_else(|| format!("{PREFIX}{id}"), |tag| format!("{PREFIX}{{{tag}}}:{id}")))
    }

    /// The port of the shard that owns a key's slot.
    pub(crate) fn owner(&self, key: &[u8]) -> Option<u16> {
        let slot = slot_of(key);
        self.segments.iter().find(|(range, _)| range.contains(&slot))?.1
    }

    pub(crate) fn entity_ids(&self) -> Vec<EntityId> {
        self.ids.iter().map(|id| EntityId::new(id.as_str()).unwrap()).collect()
    }

    pub(crate) fn layout(&self) -> KeyLayout {
        let cohort = |(number, cohort): (usize, &PlainCohort)| Cohort {
            name: format!("cohort {number}"),
            tags: cohort.tags.iter().map(|tag| CohortTag::new(tag).unwrap()).collect(),
            members: cohort.members.iter().map(|id| EntityId::new(id.as_str()).unwrap()).collect(),
        };
        let cohorts = self.cohorts.iter().enumerate().map(cohort).collect();
        KeyLayout::new(PREFIX, CohortIndex::new(cohorts).0).unwrap()
    }

    /// The topology of the segments; a shard's primary has the shard's number as its port.
    pub(crate) fn topology(&self) -> Topology {
        let slot = |number| Slot::new(number).unwrap();
        let shard = |port: u16| Shard {
            primary: NodeAddr::new("127.0.0.1", port),
            replicas: Vec::new(),
            ranges: self
                .segments
                .iter()
                .rev()
                .filter(|(range, owner)| *owner == Some(port) && !range.is_empty())
                .map(|(range, _)| (slot(range.start), slot(range.end - 1)))
                .collect(),
        };
        Topology::new(1, (1..=SHARDS_MAX).map(shard).collect()).unwrap()
    }
}

const SHARDS_MAX: u16 = 5;

/// Keys of all kinds: braces in every place, empty and nested and unclosed tags, any text, any bytes.
pub(crate) fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[{}a-c:]{0,12}".prop_map(String::into_bytes),
        2 => "[a-z]{0,4}\\{[a-z{]{0,4}\\}[a-z{}]{0,6}".prop_map(String::into_bytes),
        2 => "[{}\u{0}\n\r \"é🦀漢]{0,8}".prop_map(String::into_bytes),
        2 => any::<String>().prop_map(String::into_bytes),
        2 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => proptest::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), any::<u8>()], 0..24),
    ]
}

/// Ids of all kinds; short ones come again and again, so that there are duplicates and members.
pub(crate) fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "u[0-9]{1,2}",
        3 => "[{}v:u]{1,6}",
        1 => "\\{(v0|v1|w|x|)\\}:?u[0-9]",
        2 => "[{}\u{0}\n \"é🦀漢]{1,5}",
        1 => ".{1,30}",
    ]
}

fn cohorts() -> impl Strategy<Value = Vec<PlainCohort>> {
    let members = || proptest::collection::vec(prop_oneof![4 => "u[0-9]{1,2}", 1 => id()], 0..60);
    let cohort = |tags: &[&str]| {
        let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
        members().prop_map(move |members| PlainCohort { tags: tags.clone(), members })
    };
    prop_oneof![
        1 => Just(Vec::new()),
        2 => cohort(&["v0"]).prop_map(|cohort| vec![cohort]),
        2 => (cohort(&["v0", "v1", "x"]), cohort(&["w 🦀"])).prop_map(|(a, b)| vec![a, b]),
        1 => (cohort(&[]), cohort(&["w"])).prop_map(|(a, b)| vec![a, b]),
    ]
}

fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let owner = prop_oneof![1 => Just(None), 4 => (1..=SHARDS_MAX).prop_map(Some)];
    let cut = (1..SLOT_COUNT, owner.clone());
    (owner, proptest::collection::vec(cut, 0..12)).prop_map(|(first, mut cuts)| {
        cuts.sort_unstable();
        let ends: Vec<u16> = cuts.iter().map(|(cut, _)| *cut).chain([SLOT_COUNT]).collect();
        let starts = std::iter::once((0, first)).chain(cuts);
        starts.zip(ends).map(|((start, owner), end)| (start..end, owner)).collect()
    })
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let ids = proptest::collection::vec(id(), 0..150);
    let chunk_keys_max = prop_oneof![4 => 1..12usize, 1 => 12..200usize];
    (ids, cohorts(), segments(), chunk_keys_max).prop_map(|(ids, cohorts, segments, chunk_keys_max)| Case {
        ids,
        cohorts,
        segments,
        chunk_keys_max,
    })
}

/// A case whose ids all have a key.
pub(crate) fn plannable_case() -> impl Strategy<Value = Case> {
    case().prop_map(|mut case| {
        let ids = std::mem::take(&mut case.ids);
        case.ids = ids.into_iter().filter(|id| case.key(id).is_some()).collect();
        case
    })
}

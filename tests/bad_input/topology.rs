//! What a node says of the cluster: gaps, overlaps, unknown nodes, host names, IPv6, an empty cluster; and what says
//! nothing of the kind.

use proptest::prelude::*;
use slotwise::shard::{Reply, shards_of_reply};
use slotwise::slot::{NodeAddr, SLOT_COUNT, Slot, Topology, TopologyError};

use crate::cases::try_many;

/// A range as a node may tell it: first slot, last slot, and its nodes, the primary first.
type Told = (i64, i64, Vec<(Host, i64)>);

#[derive(Debug, Clone)]
enum Host {
    Text(&'static str),
    /// The one that was asked.
    Nothing,
    Unknown,
}

const ASKED: &str = "asked.local";

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        6 => prop::sample::select(&["10.0.0.1", "10.0.0.2", "::1", "2001:db8::2", "redis-0.redis.local", "ü"][..])
            .prop_map(Host::Text),
        1 => Just(Host::Nothing),
        1 => Just(Host::Text("")),
        1 => Just(Host::Unknown),
    ]
}

fn nodes() -> impl Strategy<Value = Vec<(Host, i64)>> {
    prop::collection::vec((host(), 0..3_i64), 1..4)
}

impl Host {
    fn reply(&self) -> Reply {
        match self {
            Self::Text(text) => Reply::Bytes(text.as_bytes().to_vec()),
            Self::Nothing => Reply::Nil,
            Self::Unknown => Reply::Bytes(b"?".to_vec()),
        }
    }

    fn addr(&self, port: i64) -> Option<NodeAddr> {
        let host = match self {
            Self::Text("") | Self::Nothing => ASKED,
            Self::Text(text) => text,
            Self::Unknown => return None,
        };
        (port != 0).then(|| NodeAddr::new(host, u16::try_from(port).unwrap()))
    }
}

fn reply(told: &[Told]) -> Vec<Reply> {
    let range = |(first, last, nodes): &Told| {
        let node = |(host, port): &(Host, i64)| {
            Reply::Array(vec![host.reply(), Reply::Int(*port), Reply::Text("id".into())])
        };
        let head = vec![Reply::Int(*first), Reply::Int(*last)];
        Reply::Array([head, nodes.iter().map(node).collect()].concat())
    };
    told.iter().map(range).collect()
}

/// Ranges one after the other, some with nothing between them.
fn layout() -> impl Strategy<Value = Vec<Told>> {
    prop::collection::vec((0..4_000_i64, 1..4_000_i64, nodes()), 0..8).prop_map(|parts| {
        let mut next = 0;
        let told = parts.into_iter().map(|(gap, len, nodes)| {
            let first = next + gap * i64::from(gap > 2_000);
            next = first + len;
            (first, next - 1, nodes)
        });
        told.take_while(|(_, last, _)| *last < i64::from(SLOT_COUNT)).collect()
    })
}

#[test]
fn every_slot_of_a_layout_has_the_owner_that_was_told_and_the_others_none() {
    try_many("layouts of slots", layout(), |told| {
        let shards = shards_of_reply(Reply::Array(reply(&told)), &NodeAddr::new(ASKED, 9)).unwrap();
        let topology = Topology::new(1, shards).unwrap();
        let mut covered = 0;
        for (first, last, nodes) in &told {
            let primary = nodes[0].0.addr(nodes[0].1);
            for number in [*first, (first + last) / 2, *last] {
                let slot = Slot::new(u16::try_from(number).unwrap()).unwrap();
                let owner = topology.shard_of(slot);
                prop_assert_eq!(owner.map(|shard| &shard.primary), primary.as_ref(), "slot {}", number);
                for replica in nodes[1..].iter().filter_map(|(host, port)| host.addr(*port)) {
                    let known = |shard: &slotwise::slot::Shard| {
                        shard.primary == replica || shard.replicas.contains(&replica)
                    };
                    prop_assert!(owner.is_none_or(|shard| known(shard)), "{} of {}", replica, number);
                }
            }
            covered += if primary.is_some() { last - first + 1 } else { 0 };
        }
        prop_assert_eq!(i64::try_from(topology.slots_covered()).unwrap(), covered);
        Ok(())
    });
}

/// What a server can send that is no list.
fn leaf() -> impl Strategy<Value = Reply> + Clone {
    prop_oneof![
        Just(Reply::Nil),
        (-2..20_000_i64).prop_map(Reply::Int),
        any::<i64>().prop_map(Reply::Int),
        any::<bool>().prop_map(Reply::Bool),
        prop::sample::select(&["", "?", "1", "h", "::1"][..]).prop_map(|text| Reply::Text(text.to_owned())),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(Reply::Bytes),
        Just(Reply::Error("ERR This instance has cluster support disabled".into())),
    ]
}

/// Anything, in lists up to three deep.
fn anything() -> impl Strategy<Value = Reply> {
    let list = |items: Vec<Reply>| Reply::Array(items);
    let flat = prop_oneof![2 => leaf(), 1 => prop::collection::vec(leaf(), 0..5).prop_map(list)];
    let nested = prop::collection::vec(prop::collection::vec(flat, 0..4).prop_map(list), 0..4).prop_map(list);
    prop_oneof![2 => leaf(), 1 => nested]
}

#[test]
fn what_is_no_layout_is_refused_by_its_place_and_never_half_believed() {
    let told = prop::collection::vec((-1..16_500_i64, -1..16_500_i64, nodes()), 0..6);
    let change = prop::option::of((any::<prop::sample::Index>(), prop::option::of(0..4_usize), anything()));
    try_many("changed layouts of slots", (told, change, anything()), |(told, change, other)| {
        let mut ranges = reply(&told);
        if let (Some((place, part, with)), false) = (change, ranges.is_empty()) {
            let range = place.get_mut(&mut ranges);
            match (range, part) {
                (Reply::Array(parts), Some(part)) if part < parts.len() => parts[part] = with,
                (range, _) => *range = with,
            }
        }
        let count = ranges.len();
        let asked = NodeAddr::new(ASKED, 9);
        match shards_of_reply(Reply::Array(ranges), &asked) {
            Err(error) => {
                let text = error.to_string();
                let place = text.strip_prefix("CLUSTER SLOTS: range ").and_then(|rest| rest.split_once(':'));
                let place: usize = place.unwrap_or_else(|| panic!("{text}")).0.parse().unwrap();
                prop_assert!(place < count, "{}", text);
            }
            Ok(shards) => {
                let slots: usize = shards.iter().map(slotwise::slot::Shard::slot_count).sum();
                match Topology::new(1, shards) {
                    Ok(topology) => prop_assert_eq!(topology.slots_covered(), slots),
                    Err(TopologyError::Overlap(slot, ..)) => prop_assert!(slot.number() < SLOT_COUNT),
                    Err(error) => prop_assert!(false, "{}", error),
                }
            }
        }
        if !matches!(other, Reply::Array(_)) {
            prop_assert!(shards_of_reply(other, &asked).is_err());
        }
        Ok(())
    });
}

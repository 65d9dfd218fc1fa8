//! The plan of a batch.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use slotwise::slot::{KeyNumber, KeySet, Plan, PlanError, Topology};

use super::oracle::{self, Case};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_id_has_the_key_of_its_layout_and_ids_asked_twice_share_one(case in oracle::plannable_case()) {
        let keys = keys(&case);
        let mut first_seen: Vec<&str> = Vec::new();
        for (index, id) in case.ids.iter().enumerate() {
            if !first_seen.contains(&id.as_str()) {
                first_seen.push(id);
            }
            let number = number_of(&keys, index);
            let expected = case.key(id).unwrap();
            prop_assert_eq!(keys.key(number), expected.as_bytes());
            prop_assert_eq!(keys.slot(number).number(), oracle::slot_of(expected.as_bytes()));
            prop_assert_eq!(first_seen[number as usize], id, "keys are numbered as their ids are first asked for");
        }
        prop_assert_eq!(keys.len(), first_seen.len());
        prop_assert_eq!(keys.key_of_id().is_none(), keys.len() == case.ids.len());
        prop_assert_eq!(keys.numbers().count(), keys.len());
    }

    #[test]
    fn every_input_index_is_in_exactly_one_chunk_of_the_shard_that_owns_its_slot(
        case in oracle::plannable_case()
    ) {
        let (keys, topology) = (keys(&case), case.topology());
        let plan = Plan::new(&keys, keys.numbers(), &topology, case.chunk_keys_max);
        let mut chunk_of_key: HashMap<KeyNumber, usize> = HashMap::new();
        for (place, chunk) in plan.chunks.iter().enumerate() {
            for key in &chunk.keys {
                prop_assert!(chunk_of_key.insert(*key, place).is_none(), "key {} is sent twice", key);
            }
        }
        for (index, id) in case.ids.iter().enumerate() {
            let number = number_of(&keys, index);
            let owner = case.owner(case.key(id).unwrap().as_bytes());
            let chunk = chunk_of_key.get(&number).map(|place| plan.chunks[*place].shard);
            let sent_to = chunk.map(|shard| topology.shard(shard).unwrap().primary.port);
            prop_assert_eq!(sent_to, owner, "{:?}", id);
            prop_assert_eq!(plan.uncovered.contains(&number), owner.is_none(), "{:?}", id);
        }
        prop_assert_eq!(chunk_of_key.len() + plan.uncovered.len(), keys.len(), "nothing else is sent");
        prop_assert!(plan.uncovered.is_sorted_by(|a, b| a < b), "uncovered keys stand once, in order");
    }

    #[test]
    fn no_chunk_is_empty_or_larger_than_its_bound_and_there_are_no_more_than_needed(
        case in oracle::plannable_case()
    ) {
        let (keys, topology) = (keys(&case), case.topology());
        let plan = Plan::new(&keys, keys.numbers(), &topology, case.chunk_keys_max);
        let mut chunks_of_shard: BTreeMap<u16, usize> = BTreeMap::new();
        for chunk in &plan.chunks {
            prop_assert!(!chunk.keys.is_empty());
            prop_assert!(chunk.keys.len() <= case.chunk_keys_max, "{} keys", chunk.keys.len());
            *chunks_of_shard.entry(topology.shard(chunk.shard).unwrap().primary.port).or_default() += 1;
        }
        // Keys by shard and tag; those without one are a group of their own.
        let mut groups: BTreeMap<u16, BTreeMap<Option<&str>, usize>> = BTreeMap::new();
        for id in case.ids.iter().collect::<BTreeSet<_>>() {
            if let Some(owner) = case.owner(case.key(id).unwrap().as_bytes()) {
                *groups.entry(owner).or_default().entry(case.tag(id)).or_default() += 1;
            }
        }
        prop_assert!(chunks_of_shard.keys().eq(groups.keys()));
        for (shard, groups) in groups {
            let keys: usize = groups.values().sum();
            let fewest = keys.div_ceil(case.chunk_keys_max);
            let most: usize = groups.values().map(|keys| keys.div_ceil(case.chunk_keys_max)).sum();
            let chunks = chunks_of_shard[&shard];
            prop_assert!((fewest..=most).contains(&chunks), "{} chunks, {} to {}", chunks, fewest, most);
        }
    }

    #[test]
    fn the_members_of_a_tag_share_a_chunk_where_they_fit(case in oracle::plannable_case()) {
        let (keys, topology) = (keys(&case), case.topology());
        let plan = Plan::new(&keys, keys.numbers(), &topology, case.chunk_keys_max);
        let mut members: BTreeMap<&str, BTreeSet<KeyNumber>> = BTreeMap::new();
        for (index, id) in case.ids.iter().enumerate() {
            if let Some(tag) = case.tag(id) {
                members.entry(tag).or_default().insert(number_of(&keys, index));
            }
        }
        for (tag, members) in members {
            let with_members = plan.chunks.iter().filter(|chunk| chunk.keys.iter().any(|key| members.contains(key)));
            let uncovered = plan.uncovered.iter().filter(|key| members.contains(key)).count();
            prop_assert!(uncovered == 0 || uncovered == members.len(), "a tag has one slot");
            let expected = if uncovered > 0 { 0 } else { members.len().div_ceil(case.chunk_keys_max) };
            prop_assert_eq!(with_members.count(), expected, "chunks with members of {:?}", tag);
        }
    }

    #[test]
    fn a_plan_keeps_the_order_asked_and_comes_out_the_same_every_time(case in oracle::plannable_case()) {
        let (keys, topology) = (keys(&case), case.topology());
        let plan = Plan::new(&keys, keys.numbers(), &topology, case.chunk_keys_max);
        prop_assert_eq!(&plan, &Plan::new(&keys, keys.numbers(), &topology, case.chunk_keys_max));
        let shards: Vec<usize> = plan.chunks.iter().map(|chunk| chunk.shard.index()).collect();
        prop_assert!(shards.is_sorted(), "the chunks of a shard stand together");
        // Key numbers grow in the order asked: within a shard, over all its keys without a tag; within a tag.
        let tag_of_key: HashMap<KeyNumber, Option<&str>> =
            case.ids.iter().enumerate().map(|(index, id)| (number_of(&keys, index), case.tag(id))).collect();
        let mut order: BTreeMap<(usize, Option<&str>), Vec<KeyNumber>> = BTreeMap::new();
        for chunk in &plan.chunks {
            for key in &chunk.keys {
                order.entry((chunk.shard.index(), tag_of_key[key])).or_default().push(*key);
            }
        }
        for (group, keys) in order {
            prop_assert!(keys.is_sorted(), "{:?}: {:?}", group, keys);
        }
    }

    #[test]
    fn planning_some_keys_again_plans_those_and_no_others(
        case in oracle::plannable_case(), every in 1..5u32, from in 0..5u32
    ) {
        let (keys, topology) = (keys(&case), case.topology());
        let again: Vec<KeyNumber> = keys.numbers().skip(from as usize).filter(|key| key % every == 0).collect();
        let plan = Plan::new(&keys, again.iter().copied(), &topology, case.chunk_keys_max);
        let mut planned: Vec<KeyNumber> =
            plan.chunks.iter().flat_map(|chunk| chunk.keys.iter().copied()).chain(plan.uncovered).collect();
        planned.sort_unstable();
        prop_assert_eq!(planned, again);
        for chunk in &plan.chunks {
            let port = topology.shard(chunk.shard).unwrap().primary.port;
            prop_assert!(chunk.keys.iter().all(|key| case.owner(keys.key(*key)) == Some(port)));
            prop_assert!(chunk.keys.len() <= case.chunk_keys_max);
        }
    }

    #[test]
    fn an_id_that_could_be_taken_for_a_members_key_is_refused_by_its_place(case in oracle::case()) {
        let first_refused = case.ids.iter().position(|id| case.key(id).is_none());
        let refused = match KeySet::new(&case.entity_ids(), &case.layout()) {
            Ok(_) => None,
            Err(PlanError::Key { index, .. }) => Some(index),
            Err(other) => panic!("{other}"),
        };
        prop_assert_eq!(refused, first_refused);
    }

    #[test]
    fn keys_given_as_such_are_read_once_each(given in proptest::collection::vec(oracle::key(), 0..60)) {
        let given: Vec<&[u8]> = given.iter().flat_map(|key| [&key[..], &key[..key.len() / 2]]).collect();
        let keys = KeySet::of_keys(&given).unwrap();
        let distinct: BTreeSet<&[u8]> = given.iter().copied().collect();
        prop_assert_eq!(keys.len(), distinct.len());
        for (index, key) in given.iter().enumerate() {
            let number = number_of(&keys, index);
            prop_assert_eq!(keys.key(number), *key);
            prop_assert_eq!(keys.slot(number).number(), oracle::slot_of(key));
        }
    }
}

#[test]
fn nothing_is_sent_where_nothing_is_known_of_the_cluster() {
    let keys = KeySet::of_keys(&["a", "b", "a"]).unwrap();
    let plan = Plan::new(&keys, keys.numbers(), &Topology::empty(), 10);
    assert_eq!((plan.chunks.len(), plan.uncovered), (0, vec![0, 1]));
}

#[test]
fn a_bound_of_nothing_is_taken_as_one() {
    let case = Case {
        ids: ["a", "b", "c"].map(String::from).to_vec(),
        cohorts: Vec::new(),
        segments: vec![(0..16_384, Some(1))],
        chunk_keys_max: 0,
    };
    let keys = keys(&case);
    assert_eq!(Plan::new(&keys, keys.numbers(), &case.topology(), 0).chunks.len(), 3);
}

fn keys(case: &Case) -> KeySet {
    KeySet::new(&case.entity_ids(), &case.layout()).unwrap()
}

/// The key number of the id at `index` of the request.
fn number_of(keys: &KeySet, index: usize) -> KeyNumber {
    keys.key_of_id().map_or_else(|| KeyNumber::try_from(index).unwrap(), |keys| keys[index])
}

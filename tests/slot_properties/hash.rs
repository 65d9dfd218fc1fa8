//! The slot of a key.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use redis::cluster_routing::Slot as ClientSlot;
use slotwise::model::EntityId;
use slotwise::slot::{KeySet, Slot};

use super::{oracle, support};

/// Keys that are sent to the server in one pipeline.
const KEYS_ASKED: usize = 4_000;
const IDS_ASKED: usize = 2_000;

/// Keys that the specification or past bugs of clients single out.
const NOTABLE: [&[u8]; 20] = [
    b"",
    b"{",
    b"}",
    b"{}",
    b"}{",
    b"{{}}",
    b"{}{a}",
    b"a{}b{c}d",
    b"{{a}}b",
    b"{a{b}c}",
    b"a}b{c",
    b"a}{b}",
    b"{a}{b}",
    b"x{a",
    b"{\0}",
    b"\0{\n}\r",
    b"\xff{\xfe}\xfd",
    "é{🦀}漢".as_bytes(),
    "prop-user:{vip}:u0001".as_bytes(),
    b"123456789",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn the_slot_of_a_key_is_the_one_the_client_crate_names(key in oracle::key()) {
        let ours = Slot::for_key(&key);
        prop_assert_eq!(ClientSlot::new(ours.number()), Some(ClientSlot::for_key(&key)));
        prop_assert_eq!(ours.number(), oracle::slot_of(&key));
    }
}

#[test]
fn the_oracles_agree_on_the_keys_that_are_easy_to_get_wrong() {
    for key in NOTABLE {
        let ours = Slot::for_key(key);
        assert_eq!(ClientSlot::new(ours.number()), Some(ClientSlot::for_key(key)), "{key:?}");
        assert_eq!(ours.number(), oracle::slot_of(key), "{key:?}");
    }
    // From the specification: CRC16 of "123456789" is 0x31C3; an empty tag does not count.
    assert_eq!(oracle::slot_of(b"123456789"), 0x31C3);
    assert_ne!(oracle::slot_of(b"{}a"), oracle::slot_of(b"{}b"));
}

#[test]
fn the_slot_of_a_key_is_the_one_the_server_names() {
    let mut keys: Vec<Vec<u8>> = NOTABLE.iter().map(|key| key.to_vec()).collect();
    keys.extend(samples(&oracle::key(), KEYS_ASKED));
    assert!(
        keys.iter().any(|key| std::str::from_utf8(key).is_err()),
        "bytes that are no text are among them"
    );
    let slots = slots_by_server(&keys);
    assert_eq!(slots.len(), keys.len());
    for (key, slot) in keys.iter().zip(slots) {
        assert_eq!(Slot::for_key(key).number(), slot, "{:?}", String::from_utf8_lossy(key));
    }
}

#[test]
fn the_server_agrees_with_the_slot_of_every_id_under_its_layout() {
    for case in samples(&oracle::plannable_case(), IDS_ASKED / 100) {
        let more = samples(&oracle::id(), 100).into_iter().filter(|id| case.key(id).is_some());
        let ids: Vec<EntityId> =
            case.ids.iter().cloned().chain(more).map(|id| EntityId::new(id).unwrap()).collect();
        let set = KeySet::new(&ids, &case.layout()).unwrap();
        let keys: Vec<Vec<u8>> = set.numbers().map(|number| set.key(number).to_vec()).collect();
        for (number, slot) in set.numbers().zip(slots_by_server(&keys)) {
            assert_eq!(set.slot(number).number(), slot, "{:?}", String::from_utf8_lossy(set.key(number)));
        }
    }
}

#[test]
fn only_numbers_below_the_count_are_slots() {
    for number in 0..=u16::MAX {
        let ours = Slot::new(number).map(Slot::number);
        assert_eq!(ours, (number < 16_384).then_some(number));
        assert_eq!(ours.is_some(), ClientSlot::new(number).is_some());
    }
}

/// Values of a strategy, different in every run.
fn samples<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::default();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// What `CLUSTER KEYSLOT` says, all keys in one pipeline.
fn slots_by_server(keys: &[Vec<u8>]) -> Vec<u16> {
    let client = redis::Client::open(redis_url()).unwrap();
    let mut connection = client.get_connection().expect("this test needs a real server");
    let mut pipeline = redis::pipe();
    for key in keys {
        pipeline.cmd("CLUSTER").arg("KEYSLOT").arg(key);
    }
    pipeline.query(&mut connection).unwrap()
}

/// A node of the cluster under test.
fn redis_url() -> &'static str {
    static URL: LazyLock<String> = LazyLock::new(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let cluster = runtime.block_on(support::shared_cluster());
        format!("redis://{}", cluster.addrs()[0])
    });
    &URL
}

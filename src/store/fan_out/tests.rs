//! The state machine against a scripted cluster: no server, paused time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::shard::{FaultKind, InFlight, ShardRead, ShardRows};
use crate::slot::{Shard, Slot, Topology};

const DEADLINE: Duration = Duration::from_secs(5);

/// What a node says to a key when it is asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Value,
    Moved,
    Ask,
    NotReady,
    Refused,
    /// Nothing: the whole pipeline is lost.
    Lost,
    /// Nothing, for longer than anybody waits.
    Silence,
}

/// Each key's answers, one after the other; a value when they are used up.
struct Script {
    effect: Effect,
    answers: Mutex<HashMap<KeyNumber, VecDeque<Says>>>,
    asked: Mutex<BTreeMap<KeyNumber, usize>>,
}

fn node(port: u16) -> NodeAddr {
    NodeAddr::new("h", port)
}

impl Script {
    fn new(effect: Effect, answers: &[&[Says]]) -> Self {
        let answers = (0u32..).zip(answers).map(|(key, says)| (key, says.iter().copied().collect()));
        Self { effect, answers: Mutex::new(answers.collect()), asked: Mutex::default() }
    }
}

impl ShardOperation for Script {
    type Output = ();

    fn run<'a>(
        &'a self,
        target: &'a Target,
        keys: &'a [KeyNumber],
        admission: &'a Admission<'a>,
    ) -> BoxFuture<'a, Result<Outcome<()>, PipelineFault>> {
        let next = |keys: &[KeyNumber]| {
            let (mut answers, mut asked) = (self.answers.lock().unwrap(), self.asked.lock().unwrap());
            let mut next = |key: &KeyNumber| {
                *asked.entry(*key).or_default() += 1;
                answers.get_mut(key).and_then(VecDeque::pop_front).unwrap_or(Says::Value)
            };
            keys.iter().map(&mut next).collect::<Vec<Says>>()
        };
        Box::pin(async move {
            let (_passage, _place) = admission.pass(target.node(), keys.len()).await;
            let says = next(keys);
            if says.contains(&Says::Silence) {
                std::future::pending::<()>().await;
            }
            if says.contains(&Says::Lost) {
                return Err(PipelineFault {
                    reason: "lost".into(),
                    kind: FaultKind::Connection,
                    may_have_run: true,
                });
            }
            let fault = |says: &Says| match says {
                Says::Moved => Some(KeyFault::Moved(node(8))),
                Says::Ask => Some(KeyFault::Ask(node(9))),
                Says::NotReady => Some(KeyFault::NotReady("LOADING".into())),
                Says::Refused => Some(KeyFault::Refused("WRONGTYPE".into())),
                Says::Value | Says::Lost | Says::Silence => None,
            };
            let faults = says.iter().enumerate().filter_map(|(place, says)| Some((place, fault(says)?)));
            Ok(Outcome { node: target.node().clone(), output: (), faults: faults.collect() })
        })
    }

    fn effect(&self) -> Effect {
        self.effect
    }
}

/// A cluster of two shards that never changes.
#[derive(Debug)]
struct Still(Arc<Topology>);

impl Still {
    fn new() -> Self {
        let slot = |number| Slot::new(number).unwrap();
        let shard = |port, first, last| Shard {
            primary: node(port),
            replicas: Vec::new(),
            ranges: vec![(slot(first), slot(last))],
        };
        Self(Arc::new(Topology::new(1, vec![shard(1, 0, 8_191), shard(2, 8_192, 16_383)]).unwrap()))
    }
}

impl ShardTransport for Still {
    fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.0)
    }

    fn request_refresh(&self) {}

    fn read<'a>(&'a self, _: ShardRead<'a>, _: InFlight) -> BoxFuture<'a, Result<ShardRows, PipelineFault>> {
        unreachable!("the script answers")
    }
}

/// What became of each key: one entry per time it was settled.
fn settle(script: &Script, keys: usize, chunk_keys_max: usize) -> Vec<Vec<Result<(), UnavailableReason>>> {
    let names: Vec<String> = (0..keys).map(|number| format!("k{number}")).collect();
    let set = KeySet::of_keys(&names).unwrap();
    let (still, gates) = (Still::new(), Gates::new("read", 2));
    let mut settled = vec![Vec::new(); keys];
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let fan_out = FanOut {
            longest_wait: AtomicU64::new(0),
            operation: script,
            transport: &still,
            gates: &gates,
            keys: &set,
            chunk_keys_max,
            deadline: Instant::now() + DEADLINE,
        };
        fan_out
            .run(|event| match event {
                Settled::Answered { keys, except, .. } => {
                    for (place, key) in keys.iter().enumerate().filter(|(place, _)| !except.contains(place)) {
                        assert!(place < keys.len());
                        settled[*key as usize].push(Ok(()));
                    }
                }
                Settled::Failed { keys, reason } => {
                    keys.iter().for_each(|key| settled[*key as usize].push(Err(reason.clone())));
                }
            })
            .await;
    });
    settled
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        3 => Just(Says::Moved),
        3 => Just(Says::Ask),
        3 => Just(Says::NotReady),
        1 => Just(Says::Refused),
        1 => Just(Says::Lost),
        1 => Just(Says::Silence),
    ]
}

proptest! {
    #[test]
    fn every_key_is_settled_exactly_once_whatever_happens(
        answers in proptest::collection::vec(proptest::collection::vec(says(), 0..8), 1..12),
        chunk_keys_max in 1..5usize,
        effect in prop_oneof![Just(Effect::None), Just(Effect::SameTwice), Just(Effect::Once)],
    ) {
        let borrowed: Vec<&[Says]> = answers.iter().map(Vec::as_slice).collect();
        let script = Script::new(effect, &borrowed);
        for (key, settled) in settle(&script, answers.len(), chunk_keys_max).iter().enumerate() {
            prop_assert_eq!(settled.len(), 1, "key {} of {:?}", key, answers);
        }
    }
}

#[test]
fn a_key_that_was_put_off_often_still_follows_its_ask() {
    let mut says = vec![Says::NotReady; 7];
    says.push(Says::Ask);
    let script = Script::new(Effect::None, &[&says]);
    assert_eq!(settle(&script, 1, 10), [[Ok(())]]);
    assert_eq!(script.asked.lock().unwrap()[&0], 9, "seven times put off, once sent on, once answered");
}

#[test]
fn two_nodes_that_send_a_key_to_and_fro_are_not_asked_in_a_tight_circle() {
    let script = Script::new(Effect::None, &[&[Says::Moved; 100_000]]);
    let settled = settle(&script, 1, 10);
    assert!(matches!(&settled[0][..], [Err(UnavailableReason::DeadlineExceeded(Some(_)))]), "{settled:?}");
    let asked = script.asked.lock().unwrap()[&0];
    assert!(asked < 500, "asked {asked} times in {DEADLINE:?}");
}

#[test]
fn a_write_that_may_have_run_is_never_sent_again_where_that_could_undo_a_newer_one() {
    let script = Script::new(Effect::Once, &[&[Says::Lost]]);
    let settled = settle(&script, 1, 10);
    assert!(matches!(&settled[0][..], [Err(UnavailableReason::OutcomeUnknown(_))]), "{settled:?}");
    assert_eq!(script.asked.lock().unwrap()[&0], 1);
    let script = Script::new(Effect::SameTwice, &[&[Says::Lost]]);
    assert_eq!(settle(&script, 1, 10), [[Ok(())]]);
    assert_eq!(script.asked.lock().unwrap()[&0], 2);
}

#[test]
fn a_write_without_an_answer_by_the_deadline_may_have_run_and_one_still_queued_has_not() {
    // Two pipelines may be in flight to the one shard that owns them all; the third waits.
    let silent: &[Says] = &[Says::Silence];
    let names: Vec<String> = (0..200).map(|number| format!("k{number}")).collect();
    let set = KeySet::of_keys(&names).unwrap();
    let low = set.numbers().filter(|key| set.slot(*key).number() < 8_192).count();
    let script = Script::new(Effect::SameTwice, &vec![silent; names.len()]);
    let settled = settle(&script, names.len(), 1);
    let count = |unknown: bool| {
        let is = |key: &Vec<Result<(), UnavailableReason>>| {
            matches!(&key[..], [Err(UnavailableReason::OutcomeUnknown(_))]) == unknown
        };
        settled.iter().filter(|key| is(key)).count()
    };
    assert!(low > 2 && low < 198, "both shards have more than they let through");
    assert_eq!(count(true), 4, "two pipelines in flight to each shard");
    assert_eq!(count(false), 196);
}

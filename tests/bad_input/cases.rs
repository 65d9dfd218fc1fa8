//! Runs a check on very many inputs, counts them, and tells the one that fails or does not end.
//!
//! Most inputs are the same in every run. Some come from a seed of this run, which is told where it finds something;
//! `SLOTWISE_BAD_INPUT_SEED` brings them back.

use std::any::Any;
use std::fmt::Debug;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseResult, TestRunner};

/// Inputs that every check gets at least.
pub(crate) const CASES: u32 = 100_000;
/// Inputs of them that are new in every run.
const NEW_CASES: u32 = 10_000;
/// Seed of the inputs that are the same in every run.
const SEED: u64 = 0x510_7715E;
/// Longest time for one input. Generous: it is for what does not end, not for what is slow.
const CASE_TIME_MAX: Duration = Duration::from_secs(20);

/// How far a run is, for whoever waits for its end.
struct Progress<V> {
    begun: AtomicU64,
    input: Mutex<Option<V>>,
}

/// Checks [`CASES`] inputs of `strategy`; `name` is what they are.
pub(crate) fn try_many<S>(
    name: &'static str,
    strategy: S,
    check: impl Fn(S::Value) -> TestCaseResult + Send + 'static,
) where
    S: Strategy + Send + 'static,
    S::Value: Clone + Debug + Send + 'static,
{
    let progress = Arc::new(Progress { begun: AtomicU64::new(0), input: Mutex::new(None) });
    let (sender, receiver) = channel();
    let seen = Arc::clone(&progress);
    let started = Instant::now();
    std::thread::spawn(move || {
        let run = AssertUnwindSafe(|| {
            run(name, SEED, CASES - NEW_CASES, &strategy, &check, &seen);
            run(name, new_seed(), NEW_CASES, &strategy, &check, &seen);
        });
        let _ = sender.send(catch_unwind(run));
    });
    let mut begun_before = u64::MAX;
    let ended: Result<(), Box<dyn Any + Send>> = loop {
        match receiver.recv_timeout(CASE_TIME_MAX) {
            Ok(ended) => break ended,
            Err(RecvTimeoutError::Disconnected) => panic!("{name}: the run is gone"),
            Err(RecvTimeoutError::Timeout) => {
                let begun = progress.begun.load(Ordering::Relaxed);
                let input = || progress.input.lock().unwrap().clone();
                assert!(begun != begun_before, "{name}: no end after {CASE_TIME_MAX:?}: {:?}", input());
                begun_before = begun;
            }
        }
    };
    ended.unwrap_or_else(|panic| resume_unwind(panic));
    let tried = progress.begun.load(Ordering::Relaxed);
    assert!(tried >= u64::from(CASES), "{name}: only {tried} inputs");
    // Past the capture of the test harness: the numbers are for everybody.
    let told = format!("bad input: {name}: {tried} inputs in {:.1?}\n", started.elapsed());
    std::io::stderr().write_all(told.as_bytes()).unwrap();
}

fn run<S: Strategy>(
    name: &str,
    seed: u64,
    cases: u32,
    strategy: &S,
    check: impl Fn(S::Value) -> TestCaseResult,
    progress: &Progress<S::Value>,
) where
    S::Value: Clone,
{
    let config =
        Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
    let tried = TestRunner::new(config).run(strategy, |input| {
        progress.begun.fetch_add(1, Ordering::Relaxed);
        *progress.input.lock().unwrap() = Some(input.clone());
        check(input)
    });
    if let Err(error) = tried {
        panic!("{name}, SLOTWISE_BAD_INPUT_SEED={seed}: {error}");
    }
}

fn new_seed() -> u64 {
    let given = std::env::var("SLOTWISE_BAD_INPUT_SEED").ok();
    given.map_or_else(rand::random, |seed| seed.parse().expect("SLOTWISE_BAD_INPUT_SEED is a number"))
}

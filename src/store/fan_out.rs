//! The way of a batch through the shards: all at once, redirects per key, until every key is settled or the
//! deadline is there.
//!
//! Invariants: a key is in at most one pipeline at a time; every key is settled exactly once, answered or failed; a
//! fault of one key never sends another key anywhere; dropping the future gives everything up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, debug_span};

use crate::model::UnavailableReason;
use crate::model::limits::{
    NODE_PATIENCE_MAX, RETRY_BACKOFF_MAX, RETRY_BACKOFF_MIN, SLOT_UNCOVERED_ATTEMPTS_MAX,
};
use crate::shard::{KeyFault, PipelineFault, ShardTransport, Target};
use crate::slot::{KeyNumber, KeySet, NodeAddr, Plan, Shard};

use super::gates::{Admission, Gates, Redirect};
use super::spans;

/// What is done with the keys of one pipeline.
pub(super) trait ShardOperation: Sync {
    /// What a pipeline brings.
    type Output: Send;

    /// Runs one pipeline, once `admission` lets it through. Neither retries nor re-plans.
    fn run<'a>(
        &'a self,
        target: &'a Target,
        keys: &'a [KeyNumber],
        admission: &'a Admission<'a>,
    ) -> BoxFuture<'a, Result<Outcome<Self::Output>, PipelineFault>>;

    /// What doing it does, and doing it twice.
    fn effect(&self) -> Effect;

    /// Can nobody but the primary of this shard do it?
    fn needs_primary(&self, _shard: &Shard) -> bool {
        true
    }
}

/// What an operation does to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: it only reads.
    None,
    /// Doing it twice is the same as doing it once.
    SameTwice,
    /// Doing it twice could put an older value over a newer one: never sent again where it may have run.
    Once,
}

/// What one pipeline brought.
pub(super) struct Outcome<T> {
    pub(super) node: NodeAddr,
    pub(super) output: T,
    /// Keys without a result: place in the pipeline, and why.
    pub(super) faults: Vec<(usize, KeyFault)>,
}

/// What the caller is told, key by key.
pub(super) enum Settled<'a, T> {
    /// These keys are answered, but for the places named; those are settled by another call.
    Answered { keys: &'a [KeyNumber], output: T, except: &'a [usize] },
    /// These keys are given up.
    Failed { keys: &'a [KeyNumber], reason: UnavailableReason },
}

/// One batch on its way.
pub(super) struct FanOut<'a, O: ShardOperation> {
    pub(super) operation: &'a O,
    pub(super) transport: &'a dyn ShardTransport,
    pub(super) gates: &'a Gates,
    pub(super) keys: &'a KeySet,
    pub(super) chunk_keys_max: usize,
    pub(super) deadline: Instant,
    /// How long a pipeline waited at its gate at most, in nanoseconds; zero at first.
    pub(super) longest_wait: AtomicU64,
}

/// How a batch went.
pub(super) struct Ran {
    /// Shards that were asked.
    pub(super) shards: usize,
    /// When all keys were planned and under way.
    pub(super) planned: Instant,
    /// The longest time that a pipeline waited at its gate.
    pub(super) queued: Duration,
}

/// What came of one step.
enum Step<T> {
    Pipeline(Target, Result<Outcome<T>, PipelineFault>),
    Waited,
}

/// A step that has not ended: for which keys, and whose answer is awaited, if anybody's.
struct UnderWay {
    keys: Arc<[KeyNumber]>,
    node: Option<NodeAddr>,
    since: Instant,
    /// Nobody else is asked for them.
    alone: bool,
    /// True once the gate has let the pipeline through.
    sent: Arc<AtomicBool>,
}

/// A key that met a fault: how often it was sent, and what was said last.
struct Trouble {
    attempts: u32,
    last: Arc<str>,
    /// A pipeline with it got lost after it may have run.
    may_have_run: bool,
}

/// Keys that a step leaves unsettled, by what is to become of them.
#[derive(Default)]
struct Unsettled {
    redirected: AHashMap<Target, Vec<KeyNumber>>,
    put_off: Vec<KeyNumber>,
    /// How many were answered with which kind of fault.
    kinds: [u64; Redirect::ALL.len()],
}

struct Run<'a, O: ShardOperation, S> {
    fan_out: &'a FanOut<'a, O>,
    settle: S,
    steps: FuturesUnordered<BoxFuture<'a, (usize, Step<O::Output>)>>,
    steps_started: usize,
    under_way: AHashMap<usize, UnderWay>,
    troubles: AHashMap<KeyNumber, Trouble>,
    shards_asked: AHashSet<NodeAddr>,
}

impl<O: ShardOperation> FanOut<'_, O> {
    /// Sends every key to its shard and tells `settle` what became of it.
    pub(super) async fn run<S>(&self, settle: S) -> Ran
    where
        S: FnMut(Settled<'_, O::Output>) + Send,
    {
        let mut run = Run {
            fan_out: self,
            settle,
            steps: FuturesUnordered::new(),
            steps_started: 0,
            under_way: AHashMap::new(),
            troubles: AHashMap::new(),
            shards_asked: AHashSet::new(),
        };
        run.plan_and_send(self.keys.numbers());
        let planned = Instant::now();
        let deadline = tokio::time::sleep_until(self.deadline);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                step = run.steps.next() => match step {
                    Some((number, step)) => run.end_of_step(number, step),
                    None => break,
                },
                () = &mut deadline => {
                    run.give_up();
                    break;
                }
            }
        }
        let shards = run.shards_asked.len();
        // Waits that are not over end with their steps.
        drop(run);
        let queued = Duration::from_nanos(self.longest_wait.load(Ordering::Relaxed));
        Ran { shards, planned, queued }
    }
}

impl<'a, O: ShardOperation, S: FnMut(Settled<'_, O::Output>)> Run<'a, O, S> {
    /// Plans keys with the newest topology and sends them.
    fn plan_and_send(&mut self, keys: impl IntoIterator<Item = KeyNumber>) {
        let topology = self.fan_out.transport.topology();
        let plan = debug_span!("plan")
            .in_scope(|| Plan::new(self.fan_out.keys, keys, &topology, self.fan_out.chunk_keys_max));
        for chunk in plan.chunks {
            if let Some(shard) = topology.shard(chunk.shard) {
                self.send(Target::Shard(Arc::clone(shard)), chunk.keys.into());
            }
        }
        if !plan.uncovered.is_empty() {
            self.fan_out.transport.request_refresh();
            let text: Arc<str> = "no shard owns the slot".into();
            let hopeful = |key: &KeyNumber| self.trouble(*key, &text) < SLOT_UNCOVERED_ATTEMPTS_MAX;
            let (waiting, lost): (Vec<_>, Vec<_>) = plan.uncovered.into_iter().partition(hopeful);
            self.fail(&lost, UnavailableReason::SlotUncovered);
            self.wait_and_plan(waiting);
        }
    }

    /// Sends one pipeline; to a node that is away only where few wait for it.
    fn send(&mut self, target: Target, keys: Arc<[KeyNumber]>) {
        if let Target::Shard(shard) = &target
            && !self.shards_asked.contains(&shard.primary)
        {
            self.shards_asked.insert(shard.primary.clone());
        }
        let (gates, operation) = (self.fan_out.gates, self.fan_out.operation);
        let gate = gates.gate(target.node());
        let mut place_while_away = None;
        // A bulk load waits for a failover: it has a bound of its own, and nothing is gained by rejecting its rows.
        let urgent = operation.effect() != Effect::SameTwice;
        let alone = !matches!(&target, Target::Shard(shard) if !operation.needs_primary(shard));
        if urgent && alone && gate.health.is_away() {
            place_while_away = gate.place_while_away(keys.len());
            if place_while_away.is_none() {
                self.fan_out.transport.request_refresh();
                return self.fail(&keys, UnavailableReason::ShardAway(target.node().to_string().into()));
            }
        }
        let (sent, since) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let node = Some(target.node().clone());
        let under_way = UnderWay { keys: Arc::clone(&keys), node, since, alone, sent: Arc::clone(&sent) };
        let (transport, deadline) = (self.fan_out.transport, self.fan_out.deadline.into_std());
        let longest_wait = &self.fan_out.longest_wait;
        let span = spans::pipeline(target.node(), keys.len());
        let ended = span.clone();
        let running = async move {
            let _place = place_while_away;
            let admission = Admission::new(gates, sent, deadline, longest_wait);
            let outcome = {
                let mut running = operation.run(&target, &keys, &admission);
                match timeout(NODE_PATIENCE_MAX, &mut running).await {
                    Ok(outcome) => outcome,
                    Err(_) => {
                        if alone {
                            gate.health.silent_since(since.into_std());
                            if gate.health.is_suspect() {
                                transport.request_refresh();
                            }
                        }
                        running.await
                    }
                }
            };
            ended.record("outcome", spans::outcome(&outcome));
            Step::Pipeline(target, outcome)
        };
        self.step(under_way, running.instrument(span));
    }

    /// Plans keys again after a pause that grows with their attempts.
    fn wait_and_plan(&mut self, keys: Vec<KeyNumber>) {
        if keys.is_empty() {
            return;
        }
        let attempts =
            keys.iter().filter_map(|key| self.troubles.get(key)).map(|trouble| trouble.attempts).max();
        let doublings = attempts.unwrap_or(1).saturating_sub(1).min(16);
        let pause = RETRY_BACKOFF_MIN.saturating_mul(1 << doublings).min(RETRY_BACKOFF_MAX);
        self.step(
            UnderWay {
                keys: keys.into(),
                node: None,
                since: Instant::now(),
                alone: false,
                sent: Arc::default(),
            },
            async move {
                tokio::time::sleep(pause).await;
                Step::Waited
            },
        );
    }

    fn step(&mut self, under_way: UnderWay, step: impl Future<Output = Step<O::Output>> + Send + 'a) {
        let number = self.steps_started;
        self.steps_started += 1;
        self.under_way.insert(number, under_way);
        self.steps.push(Box::pin(async move { (number, step.await) }));
    }

    fn end_of_step(&mut self, number: usize, step: Step<O::Output>) {
        let Some(UnderWay { keys, .. }) = self.under_way.remove(&number) else { return };
        match step {
            Step::Waited => self.plan_and_send(keys.iter().copied()),
            Step::Pipeline(target, Ok(outcome)) => self.end_of_pipeline(&target, &keys, outcome),
            Step::Pipeline(_, Err(fault))
                if fault.may_have_run && self.fan_out.operation.effect() == Effect::Once =>
            {
                self.fail(&keys, UnavailableReason::OutcomeUnknown(fault.reason));
            }
            Step::Pipeline(target, Err(fault)) => {
                self.fan_out.transport.request_refresh();
                let text: Arc<str> = format!("{}: {}", target.node(), fault.reason).into();
                let mut put_off = Vec::with_capacity(keys.len());
                for key in keys.iter().copied() {
                    self.try_again(key, &text, &mut put_off);
                    if let Some(trouble) = self.troubles.get_mut(&key) {
                        trouble.may_have_run |= fault.may_have_run;
                    }
                }
                self.fan_out.gates.retried(put_off.len());
                self.wait_and_plan(put_off);
            }
        }
    }

    fn end_of_pipeline(&mut self, target: &Target, keys: &[KeyNumber], outcome: Outcome<O::Output>) {
        let Outcome { node, output, faults } = outcome;
        let of_the_shard = matches!(target, Target::Shard(shard) if shard.replicas.contains(&node));
        if node != *target.node() && !of_the_shard {
            // The wanted node is not connected, or no longer the primary.
            self.fan_out.transport.request_refresh();
        }
        let except: Vec<usize> = faults.iter().map(|(place, _)| *place).collect();
        (self.settle)(Settled::Answered { keys, output, except: &except });
        let mut unsettled = Unsettled::default();
        for (place, fault) in faults {
            if let Some(key) = keys.get(place) {
                self.sort_fault(*key, fault, target, &node, &mut unsettled);
            }
        }
        self.fan_out.gates.redirected(unsettled.kinds);
        for (target, keys) in unsettled.redirected {
            for keys in keys.chunks(self.fan_out.chunk_keys_max) {
                self.send(target.clone(), keys.into());
            }
        }
        self.wait_and_plan(unsettled.put_off);
    }
}

mod faults;
#[cfg(test)]
mod tests;

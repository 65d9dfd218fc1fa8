//! The bound on commands in flight, per node, what is counted there, and what is learned of the node.
//!
//! Invariant: a node that is slow holds only its own gate; the others are not delayed by it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ahash::AHashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::{self, ShardLabels, ShardMetrics};
use crate::model::limits::AWAY_COMMANDS_MAX;
use crate::shard::{FaultKind, InFlight};
use crate::slot::NodeAddr;

use super::health::Health;
use super::shard_read::patience;

/// Gates that are kept for nodes that may have left the cluster.
const GATES_MAX: usize = 4_096;

/// All nodes' gates for one operation.
pub(super) struct Gates {
    operation: &'static str,
    commands_max: usize,
    gates: Mutex<AHashMap<NodeAddr, Arc<Gate>>>,
    retries: ::metrics::Counter,
    redirects: [::metrics::Counter; Redirect::ALL.len()],
}

/// Why a key is asked for again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Redirect {
    Moved,
    Ask,
    NotReady,
}

impl Redirect {
    pub(super) const ALL: [Self; 3] = [Self::Moved, Self::Ask, Self::NotReady];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Ask => "ask",
            Self::NotReady => "not_ready",
        }
    }
}

/// One node's gate.
pub(super) struct Gate {
    pub(super) health: Health,
    permits: Arc<Semaphore>,
    commands_max: usize,
    /// Places of commands that wait for a node that is away.
    while_away: Arc<Semaphore>,
    metrics: ShardMetrics,
    /// Made when it is first needed, so that replicas have none.
    fallbacks: OnceLock<::metrics::Counter>,
    addr: NodeAddr,
}

/// A pipeline under way; ends when dropped.
pub(super) struct Passage {
    gate: Arc<Gate>,
    commands: usize,
    started: Instant,
    /// After so long, a node that has not answered is taken for silent.
    patience: Duration,
    /// The node has answered, or failed.
    over: bool,
}

impl Gates {
    pub(super) fn new(operation: &'static str, commands_max: usize) -> Self {
        Self {
            operation,
            commands_max: commands_max.clamp(1, Semaphore::MAX_PERMITS),
            gates: Mutex::default(),
            retries: metrics::counter(&metrics::RETRIES, []),
            redirects: Redirect::ALL.map(|kind| metrics::counter(&metrics::REDIRECTS, [kind.as_str()])),
        }
    }

    /// The gate of a node.
    pub(super) fn gate(&self, node: &NodeAddr) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(node) {
            return Arc::clone(gate);
        }
        if gates.len() >= GATES_MAX {
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        let gate = Arc::new(Gate {
            health: Health::default(),
            permits: Arc::new(Semaphore::new(self.commands_max)),
            commands_max: self.commands_max,
            while_away: Arc::new(Semaphore::new(AWAY_COMMANDS_MAX)),
            metrics: ShardMetrics::new(
                &node.to_string(),
                self.operation,
                &FaultKind::ALL.map(FaultKind::as_str),
            ),
            fallbacks: OnceLock::new(),
            addr: node.clone(),
        });
        gates.insert(node.clone(), Arc::clone(&gate));
        gate
    }

    /// So many keys are to be sent again, as a pipeline with them brought no replies.
    pub(super) fn retried(&self, keys: usize) {
        if keys > 0 {
            self.retries.increment(keys as u64);
        }
    }

    /// So many keys were sent elsewhere or put off, by kind.
    pub(super) fn redirected(&self, keys: [u64; Redirect::ALL.len()]) {
        for (counter, keys) in self.redirects.iter().zip(keys) {
            if keys > 0 {
                counter.increment(keys);
            }
        }
    }
}

impl Gate {
    /// Waits for places among the commands in flight; a pipeline that has more than there are takes all of them. The
    /// places are given back apart from the passage, when the node has nothing left to answer. Cancel-safe.
    pub(super) async fn pass(self: Arc<Self>, commands: usize, deadline: Instant) -> (Passage, InFlight) {
        let places = u32::try_from(commands.clamp(1, self.commands_max)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_many_owned(places).await.ok();
        self.passed(commands, permit, deadline)
    }

    /// A place among those who wait for a node that is away; `None` where they are enough.
    pub(super) fn place_while_away(&self, keys: usize) -> Option<OwnedSemaphorePermit> {
        let places = u32::try_from(keys.clamp(1, AWAY_COMMANDS_MAX)).unwrap_or(u32::MAX);
        Arc::clone(&self.while_away).try_acquire_many_owned(places).ok()
    }

    /// The place of one command, where there is one.
    pub(super) fn pass_at_once(self: Arc<Self>, deadline: Instant) -> Option<(Passage, InFlight)> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(self.passed(1, Some(permit), deadline))
    }

    /// So many keys of this primary are asked of a replica, as the primary does not answer.
    pub(super) fn fell_back(&self, keys: usize) {
        let counter = || {
            let addr = self.addr.to_string();
            metrics::counter(&metrics::FALLBACK_KEYS, [ShardLabels::of_process().label(&addr)])
        };
        self.fallbacks.get_or_init(counter).increment(keys as u64);
    }

    fn passed(
        self: Arc<Self>,
        commands: usize,
        permit: Option<OwnedSemaphorePermit>,
        deadline: Instant,
    ) -> (Passage, InFlight) {
        self.metrics.begin(commands);
        let place = permit.map_or_else(InFlight::uncounted, InFlight::new);
        let started = Instant::now();
        let patience = patience(deadline.saturating_duration_since(started));
        (Passage { gate: self, commands, started, patience, over: false }, place)
    }
}

impl Passage {
    /// The node has answered.
    pub(super) fn answered(mut self) {
        self.over = true;
        self.gate.health.answered(self.commands, self.started.elapsed());
    }

    /// The pipeline brought no replies.
    pub(super) fn fault(mut self, kind: FaultKind) {
        self.over = true;
        self.gate.metrics.fault(kind.index());
        self.gate.health.fault();
    }

    /// The node is not waited for any longer.
    pub(super) fn late(mut self) {
        self.patience = Duration::ZERO;
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        if !self.over {
            self.gate.health.given_up(self.commands, took);
        }
        // Whoever is dropped sooner was not waited for: its caller went away, or another node was faster. How long that
        // took says nothing about this node.
        let waited_for = self.over || took >= self.patience;
        if waited_for && !self.over {
            // A silent node brings no fault by itself.
            self.gate.metrics.fault(FaultKind::Timeout.index());
        }
        self.gate.metrics.end(waited_for.then_some(took));
    }
}

/// The way of one step's pipelines through the gates.
pub(super) struct Admission<'a> {
    gates: &'a Gates,
    /// True once a gate has let a pipeline through.
    sent: Arc<AtomicBool>,
    deadline: Instant,
    /// In nanoseconds.
    longest_wait: &'a AtomicU64,
}

/// A wait at a gate; over when dropped, also where it was in vain.
struct Wait<'a> {
    since: Instant,
    longest: &'a AtomicU64,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let nanos = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.longest.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl<'a> Admission<'a> {
    /// `longest_wait` is raised to the longest time that one of the pipelines waits, in nanoseconds.
    pub(super) fn new(
        gates: &'a Gates,
        sent: Arc<AtomicBool>,
        deadline: Instant,
        longest_wait: &'a AtomicU64,
    ) -> Self {
        Self { gates, sent, deadline, longest_wait }
    }

    /// The gate of a node.
    pub(super) fn gate(&self, node: &NodeAddr) -> Arc<Gate> {
        self.gates.gate(node)
    }

    /// Waits for places of a pipeline to a node. Cancel-safe.
    pub(super) async fn pass(&self, node: &NodeAddr, commands: usize) -> (Passage, InFlight) {
        let wait = Wait { since: Instant::now(), longest: self.longest_wait };
        let passed = self.gate(node).pass(commands, self.deadline).await;
        drop(wait);
        self.sent.store(true, Ordering::Relaxed);
        passed
    }
}

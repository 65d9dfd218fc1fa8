//! The bound on commands in flight, per node, what is counted there, and what is learned of the node.
//!
//! Invariant: a node that is slow holds only its own gate; the others are not delayed by it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ahash::AHashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::ShardMetrics;
use crate::model::limits::AWAY_COMMANDS_MAX;
use crate::shard::InFlight;
use crate::slot::NodeAddr;

use super::health::Health;

/// Gates that are kept for nodes that may have left the cluster.
const GATES_MAX: usize = 4_096;

/// All nodes' gates for one operation.
pub(super) struct Gates {
    operation: &'static str,
    commands_max: usize,
    gates: Mutex<AHashMap<NodeAddr, Arc<Gate>>>,
}

/// One node's gate.
pub(super) struct Gate {
    pub(super) health: Health,
    permits: Arc<Semaphore>,
    commands_max: usize,
    /// Places of commands that wait for a node that is away.
    while_away: Arc<Semaphore>,
    metrics: ShardMetrics,
}

/// A pipeline under way; ends when dropped.
pub(super) struct Passage {
    gate: Arc<Gate>,
    keys: usize,
    started: Instant,
    /// The node has answered, or failed.
    over: bool,
}

impl Gates {
    pub(super) fn new(operation: &'static str, commands_max: usize) -> Self {
        Self {
            operation,
            commands_max: commands_max.clamp(1, Semaphore::MAX_PERMITS),
            gates: Mutex::default(),
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
            metrics: ShardMetrics::new(&node.to_string(), self.operation),
        });
        gates.insert(node.clone(), Arc::clone(&gate));
        gate
    }
}

impl Gate {
    /// Waits for places among the commands in flight; a pipeline that has more than there are takes all of them. The
    /// places are given back apart from the passage, when the node has nothing left to answer. Cancel-safe.
    pub(super) async fn pass(self: Arc<Self>, keys: usize) -> (Passage, InFlight) {
        let places = u32::try_from(keys.clamp(1, self.commands_max)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_many_owned(places).await.ok();
        self.passed(keys, permit)
    }

    /// A place among those who wait for a node that is away; `None` where they are enough.
    pub(super) fn place_while_away(&self, keys: usize) -> Option<OwnedSemaphorePermit> {
        let places = u32::try_from(keys.clamp(1, AWAY_COMMANDS_MAX)).unwrap_or(u32::MAX);
        Arc::clone(&self.while_away).try_acquire_many_owned(places).ok()
    }

    /// The place of one command, where there is one.
    pub(super) fn pass_at_once(self: Arc<Self>) -> Option<(Passage, InFlight)> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(self.passed(1, Some(permit)))
    }

    fn passed(self: Arc<Self>, keys: usize, permit: Option<OwnedSemaphorePermit>) -> (Passage, InFlight) {
        self.metrics.begin(keys);
        let place = permit.map_or_else(InFlight::uncounted, InFlight::new);
        (Passage { gate: self, keys, started: Instant::now(), over: false }, place)
    }
}

impl Passage {
    /// The node has answered.
    pub(super) fn answered(mut self) {
        self.over = true;
        self.gate.health.answered(self.keys, self.started.elapsed());
    }

    /// The pipeline brought no replies.
    pub(super) fn fault(mut self) {
        self.over = true;
        self.gate.metrics.faults.increment(1);
        self.gate.health.fault();
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        if !self.over {
            self.gate.health.given_up(self.keys, took);
        }
        self.gate.metrics.end(took);
    }
}

/// The way of one step's pipelines through the gates.
pub(super) struct Admission<'a> {
    gates: &'a Gates,
    /// True once a gate has let a pipeline through.
    sent: Arc<AtomicBool>,
}

impl<'a> Admission<'a> {
    pub(super) fn new(gates: &'a Gates, sent: Arc<AtomicBool>) -> Self {
        Self { gates, sent }
    }

    /// The gate of a node.
    pub(super) fn gate(&self, node: &NodeAddr) -> Arc<Gate> {
        self.gates.gate(node)
    }

    /// Waits for places of a pipeline to a node. Cancel-safe.
    pub(super) async fn pass(&self, node: &NodeAddr, keys: usize) -> (Passage, InFlight) {
        let passed = self.gate(node).pass(keys).await;
        self.sent.store(true, Ordering::Relaxed);
        passed
    }
}

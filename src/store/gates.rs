//! The bound on commands in flight, per shard, and what is counted there.
//!
//! Invariant: a shard that is slow holds only its own gate; the others are not delayed by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ahash::AHashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::ShardMetrics;
use crate::shard::InFlight;
use crate::slot::NodeAddr;

/// Gates that are kept for nodes that may have left the cluster.
const GATES_MAX: usize = 4_096;

/// All shards' gates for one operation.
pub(super) struct Gates {
    operation: &'static str,
    commands_max: usize,
    gates: Mutex<AHashMap<NodeAddr, Arc<Gate>>>,
}

/// One shard's gate.
pub(super) struct Gate {
    permits: Arc<Semaphore>,
    commands_max: usize,
    metrics: ShardMetrics,
}

/// A pipeline under way; ends when dropped.
pub(super) struct Passage<'g> {
    gate: &'g Gate,
    started: Instant,
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
            permits: Arc::new(Semaphore::new(self.commands_max)),
            commands_max: self.commands_max,
            metrics: ShardMetrics::new(&node.to_string(), self.operation),
        });
        gates.insert(node.clone(), Arc::clone(&gate));
        gate
    }
}

impl Gate {
    /// Waits for places among the commands in flight; a pipeline that has more than there are takes all of them. The
    /// places are given back apart from the passage, when the node has nothing left to answer. Cancel-safe.
    pub(super) async fn pass(&self, keys: usize) -> Option<(Passage<'_>, InFlight)> {
        let places = u32::try_from(keys.clamp(1, self.commands_max)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_many_owned(places).await.ok()?;
        Some(self.passed(keys, permit))
    }

    /// The place of one command, where there is one.
    pub(super) fn pass_at_once(&self) -> Option<(Passage<'_>, InFlight)> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(self.passed(1, permit))
    }

    fn passed(&self, keys: usize, permit: OwnedSemaphorePermit) -> (Passage<'_>, InFlight) {
        self.metrics.in_flight.increment(1.0);
        self.metrics.pipelines.increment(1);
        self.metrics.keys.increment(keys as u64);
        (Passage { gate: self, started: Instant::now() }, InFlight::new(permit))
    }
}

impl Passage<'_> {
    pub(super) fn fault(&self) {
        self.gate.metrics.faults.increment(1);
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.gate.metrics.duration.record(self.started.elapsed().as_secs_f64());
        self.gate.metrics.in_flight.decrement(1.0);
    }
}

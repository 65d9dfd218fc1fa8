//! The bound on pipelines in flight, per shard, and what is counted there.
//!
//! Invariant: a shard that is slow holds only its own gate; the others are not delayed by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ahash::AHashMap;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::metrics::ShardMetrics;
use crate::slot::NodeAddr;

/// Gates that are kept for nodes that may have left the cluster.
const GATES_MAX: usize = 4_096;

/// All shards' gates for one operation.
pub(super) struct Gates {
    operation: &'static str,
    permits: usize,
    gates: Mutex<AHashMap<NodeAddr, Arc<Gate>>>,
}

/// One shard's gate.
pub(super) struct Gate {
    permits: Semaphore,
    metrics: ShardMetrics,
}

/// A pipeline under way; ends when dropped.
pub(super) struct Passage<'g> {
    gate: &'g Gate,
    started: Instant,
    _permit: SemaphorePermit<'g>,
}

impl Gates {
    pub(super) fn new(operation: &'static str, permits: usize) -> Self {
        Self { operation, permits: permits.max(1), gates: Mutex::default() }
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
            permits: Semaphore::new(self.permits),
            metrics: ShardMetrics::new(&node.to_string(), self.operation),
        });
        gates.insert(node.clone(), Arc::clone(&gate));
        gate
    }
}

impl Gate {
    /// Waits for a place among the pipelines in flight. Cancel-safe.
    pub(super) async fn pass(&self, keys: usize) -> Option<Passage<'_>> {
        // The semaphore is never closed.
        let permit = self.permits.acquire().await.ok()?;
        self.metrics.in_flight.increment(1.0);
        self.metrics.pipelines.increment(1);
        self.metrics.keys.increment(keys as u64);
        Some(Passage { gate: self, started: Instant::now(), _permit: permit })
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

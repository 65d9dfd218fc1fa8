//! What is counted of every pipeline, and the nodes that are named there.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use ahash::AHashSet;
use metrics::{Counter, Gauge, Histogram};

use super::{
    PIPELINE_COMMANDS, PIPELINE_DURATION, PIPELINE_DURATION_RECENT, PIPELINES_IN_FLIGHT, SHARD_ERRORS,
    counter, gauge, histogram,
};

/// Nodes that are named in the life of a process, those that have left included.
const SHARDS_SHOWN_MAX: usize = 4_096;
/// The label of all nodes that have none of their own.
const OTHER: &str = "other";

/// The values of the label `shard`. Series are never let go of, and where addresses change with every restart the page
/// would grow for as long as the process lives.
///
/// Invariant: there are at most so many, and `other`.
pub struct ShardLabels {
    max: usize,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    addrs: AHashSet<String>,
    is_full: bool,
}

impl ShardLabels {
    /// Room for so many.
    pub fn new(max: usize) -> Self {
        Self { max, seen: Mutex::default() }
    }

    /// Those that the process shows.
    pub fn of_process() -> &'static Self {
        static SHARDS: LazyLock<ShardLabels> = LazyLock::new(|| ShardLabels::new(SHARDS_SHOWN_MAX));
        &SHARDS
    }

    /// The label of the node with this address.
    pub fn label<'a>(&self, addr: &'a str) -> &'a str {
        if self.has_own(addr) { addr } else { OTHER }
    }

    /// Has this node a label of its own? From now on, where there is room.
    pub fn has_own(&self, addr: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.addrs.contains(addr) {
            return true;
        }
        if seen.addrs.len() < self.max {
            return seen.addrs.insert(addr.to_owned());
        }
        if !std::mem::replace(&mut seen.is_full, true) {
            tracing::warn!(max = self.max, label = OTHER, "metrics name no further nodes");
        }
        false
    }
}

/// What is counted per shard and operation. Keep it: looking it up costs more than counting.
pub struct ShardMetrics {
    duration: Histogram,
    recent: Histogram,
    commands: Histogram,
    in_flight: Gauge,
    faults: Vec<Counter>,
}

impl ShardMetrics {
    /// The metrics of one shard, by its node's address, and operation (`read`, `write`, …). `faults`: the kinds there are.
    pub fn new(shard: &str, operation: &'static str, faults: &[&'static str]) -> Self {
        let shard = ShardLabels::of_process().label(shard);
        let labels = [shard, operation];
        Self {
            duration: histogram(&PIPELINE_DURATION, labels),
            recent: histogram(&PIPELINE_DURATION_RECENT, labels),
            commands: histogram(&PIPELINE_COMMANDS, labels),
            in_flight: gauge(&PIPELINES_IN_FLIGHT, labels),
            faults: faults.iter().map(|kind| counter(&SHARD_ERRORS, [shard, operation, kind])).collect(),
        }
    }

    /// A pipeline is sent.
    #[expect(clippy::cast_precision_loss, reason = "commands are far below 2^52")]
    pub fn begin(&self, commands: usize) {
        self.in_flight.increment(1.0);
        self.commands.record(commands as f64);
    }

    /// It brought no replies; `kind` is a place in the list that the metrics were made with.
    pub fn fault(&self, kind: usize) {
        if let Some(faults) = self.faults.get(kind) {
            faults.increment(1);
        }
    }

    /// It is over. `took`: how long the node was waited for; nothing where that says nothing about the node.
    pub fn end(&self, took: Option<Duration>) {
        self.in_flight.decrement(1.0);
        if let Some(took) = took {
            let seconds = took.as_secs_f64();
            self.duration.record(seconds);
            self.recent.record(seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_beyond_the_limit_share_a_label() {
        let labels = ShardLabels::new(2);
        assert_eq!(["a", "b", "c", "a", "d"].map(|addr| labels.label(addr)), ["a", "b", OTHER, "a", OTHER]);
        assert!(labels.has_own("b") && !labels.has_own("c"));
    }
}

//! What is counted of every pipeline.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::{
    PIPELINE_COMMANDS, PIPELINE_DURATION, PIPELINE_DURATION_RECENT, PIPELINES_IN_FLIGHT, SHARD_ERRORS,
    counter, gauge, histogram,
};

/// What is counted per shard and operation. Keep it: looking it up costs more than counting.
pub struct ShardMetrics {
    duration: Histogram,
    recent: Histogram,
    commands: Histogram,
    in_flight: Gauge,
    faults: Vec<Counter>,
}

impl ShardMetrics {
    /// The metrics of one shard, by its node's address, and operation (`read`, `write`). `faults`: the kinds there are.
    pub fn new(shard: &str, operation: &'static str, faults: &[&'static str]) -> Self {
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

    /// It is over, with or without replies.
    pub fn end(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.duration.record(seconds);
        self.recent.record(seconds);
        self.in_flight.decrement(1.0);
    }
}

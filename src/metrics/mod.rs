//! Every metric, declared once: name, help, unit, labels. Labels are closed sets or node addresses, never ids.

mod http;
mod recorder;

pub use http::HttpRequests;
pub use recorder::{MetricsError, MetricsPage, UPKEEP_INTERVAL, install};

use metrics::{Counter, Gauge, Histogram, Unit};

/// One metric: what it is called and what it says.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name, with the unit last.
    pub name: &'static str,
    /// Counter, gauge or summary (of a rolling minute).
    pub kind: Kind,
    /// Its unit.
    pub unit: Unit,
    /// The HELP text.
    pub help: &'static str,
}

/// What a metric does over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Quantiles 0.5, 0.99 and 0.999 of the last minute, with a sum and a count since the start.
    Summary,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $constant:ident = $name:literal, $kind:ident, $unit:ident;)+) => {
        $($(#[doc = $help])+ pub const $constant: Metric = Metric {
            name: $name, kind: Kind::$kind, unit: Unit::$unit, help: concat!($($help),+).trim_ascii(),
        };)+
        /// Every metric there is.
        pub const ALL: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    /// Time from a batch read's call to its answer.
    BATCH_DURATION = "slotwise_batch_duration_seconds", Summary, Seconds;
    /// Ids in the batch reads answered.
    BATCH_ENTITIES = "slotwise_batch_entities_total", Counter, Count;
    /// Rows of batch reads, by status: found, partial, missing, unavailable.
    ROWS = "slotwise_rows_total", Counter, Count;
    /// Rows that were unavailable, by the kind of reason.
    ROWS_UNAVAILABLE = "slotwise_rows_unavailable_total", Counter, Count;
    /// Time from sending a pipeline to a shard to its last reply, by shard and operation.
    PIPELINE_DURATION = "slotwise_shard_pipeline_duration_seconds", Summary, Seconds;
    /// Pipelines sent, by shard and operation.
    PIPELINES = "slotwise_shard_pipelines_total", Counter, Count;
    /// Keys in the pipelines sent, by shard and operation.
    PIPELINE_KEYS = "slotwise_shard_pipeline_keys_total", Counter, Count;
    /// Pipelines in flight now, by shard and operation.
    PIPELINES_IN_FLIGHT = "slotwise_shard_pipelines_in_flight", Gauge, Count;
    /// Pipelines that brought no replies at all, by shard and operation.
    PIPELINE_FAULTS = "slotwise_shard_pipeline_faults_total", Counter, Count;
    /// Keys that a shard sent elsewhere or put off, by kind: moved, ask, not_ready.
    REDIRECTS = "slotwise_redirected_keys_total", Counter, Count;
    /// Keys that were read of a second node too, because the first was slower than usual.
    HEDGED_KEYS = "slotwise_hedged_keys_total", Counter, Count;
    /// Rows that a replica answered, from a copy that may be older.
    ROWS_STALE = "slotwise_rows_stale_possible_total", Counter, Count;
    /// Rows of writes, by kind (batch, streaming) and outcome (written, rejected).
    WRITES = "slotwise_written_rows_total", Counter, Count;
    /// HTTP requests, by route, method and status.
    HTTP_REQUESTS = "slotwise_http_requests_total", Counter, Count;
    /// Time from an HTTP request's arrival to its answer, by route and method.
    HTTP_DURATION = "slotwise_http_request_duration_seconds", Summary, Seconds;
    /// HTTP requests turned away because of a limit: connections, requests, queue, queue_wait, loads, bytes.
    HTTP_SHED = "slotwise_http_shed_total", Counter, Count;
    /// Version of the topology that reads are planned with; grows by one with every refresh.
    TOPOLOGY_VERSION = "slotwise_topology_version", Gauge, Count;
}

/// A counter without labels.
pub fn counter(metric: &Metric) -> Counter {
    metrics::counter!(metric.name)
}

/// A gauge without labels.
pub fn gauge(metric: &Metric) -> Gauge {
    metrics::gauge!(metric.name)
}

/// A summary without labels.
pub fn summary(metric: &Metric) -> Histogram {
    metrics::histogram!(metric.name)
}

/// A counter with one label.
pub fn counter_by(metric: &Metric, label: &'static str, value: &'static str) -> Counter {
    metrics::counter!(metric.name, label => value)
}

/// What is counted per shard and operation. Keep it: looking it up costs more than counting.
#[derive(Clone)]
pub struct ShardMetrics {
    /// [`PIPELINE_DURATION`].
    pub duration: Histogram,
    /// [`PIPELINES`].
    pub pipelines: Counter,
    /// [`PIPELINE_KEYS`].
    pub keys: Counter,
    /// [`PIPELINES_IN_FLIGHT`].
    pub in_flight: Gauge,
    /// [`PIPELINE_FAULTS`].
    pub faults: Counter,
}

impl ShardMetrics {
    /// The metrics of one shard, by its primary's address, and operation (`read`, `write`).
    pub fn new(shard: &str, operation: &'static str) -> Self {
        let labels = [("shard", shard.to_owned()), ("operation", operation.to_owned())];
        Self {
            duration: metrics::histogram!(PIPELINE_DURATION.name, &labels),
            pipelines: metrics::counter!(PIPELINES.name, &labels),
            keys: metrics::counter!(PIPELINE_KEYS.name, &labels),
            in_flight: metrics::gauge!(PIPELINES_IN_FLIGHT.name, &labels),
            faults: metrics::counter!(PIPELINE_FAULTS.name, &labels),
        }
    }
}

/// The counter of HTTP requests that are turned away because of this limit.
pub fn http_shed(limit: &'static str) -> Counter {
    counter_by(&HTTP_SHED, "limit", limit)
}

/// Shows the version of the topology.
pub fn topology_version(version: u64) {
    // Versions are far below 2^52.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    gauge(&TOPOLOGY_VERSION).set(version as f64);
}

/// Counts written or rejected rows. `kind` is `batch` or `streaming`.
pub fn writes(kind: &'static str, written: u64, rejected: u64) {
    metrics::counter!(WRITES.name, "kind" => kind, "outcome" => "written").increment(written);
    metrics::counter!(WRITES.name, "kind" => kind, "outcome" => "rejected").increment(rejected);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_well_named_and_described() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len(), "a name stands twice");
        for metric in ALL {
            assert!(metric.name.starts_with("slotwise_"), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}: {:?}", metric.name, metric.help);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert_eq!(metric.name.ends_with("_seconds"), metric.kind == Kind::Summary, "{}", metric.name);
        }
    }
}

//! Every metric, declared once: name, kind, unit, labels and what it says. `docs/METRICS.md` is made from this list.
//!
//! Invariant: a label's values are a closed set, a node's address, a route's pattern or a name of the schema; never an id.

use metrics::Unit;

use super::buckets::Buckets;

/// One metric: what it is called and what it says.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name, with the unit last.
    pub name: &'static str,
    /// What it does over time.
    pub kind: Kind,
    /// Its unit.
    pub unit: Unit,
    /// The names of its labels, in the order of their values.
    pub labels: &'static [&'static str],
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
    /// How many samples were at or below each bound; processes can be added up.
    Histogram(Buckets),
    /// As many samples as fall between any two powers of a small base: no bounds to choose. Only there where the feature
    /// `native-histograms` is built in, and only in protobuf.
    NativeHistogram,
    /// Quantiles 0.5, 0.99 and 0.999 of this process's last minute, with a sum and a count since the start.
    Recent,
}

impl Metric {
    /// Does it count seconds? The recorder's counters are whole numbers: such a one is kept as a gauge that is set, and
    /// shown as a counter.
    pub(super) fn counts_fractions(&self) -> bool {
        self.kind == Counter && self.unit == Unit::Seconds
    }
}

use Buckets::{Latency, Share, Size, Ttl};
use Kind::{Counter, Gauge, Histogram, NativeHistogram, Recent};

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $constant:ident = $name:literal, $kind:expr, $unit:ident, $labels:expr;)+) => {
        $($(#[doc = $help])+ pub const $constant: Metric = Metric {
            name: $name, kind: $kind, unit: Unit::$unit, labels: &$labels, help: concat!($($help),+).trim_ascii(),
        };)+
        /// Every metric there is, in the order of `docs/METRICS.md`.
        pub const ALL: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    /// Time from a read's call to its answer, by kind: batch, single (one entity that was asked for by itself, not in a list).
    READ_DURATION = "slotwise_read_duration_seconds", Histogram(Latency), Seconds, ["kind"];
    /// Quantiles of the last minute of the time from a read's call to its answer, by kind: batch, single.
    READ_DURATION_RECENT = "slotwise_read_duration_recent_seconds", Recent, Seconds, ["kind"];
    /// The same as slotwise_read_duration_seconds, as a native histogram.
    READ_DURATION_NATIVE = "slotwise_read_duration_native_seconds", NativeHistogram, Seconds, ["kind"];
    /// Ids in a read, by kind: batch, single.
    READ_ENTITIES = "slotwise_read_entities", Histogram(Size), Count, ["kind"];
    /// Features in a read, by kind: batch, single.
    READ_FEATURES = "slotwise_read_features", Histogram(Size), Count, ["kind"];
    /// Where the time of a read of kind batch goes, by phase: plan (finding each key's shard), queue (the longest time that
    /// one of its pipelines waited for a place at a shard), merge (putting answers together, also while other shards are
    /// awaited), redis (the rest: requests encoded and sent, shards waited for, pauses before retries); these four add up
    /// to the read's duration. And encode (writing the answer in its format, over HTTP), which comes after it.
    READ_PHASE_DURATION = "slotwise_read_phase_duration_seconds", Histogram(Latency), Seconds, ["phase"];
    /// Rows of reads, by kind of read (batch, single) and status: found, partial, missing, unavailable.
    ROWS = "slotwise_rows_total", Counter, Count, ["kind", "status"];
    /// Reads with at least one row that was unavailable, by kind: batch, single.
    READS_UNAVAILABLE = "slotwise_reads_unavailable_total", Counter, Count, ["kind"];
    /// Reads whose caller went away before the answer, by kind: batch, single. Nothing else is counted of them.
    READS_CANCELLED = "slotwise_reads_cancelled_total", Counter, Count, ["kind"];
    /// Rows that were unavailable, by the kind of reason.
    ROWS_UNAVAILABLE = "slotwise_rows_unavailable_total", Counter, Count, ["reason"];
    /// Rows that a replica answered, from a copy that may be older.
    ROWS_STALE = "slotwise_rows_stale_possible_total", Counter, Count, [];

    /// Time from sending a pipeline to a shard to its last reply, to its failure or, where it counts as a timeout, until it
    /// was given up; by shard and operation: read, write, confirmed_write (with the wait for replicas), admin (looks at
    /// single keys). One that was given up sooner, as its caller went away or another node was faster, is left out.
    PIPELINE_DURATION = "slotwise_shard_pipeline_duration_seconds", Histogram(Latency), Seconds, ["shard", "operation"];
    /// Quantiles of the last minute of slotwise_shard_pipeline_duration_seconds, by shard and operation: read, write,
    /// confirmed_write, admin.
    PIPELINE_DURATION_RECENT = "slotwise_shard_pipeline_duration_recent_seconds", Recent, Seconds, ["shard", "operation"];
    /// The same as slotwise_shard_pipeline_duration_seconds, as a native histogram.
    PIPELINE_DURATION_NATIVE = "slotwise_shard_pipeline_duration_native_seconds", NativeHistogram, Seconds, ["shard", "operation"];
    /// Commands in a pipeline, without ASKING, by shard and operation: read, write, confirmed_write, admin. Its count is of
    /// pipelines, its sum of commands.
    PIPELINE_COMMANDS = "slotwise_shard_pipeline_commands", Histogram(Size), Count, ["shard", "operation"];
    /// Pipelines in flight now, by shard and operation: read, write, confirmed_write, admin.
    PIPELINES_IN_FLIGHT = "slotwise_shard_pipelines_in_flight", Gauge, Count, ["shard", "operation"];
    /// Pipelines that brought no replies, by shard, operation (read, write, confirmed_write, admin) and kind: timeout (no
    /// answer within the response timeout, or until the deadline or another node took over), connection (not opened, or
    /// lost), refused (the server refuses the login), protocol (an answer to something else).
    SHARD_ERRORS = "slotwise_shard_errors_total", Counter, Count, ["shard", "operation", "kind"];
    /// 1 where the shard's primary answered a ping of this process within 0.5 s, a second ago at most; 0 where it did not,
    /// or has left.
    SHARD_CONNECTED = "slotwise_shard_connected", Gauge, Count, ["shard"];
    /// Slots that the shard owns, by its primary; 0 for a node that is no primary any more.
    SHARD_SLOTS = "slotwise_shard_slots", Gauge, Count, ["shard"];
    /// Keys that were asked of a replica because the shard's primary failed, was silent or not ready, by the primary's
    /// address.
    FALLBACK_KEYS = "slotwise_fallback_keys_total", Counter, Count, ["shard"];

    /// Keys that a shard sent elsewhere or put off, by kind: moved, ask, not_ready.
    REDIRECTS = "slotwise_redirected_keys_total", Counter, Count, ["kind"];
    /// Keys that were planned to be sent again because a pipeline with them brought no replies.
    RETRIES = "slotwise_retried_keys_total", Counter, Count, [];
    /// Keys that were read of a second node too, because the first was slower than usual.
    HEDGED_KEYS = "slotwise_hedged_keys_total", Counter, Count, [];
    /// Looks for a newer topology, by outcome: changed, unchanged, failed (no node answered, or none that knows of slots).
    TOPOLOGY_REFRESHES = "slotwise_topology_refreshes_total", Counter, Count, ["outcome"];
    /// Time since a node last confirmed the topology that reads are planned with; grows while none answers.
    TOPOLOGY_AGE = "slotwise_topology_age_seconds", Gauge, Seconds, [];
    /// Version of the topology that reads are planned with; grows with every look that a node answers.
    TOPOLOGY_VERSION = "slotwise_topology_version", Gauge, Count, [];

    /// Values in the rows that were read, of features that the schema names, by kind of entity, feature and outcome:
    /// present, missing (also where a default stands in), unparsable (present, but not of the feature's type; seen only
    /// where values are read as their types: in answers over HTTP in every format but CSV). Unavailable rows count nowhere.
    FEATURE_VALUES = "slotwise_feature_values_total", Counter, Count, ["entity", "feature", "outcome"];
    /// Time that is left until a feature expires, of a few entities a second that were just read, by kind of entity and
    /// feature of the schema: the field's own TTL for streaming features, the key's for batch features. What is not there,
    /// or never expires, is left out.
    FEATURE_TTL_LEFT = "slotwise_feature_ttl_left_seconds", Histogram(Ttl), Seconds, ["entity", "feature"];
    /// The same time as a share of the TTL that the schema says, by kind of entity and feature.
    FEATURE_TTL_LEFT_RATIO = "slotwise_feature_ttl_left_ratio", Histogram(Share), Count, ["entity", "feature"];
    /// The TTL that a feature of the schema is written with where the write names none, by kind of entity and feature.
    FEATURE_TTL = "slotwise_feature_ttl_seconds", Gauge, Seconds, ["entity", "feature"];

    /// Rows of writes, by kind (batch, streaming) and outcome: written, rejected (never sent, or refused by the server),
    /// unknown (sent, and no answer came, only a part took effect, or not enough replicas confirmed it). Where the caller
    /// went away, all rows that were being written together are unknown if any of them was sent, and rejected if none was.
    WRITES = "slotwise_written_rows_total", Counter, Count, ["kind", "outcome"];
    /// Time from a write's call to its outcome, by kind: batch (rows of a bulk load that are sent together), streaming.
    WRITE_DURATION = "slotwise_write_duration_seconds", Histogram(Latency), Seconds, ["kind"];

    /// HTTP requests, by route, method and status.
    HTTP_REQUESTS = "slotwise_http_requests_total", Counter, Count, ["route", "method", "status"];
    /// Time from an HTTP request's arrival to its answer, by route and method. Requests whose client went away before
    /// (status 499) are not in it.
    HTTP_DURATION = "slotwise_http_request_duration_seconds", Histogram(Latency), Seconds, ["route", "method"];
    /// Quantiles of the last minute of the time from an HTTP request's arrival to its answer, by route and method.
    HTTP_DURATION_RECENT = "slotwise_http_request_duration_recent_seconds", Recent, Seconds, ["route", "method"];
    /// The same as slotwise_http_request_duration_seconds, as a native histogram.
    HTTP_DURATION_NATIVE = "slotwise_http_request_duration_native_seconds", NativeHistogram, Seconds, ["route", "method"];
    /// HTTP requests whose body comes in, that wait for their turn or are being served now; those for health and metrics
    /// do not count.
    HTTP_IN_FLIGHT = "slotwise_http_requests_in_flight", Gauge, Count, [];
    /// Time that HTTP requests waited for their turn to be served, or in vain; 0 where it came at once. A request whose
    /// ids turn out to be many waits twice.
    HTTP_QUEUE_DURATION = "slotwise_http_queue_duration_seconds", Histogram(Latency), Seconds, [];
    /// HTTP requests turned away, by reason, the limit that was met: connections, requests, queue, queue_wait, loads, bytes.
    HTTP_SHED = "slotwise_http_shed_total", Counter, Count, ["reason"];

    /// 1; the version and the target that the program was built for are its labels.
    BUILD_INFO = "slotwise_build_info", Gauge, Count, ["version", "target"];
    /// Processor time that the process used.
    PROCESS_CPU = "slotwise_process_cpu_seconds_total", Counter, Seconds, [];
    /// Memory of the process that is in RAM.
    PROCESS_MEMORY = "slotwise_process_resident_memory_bytes", Gauge, Bytes, [];
    /// Files and connections that the process has open.
    PROCESS_FDS = "slotwise_process_open_fds", Gauge, Count, [];
    /// Files and connections that the process may have open; not shown where there is no limit.
    PROCESS_FDS_MAX = "slotwise_process_max_fds", Gauge, Count, [];
    /// When the process began, in seconds since 1970.
    PROCESS_START = "slotwise_process_start_time_seconds", Gauge, Seconds, [];
    /// Threads that run tasks.
    RUNTIME_WORKERS = "slotwise_runtime_workers", Gauge, Count, [];
    /// Tasks that have not ended.
    RUNTIME_TASKS = "slotwise_runtime_alive_tasks", Gauge, Count, [];
    /// Tasks that wait for any thread to run them.
    RUNTIME_QUEUE = "slotwise_runtime_global_queue_tasks", Gauge, Count, [];
    /// Time that threads that run tasks were busy, all threads together.
    RUNTIME_BUSY = "slotwise_runtime_busy_seconds_total", Counter, Seconds, [];
}

/// Histograms that are recorded a second time as native ones, where those are built in: who scrapes protobuf gets both,
/// so that a change from one to the other breaks no dashboard.
pub const NATIVE_TWINS: [(&Metric, &Metric); 3] = [
    (&READ_DURATION, &READ_DURATION_NATIVE),
    (&PIPELINE_DURATION, &PIPELINE_DURATION_NATIVE),
    (&HTTP_DURATION, &HTTP_DURATION_NATIVE),
];

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
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Counter, "{}", metric.name);
            let base = metric.name.trim_end_matches("_total");
            assert_eq!(base.ends_with("_seconds"), metric.unit == Unit::Seconds, "{}", metric.name);
            assert_eq!(base.ends_with("_bytes"), metric.unit == Unit::Bytes, "{}", metric.name);
            for label in metric.labels {
                assert!(!["id", "key", "le", "quantile"].contains(label), "{}: {label}", metric.name);
            }
        }
    }
}

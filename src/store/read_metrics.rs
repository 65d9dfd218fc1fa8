//! What is counted of reads: how long they take and where the time goes, rows, values.
//!
//! Invariant: a read is recorded once, with a cost that does not grow with the rows, but for partial and unavailable ones.

use std::time::Duration;

use ahash::AHashMap;
use metrics::{Counter, Histogram};

use crate::metrics::{self as declared, counter, histogram};
use crate::model::{FeatureBatch, FeatureName, Projection, RowStatus, Schema, UnavailableReason};

use super::FeatureStore;
use super::watch::features_shown;

/// Features of a read that are counted without an allocation.
const FEW_FEATURES: usize = 32;

/// How a read was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadKind {
    /// As a list of ids, however many.
    Batch,
    /// As one entity.
    Single,
}

/// What is counted of reads of all kinds of entity; looked up once.
pub(super) struct ReadMetrics {
    batch: Reads,
    single: Reads,
    plan: Histogram,
    queue: Histogram,
    redis: Histogram,
    merge: Histogram,
    encode: Histogram,
    stale: Counter,
    unavailable: [Counter; UnavailableReason::KINDS.len()],
}

struct Reads {
    duration: Histogram,
    recent: Histogram,
    entities: Histogram,
    features: Histogram,
    rows: [Counter; 4],
    unavailable: Counter,
    cancelled: Counter,
}

/// A read under way; counted as cancelled when it is dropped before it is over.
pub(super) struct UnderWay<'a>(Option<&'a Counter>);

impl UnderWay<'_> {
    /// The read has ended, one way or the other.
    pub(super) fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(cancelled) = self.0 {
            cancelled.increment(1);
        }
    }
}

/// Where the time of a read went; the rest of it was spent waiting for Redis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phases {
    pub(super) plan: Duration,
    /// May overlap with merging what other shards have answered.
    pub(super) queue: Duration,
    pub(super) merge: Duration,
}

impl ReadMetrics {
    pub(super) fn new() -> Self {
        let phase = |name| histogram(&declared::READ_PHASE_DURATION, [name]);
        Self {
            batch: Reads::new("batch"),
            single: Reads::new("single"),
            plan: phase("plan"),
            queue: phase("queue"),
            redis: phase("redis"),
            merge: phase("merge"),
            encode: phase("encode"),
            stale: counter(&declared::ROWS_STALE, []),
            unavailable: UnavailableReason::KINDS.map(|kind| counter(&declared::ROWS_UNAVAILABLE, [kind])),
        }
    }

    fn of(&self, kind: ReadKind) -> &Reads {
        match kind {
            ReadKind::Batch => &self.batch,
            ReadKind::Single => &self.single,
        }
    }

    /// A read begins.
    pub(super) fn begin(&self, kind: ReadKind) -> UnderWay<'_> {
        UnderWay(Some(&self.of(kind).cancelled))
    }

    /// Records a read. One of a single id has no phases, also where it went the long way.
    pub(super) fn record(
        &self,
        kind: ReadKind,
        batch: &FeatureBatch,
        took: Duration,
        phases: Option<Phases>,
    ) {
        self.of(kind).record(batch, took);
        if let (Some(phases), ReadKind::Batch) = (phases, kind) {
            self.record_phases(took, phases);
        }
        let summary = batch.summary();
        add(&self.stale, summary.stale_possible);
        if summary.unavailable > 0 {
            for (reason, rows) in batch.unavailable() {
                self.unavailable[reason.kind_index()].increment(rows);
            }
        }
    }

    fn record_phases(&self, took: Duration, Phases { plan, queue, merge }: Phases) {
        let rest = took.saturating_sub(plan).saturating_sub(merge);
        let queue = queue.min(rest);
        self.plan.record(plan);
        self.queue.record(queue);
        self.redis.record(rest - queue);
        self.merge.record(merge);
    }
}

impl Reads {
    fn new(kind: &'static str) -> Self {
        Self {
            duration: histogram(&declared::READ_DURATION, [kind]),
            recent: histogram(&declared::READ_DURATION_RECENT, [kind]),
            entities: histogram(&declared::READ_ENTITIES, [kind]),
            features: histogram(&declared::READ_FEATURES, [kind]),
            rows: RowStatus::ALL.map(|status| counter(&declared::ROWS, [kind, status.as_str()])),
            unavailable: counter(&declared::READS_UNAVAILABLE, [kind]),
            cancelled: counter(&declared::READS_CANCELLED, [kind]),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn record(&self, batch: &FeatureBatch, took: Duration) {
        self.duration.record(took);
        self.recent.record(took);
        self.entities.record(batch.len() as f64);
        self.features.record(batch.features().len() as f64);
        let summary = batch.summary();
        for status in RowStatus::ALL {
            add(&self.rows[status.index()], summary.of(status));
        }
        add(&self.unavailable, usize::from(summary.unavailable > 0));
    }
}

/// What is counted of the values of one kind of entity: of the features that its schema names, looked up once.
#[derive(Default)]
pub(super) struct FeatureMetrics(AHashMap<FeatureName, Values>);

struct Values {
    present: Counter,
    missing: Counter,
    unparsable: Counter,
}

impl FeatureMetrics {
    pub(super) fn new(entity: &str, schema: &Schema) -> Self {
        let values = |name: &FeatureName| {
            let outcome = |outcome| counter(&declared::FEATURE_VALUES, [entity, name.as_str(), outcome]);
            Values {
                present: outcome("present"),
                missing: outcome("missing"),
                unparsable: outcome("unparsable"),
            }
        };
        let shown = features_shown(schema).into_iter();
        Self(shown.map(|feature| (feature.name.clone(), values(&feature.name))).collect())
    }

    /// Counts the values that are there, and those that are not.
    fn record(&self, batch: &FeatureBatch) {
        let read = (batch.len() - batch.summary().unavailable) as u64;
        if self.0.is_empty() || read == 0 {
            return;
        }
        let (width, mut few, mut many) = (batch.features().len(), [0; FEW_FEATURES], Vec::new());
        let absent = if let Some(few) = few.get_mut(..width) {
            few
        } else {
            many.resize(width, 0);
            &mut many[..]
        };
        batch.count_absent(absent);
        for (name, absent) in batch.features().iter().zip(absent.iter().copied()) {
            if let Some(values) = self.0.get(name) {
                for (counter, count) in [(&values.present, read - absent), (&values.missing, absent)] {
                    if count > 0 {
                        counter.increment(count);
                    }
                }
            }
        }
    }

    fn record_unparsable(&self, projection: &Projection, counts: &[u64]) {
        for (name, count) in projection.names().iter().zip(counts) {
            if let (Some(values), 1..) = (self.0.get(name), *count) {
                values.unparsable.increment(*count);
            }
        }
    }
}

impl FeatureStore {
    /// Records a read, which every way of reading does once.
    pub(super) fn record_read(
        &self,
        kind: ReadKind,
        batch: &FeatureBatch,
        took: Duration,
        phases: Option<Phases>,
    ) {
        self.engine.read_metrics.record(kind, batch, took, phases);
        self.kind.features.record(batch);
        self.kind.recent.offer(batch);
    }

    /// Adds to the metrics how long it took to write out a batch's answer. Whoever writes answers calls it.
    pub fn record_encoding(&self, took: Duration) {
        self.engine.read_metrics.encode.record(took);
    }

    /// Adds to the metrics how many values of each feature of `projection` were there, but not of its type. Values are not
    /// looked at while they are read: whoever has done so calls it.
    pub fn record_unparsable(&self, projection: &Projection, counts: &[u64]) {
        self.kind.features.record_unparsable(projection, counts);
    }

    /// Records once more what a read of this batch has recorded, with one pipeline to each shard. For benches: every read
    /// does it by itself.
    #[doc(hidden)]
    pub fn record_again(&self, batch: &FeatureBatch) {
        let begun = std::time::Instant::now();
        for shard in self.topology().shards() {
            let gate = self.engine.read_gates.gate(&shard.primary);
            if let Some((passage, _place)) = gate.pass_at_once(begun + Duration::from_secs(1)) {
                passage.answered();
            }
        }
        let took = begun.elapsed();
        let phases = Phases { plan: took / 4, queue: took / 4, merge: took / 4 };
        self.record_read(ReadKind::Batch, batch, took, Some(phases));
    }
}

fn add(counter: &Counter, count: usize) {
    if count > 0 {
        counter.increment(count as u64);
    }
}

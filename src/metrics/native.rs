//! Durations recorded a second time, as native histograms.

use std::sync::Arc;

use metrics::{Histogram, HistogramFn};
use metrics_exporter_prometheus::NativeHistogramConfig;

use super::{Metric, NATIVE_TWINS};

/// How much wider a bucket is than the one below it, at most, while there are few enough: a quantile is off by 5 % then.
const BUCKET_FACTOR: f64 = 1.1;
/// Buckets of one histogram; with more, each two become one.
const BUCKETS_MAX: u32 = 160;
/// What is shorter counts as nothing, in seconds.
const ZERO_THRESHOLD: f64 = 1e-6;

pub(super) fn config() -> Result<NativeHistogramConfig, &'static str> {
    NativeHistogramConfig::new(BUCKET_FACTOR, BUCKETS_MAX, ZERO_THRESHOLD)
}

/// The native histogram that has the same samples.
pub(super) fn twin(metric: &Metric) -> Option<&'static Metric> {
    NATIVE_TWINS.iter().find(|(classic, _)| classic.name == metric.name).map(|(_, native)| *native)
}

/// Records every sample in both.
pub(super) fn both(classic: Histogram, native: Histogram) -> Histogram {
    Histogram::from_arc(Arc::new(Both(classic, native)))
}

struct Both(Histogram, Histogram);

impl HistogramFn for Both {
    fn record(&self, value: f64) {
        self.0.record(value);
        self.1.record(value);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.0.record_many(value, count);
        self.1.record_many(value, count);
    }
}

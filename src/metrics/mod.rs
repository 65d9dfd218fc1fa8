//! What the program counts and measures: `declared` says what there is, the other files count it.

mod buckets;
mod closed;
mod declared;
mod http;
#[cfg(feature = "native-histograms")]
mod native;
mod page;
mod process;
mod recorder;
mod shard;

pub use buckets::Buckets;
pub use declared::*;
pub use http::HttpRequests;
pub use page::markdown;
pub use process::observe_process;
pub use recorder::{MetricsError, MetricsPage, UPKEEP_INTERVAL, install};
pub use shard::{ShardLabels, ShardMetrics};

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

/// A counter, with the values of its labels.
pub fn counter<const N: usize>(metric: &Metric, values: [&str; N]) -> Counter {
    metrics::counter!(metric.name, &labels(metric, values))
}

/// A gauge, with the values of its labels.
pub fn gauge<const N: usize>(metric: &Metric, values: [&str; N]) -> Gauge {
    metrics::gauge!(metric.name, &labels(metric, values))
}

/// A histogram, or quantiles of the last minute, with the values of its labels. What has a native twin is recorded there
/// too, where native histograms are built in.
pub fn histogram<const N: usize>(metric: &Metric, values: [&str; N]) -> Histogram {
    let histogram = metrics::histogram!(metric.name, &labels(metric, values));
    #[cfg(feature = "native-histograms")]
    let histogram = match native::twin(metric) {
        None => histogram,
        Some(twin) => native::both(histogram, metrics::histogram!(twin.name, &labels(twin, values))),
    };
    histogram
}

fn labels<const N: usize>(metric: &Metric, values: [&str; N]) -> [(&'static str, String); N] {
    debug_assert_eq!(metric.labels.len(), N, "{}", metric.name);
    debug_assert!(closed::allows(metric, &values), "{}: {values:?}", metric.name);
    let mut names = metric.labels.iter().copied();
    values.map(|value| (names.next().unwrap_or_default(), value.to_owned()))
}

/// The counter of HTTP requests that are turned away because of this limit.
pub fn http_shed(limit: &'static str) -> Counter {
    counter(&HTTP_SHED, [limit])
}

/// Shows how many HTTP requests are in flight.
pub fn http_in_flight(requests: usize) {
    #[expect(clippy::cast_precision_loss, reason = "bounded by a limit far below 2^52")]
    gauge(&HTTP_IN_FLIGHT, []).set(requests as f64);
}

/// Shows the topology's version, and the time since it was confirmed.
pub fn topology(version: u64, age: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "versions are far below 2^52")]
    gauge(&TOPOLOGY_VERSION, []).set(version as f64);
    gauge(&TOPOLOGY_AGE, []).set(age);
}

/// Counts a look for a newer topology.
pub fn topology_refresh(outcome: &'static str) {
    counter(&TOPOLOGY_REFRESHES, [outcome]).increment(1);
}

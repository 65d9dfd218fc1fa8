//! Labels whose values are a closed set. What has no others is on the page from the start, with 0, so that rates and
//! alerts see its first event.
//!
//! Invariant: nothing is recorded under another value; where assertions are on, that panics.

use super::{
    HEDGED_KEYS, HTTP_QUEUE_DURATION, HTTP_SHED, Kind, Metric, READ_DURATION, READ_DURATION_RECENT,
    READ_ENTITIES, READ_FEATURES, READ_PHASE_DURATION, READS_CANCELLED, READS_UNAVAILABLE, REDIRECTS,
    RETRIES, ROWS, ROWS_STALE, ROWS_UNAVAILABLE, TOPOLOGY_REFRESHES, WRITE_DURATION, WRITES,
};

const READS: &[&str] = &["batch", "single"];
const WRITTEN: &[&str] = &["batch", "streaming"];

/// Metrics, each with the values of all its labels. Gauges and seconds of the process are shown when they are known.
const CLOSED: &[(&Metric, &[&[&str]])] = &[
    (&READ_DURATION, &[READS]),
    (&READ_DURATION_RECENT, &[READS]),
    (&READ_ENTITIES, &[READS]),
    (&READ_FEATURES, &[READS]),
    (&READ_PHASE_DURATION, &[&["plan", "queue", "redis", "merge", "encode"]]),
    (&ROWS, &[READS, &["found", "partial", "missing", "unavailable"]]),
    (&READS_UNAVAILABLE, &[READS]),
    (&READS_CANCELLED, &[READS]),
    (
        &ROWS_UNAVAILABLE,
        &[&[
            "deadline_exceeded",
            "slot_uncovered",
            "attempts_exhausted",
            "refused",
            "outcome_unknown",
            "shard_away",
            "unconfirmed",
        ]],
    ),
    (&ROWS_STALE, &[]),
    (&REDIRECTS, &[&["moved", "ask", "not_ready"]]),
    (&RETRIES, &[]),
    (&HEDGED_KEYS, &[]),
    (&TOPOLOGY_REFRESHES, &[&["changed", "unchanged", "failed"]]),
    (&WRITES, &[WRITTEN, &["written", "rejected", "unknown"]]),
    (&WRITE_DURATION, &[WRITTEN]),
    (&HTTP_QUEUE_DURATION, &[]),
    (&HTTP_SHED, &[&["connections", "requests", "queue", "queue_wait", "loads", "bytes"]]),
];

/// Puts everything that has closed sets only on the page.
pub(super) fn register() {
    for (metric, sets) in CLOSED {
        for values in combinations(sets) {
            let labels: Vec<(&str, &str)> = metric.labels.iter().copied().zip(values).collect();
            match metric.kind {
                Kind::Counter => metrics::counter!(metric.name, &labels).increment(0),
                Kind::Gauge => metrics::gauge!(metric.name, &labels).set(0.0),
                Kind::Histogram(_) | Kind::NativeHistogram | Kind::Recent => {
                    drop(metrics::histogram!(metric.name, &labels));
                }
            }
        }
    }
}

/// May a metric have these values of its labels?
pub(super) fn allows(metric: &Metric, values: &[&str]) -> bool {
    let sets = CLOSED.iter().find(|(closed, _)| closed.name == metric.name);
    sets.is_none_or(|(_, sets)| sets.iter().zip(values).all(|(set, value)| set.contains(value)))
}

/// One value of each set, in every way.
fn combinations(sets: &[&[&'static str]]) -> Vec<Vec<&'static str>> {
    sets.iter().fold(vec![Vec::new()], |begun, set| {
        let with_each = |values: Vec<_>| set.iter().map(move |value| [&values[..], &[*value]].concat());
        begun.into_iter().flat_map(with_each).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_has_its_values() {
        for (metric, sets) in CLOSED {
            assert_eq!(metric.labels.len(), sets.len(), "{}", metric.name);
        }
        assert_eq!(combinations(&[]), [Vec::<&str>::new()]);
        let both = combinations(&[&["a", "b"], &["c", "d"]]);
        assert_eq!(both, [["a", "c"], ["a", "d"], ["b", "c"], ["b", "d"]]);
        assert!(allows(&WRITES, &["batch", "unknown"]) && !allows(&WRITES, &["batch", "lost"]));
    }
}

//! `docs/METRICS.md`, made from the declarations.

use std::fmt::Write;

use metrics::Unit;

use super::{ALL, Buckets, Kind, Metric};

const HEAD: &str = "\
# Metrics

Made from `src/metrics/declared.rs`: `UPDATE_DOCS=1 cargo test --lib docs_are_up_to_date`.

`GET /metrics` shows them in Prometheus' text format. Native histograms are only there in a program that was built with the
feature `native-histograms`, and only in protobuf (see [TRACING.md](TRACING.md)). Units are base units; labels are closed sets, node addresses,
patterns of routes and names of the schema, never ids. Metrics whose name ends in `_recent_seconds` are quantiles of this
process's own last minute, for `curl`; they can't be added up over processes, histograms can. After a minute without samples
text has no quantiles of them, only their sum and count (protobuf shows 0). What has closed sets of label values is shown
with 0 from the start.

Metrics name 4,096 nodes in the life of a process, those that have left included. Further ones are counted together, as
`shard=\"other\"`, and have no `slotwise_shard_connected` nor `slotwise_shard_slots`. They show 256 features of a kind of entity,
the first by name. Each limit that is met is logged once.

What is shown of shards comes from one ping a second of each server to each primary. TTLs are sampled: every `ttl_sample_interval_ms` (1 s;
`[metrics]` of the config, 0 for never) two commands, `TTL` and `HTTL`, for each of 8 entities of a kind at most that were
just read, in one pipeline to a shard; so a kind costs the whole cluster 16 commands a second of each server at most, and nothing while
nobody reads it. A sample that does not come within 250 ms is dropped. Samples have a connection of their own to each primary, so
that they neither wait for writes nor disturb them.

| metric | kind | labels | what it says |
|---|---|---|---|
";

/// The page, in Markdown.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for Metric { name, kind, unit, labels, help } in ALL {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
            Kind::NativeHistogram => "native histogram",
            Kind::Recent => "summary",
        };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let unit = match unit {
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
            _ => "count",
        };
        // A String never fails to be written to.
        let _ = writeln!(page, "| `{name}` | {kind}, {unit} | {} | {help} |", labels.join(", "));
    }
    page.push_str("\n## Bounds of histograms\n\n");
    for (buckets, name) in [
        (Buckets::Latency, "Durations"),
        (Buckets::Size, "Sizes"),
        (Buckets::Ttl, "TTLs"),
        (Buckets::Share, "Shares"),
    ] {
        let bounds: Vec<String> = buckets.bounds().iter().map(f64::to_string).collect();
        let _ = writeln!(page, "- {name}: {}", bounds.join(", "));
    }
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn docs_are_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, super::markdown()).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            there == super::markdown(),
            "docs/METRICS.md is old: UPDATE_DOCS=1 cargo test --lib docs_are_up_to_date"
        );
    }
}

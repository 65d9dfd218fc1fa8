//! Metrics in both directions: what is shown exists, and what exists is shown.

use std::collections::BTreeSet;

use slotwise::metrics::{ALL, Buckets};

use crate::labels::Known;
use crate::support::dashboards::{alerts, queries, recorded};

/// Metrics that are in no panel and no rule, and why.
const SHOWN_NOWHERE: &[(&str, &str)] = &[
    ("slotwise_read_duration_recent_seconds", "for curl; quantiles of processes can't be added up"),
    ("slotwise_shard_pipeline_duration_recent_seconds", "for curl; quantiles of processes can't be added up"),
    ("slotwise_http_request_duration_recent_seconds", "for curl; quantiles of processes can't be added up"),
    ("slotwise_read_duration_native_seconds", "the twin of a classic one, and not in every build"),
    ("slotwise_shard_pipeline_duration_native_seconds", "the twin of a classic one, and not in every build"),
    ("slotwise_http_request_duration_native_seconds", "the twin of a classic one, and not in every build"),
];

/// The labels in a legend or a text: `{{name}}`, `{{ $labels.name }}`.
fn named_in(text: &str) -> Vec<String> {
    let inner = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let words = inner.flat_map(str::split_whitespace);
    words.map(|word| word.trim_start_matches("$labels.").to_owned()).collect()
}

#[test]
fn panels_and_rules_name_only_series_and_labels_that_there_are() {
    let mut known = Known::new();
    for query in queries() {
        let labels = known.labels_of(&query.place, &query.expr);
        for label in named_in(&query.legend).iter().filter(|label| !labels.contains(*label)) {
            known.wrong.push(format!("{}: the legend names {label:?}; there is {labels:?}", query.place));
        }
    }
    for rule in recorded().iter().chain(&alerts()) {
        let mut labels = known.labels_of(&rule.name, &rule.expr);
        labels.extend(rule.labels.iter().cloned());
        for text in rule.text["annotations"].as_object().into_iter().flat_map(|all| all.values()) {
            for word in text.as_str().unwrap().split("$labels.").skip(1) {
                let label = word.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                if !labels.contains(label) {
                    known.wrong.push(format!("{}: the text names {label:?}; there is {labels:?}", rule.name));
                }
            }
        }
    }
    assert!(known.wrong.is_empty(), "{}", known.wrong.join("\n"));
}

#[test]
fn every_metric_is_in_a_panel_or_a_rule_or_has_a_reason_not_to_be() {
    let mut known = Known::new();
    for query in queries() {
        known.labels_of(&query.place, &query.expr);
    }
    for rule in alerts() {
        known.labels_of(&rule.name, &rule.expr);
    }
    let excused: BTreeSet<&str> = SHOWN_NOWHERE.iter().map(|(name, _)| *name).collect();
    let all: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    let missing: Vec<_> =
        all.iter().filter(|name| !known.named.contains(*name) && !excused.contains(*name)).collect();
    assert!(missing.is_empty(), "in no panel and no rule: {missing:?}");
    let stale: Vec<_> =
        excused.iter().filter(|name| known.named.contains(*name) || !all.contains(*name)).collect();
    assert!(stale.is_empty(), "excused, and shown or not declared: {stale:?}");
    let recorded: BTreeSet<String> = recorded().into_iter().map(|rule| rule.name).collect();
    let unused: Vec<_> = recorded.difference(&known.recorded_named).collect();
    assert!(unused.is_empty(), "recorded for nobody: {unused:?}");
}

#[test]
fn targets_can_be_met_and_the_threshold_is_a_bound() {
    let target = |name: &str| -> f64 {
        let rules: Vec<_> = recorded().into_iter().filter(|rule| rule.name == name).collect();
        assert_eq!(rules.len(), 1, "{name} is set in one place");
        let value = rules[0].expr.strip_prefix("vector(").and_then(|rest| rest.strip_suffix(')'));
        value.unwrap().parse().unwrap()
    };
    let threshold = target("slotwise:slo_latency_threshold_seconds");
    assert!(Buckets::Latency.bounds().contains(&threshold), "{threshold} is no bound of durations");
    for name in ["slotwise:slo_latency_objective", "slotwise:slo_availability_objective"] {
        let objective = target(name);
        assert!(objective > 0.5 && objective < 1.0, "{name}: {objective}");
    }
}

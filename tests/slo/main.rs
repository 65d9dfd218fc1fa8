//! What the on-call engineer would see: a real Prometheus scrapes a served engine under load, evaluates every panel and
//! every rule that the program writes, and two faults show in them.

#![allow(clippy::print_stdout, reason = "what was seen")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

mod prometheus;
mod scene;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use prometheus::Prometheus;
use scene::Scene;
use serde_json::Value;
use slotwise::metrics::Buckets;
use support::page::Page;
use support::{dashboards, slotwise, wait_until};

/// Until a fault has to show, with windows of a minute that fill first.
const SHOWN_WITHIN: Duration = Duration::from_secs(150);
/// Batches in the record of the load generator, at least.
const BATCHES_MIN: usize = 300;
/// The shard that stalls.
const VICTIM: usize = 1;

/// Writes the dashboards and rules of the program, the rules with a second between two evaluations.
fn write_dashboards(folder: &Path) {
    let output = slotwise().args(["dashboards", "--dir"]).arg(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    for entry in std::fs::read_dir(folder.join("rules")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let rules = std::fs::read_to_string(&path).unwrap();
            let line = |line: &str| match line.trim_start().starts_with("interval:") {
                true => String::new(),
                false => format!("{line}\n"),
            };
            std::fs::write(&path, rules.lines().map(line).collect::<String>()).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_and_rule_works_and_two_faults_show_in_them() {
    let scene = Scene::start().await;
    let folder = scene.home.path().join("dashboards");
    write_dashboards(&folder);
    let prometheus = Prometheus::start(scene.home.path(), &folder.join("rules"), &scene.server.address).await;

    let others = (scene::single_reads(&scene.server), scene::loads(&scene.server));
    let stream = scene::stream(&scene.server);
    p99_agrees(&scene, &prometheus).await;
    let batches = scene::batches(&scene.server);
    assert_quiet(&prometheus).await;

    scene.cluster.pause_node(VICTIM).unwrap();
    stream.stop().await;
    let alerts = [
        "SlotwiseShardDown",
        "SlotwiseStreamStalled",
        "SlotwiseAvailabilityBurnFast",
        "SlotwiseLatencyBurnFast",
    ];
    wait_until("the alerts that are meant for these faults fire", SHOWN_WITHIN, || async {
        let firing = prometheus.firing().await;
        alerts.iter().all(|alert| firing.iter().any(|name| name == alert))
    })
    .await;
    assert_every_panel_has_data(&prometheus).await;
    let page = Page::of(&scene.server.address).await;
    page.assert_declared();
    assert_eq!(page.not_shown(), [EMPTY[0].0]);
    assert_rules_evaluate(&prometheus).await;
    assert_faults_show(&scene, &prometheus).await;

    scene.cluster.resume_node(VICTIM).unwrap();
    let stream = scene::stream(&scene.server);
    wait_until("the alerts of the shard and of the stream are over", SHOWN_WITHIN, || async {
        let firing = prometheus.firing().await;
        !firing.iter().any(|name| name == alerts[0] || name == alerts[1])
    })
    .await;
    batches.stop().await;
    stream.stop().await;
    others.0.stop().await;
    others.1.stop().await;
}

/// The histogram that Prometheus has says the same p99 as the load generator's own record, within a bucket.
async fn p99_agrees(scene: &Scene, prometheus: &Prometheus) {
    let batches = scene::batches(&scene.server);
    wait_until("enough batches are scraped", SHOWN_WITHIN, || async {
        prometheus.value(&of_batches("count")).await.is_some_and(|count| count >= BATCHES_MIN as f64)
    })
    .await;
    let mut took: Vec<Duration> = batches.stop().await.into_iter().map(|(took, _)| took).collect();
    wait_until("every batch is scraped", SHOWN_WITHIN, || async {
        prometheus.value(&of_batches("count")).await == Some(took.len() as f64)
    })
    .await;
    took.sort_unstable();
    let recorded = took[took.len() * 99 / 100].as_secs_f64();
    let quantile = format!("histogram_quantile(0.99, sum by (le) ({}))", of_batches("bucket"));
    let shown = prometheus.value(&quantile).await.unwrap();
    let bucket = |seconds: f64| Buckets::Latency.bounds().partition_point(|bound| *bound < seconds);
    println!("p99 of {} batches: {recorded:.6} s recorded, {shown:.6} s in Prometheus", took.len());
    assert!(bucket(recorded).abs_diff(bucket(shown)) <= 1, "{recorded} {shown}");
}

fn of_batches(suffix: &str) -> String {
    format!(
        "slotwise_http_request_duration_seconds_{suffix}{{route=\"/v1/features/batch\", method=\"POST\"}}"
    )
}

/// Without a fault no alert fires, and every rule is evaluated.
async fn assert_quiet(prometheus: &Prometheus) {
    wait_until("the stream's freshness is sampled", SHOWN_WITHIN, || async {
        let sampled = "sum(slotwise_feature_ttl_left_seconds_count{feature=\"tx_count_5m\"})";
        prometheus.value(sampled).await.is_some_and(|samples| samples >= 10.0)
    })
    .await;
    assert_eq!(prometheus.firing().await, Vec::<String>::new());
    assert_rules_evaluate(prometheus).await;
}

async fn assert_rules_evaluate(prometheus: &Prometheus) {
    let rules = prometheus.rules().await;
    assert!(rules.len() > 20, "{rules:?}");
    for (name, expression, error) in rules {
        assert_eq!(error, None, "{name}: {expression}");
    }
}

/// What may be without data while one shard stalls and a stream is paused, and why.
const EMPTY: [(&str, &str); 2] = [
    ("slotwise_fallback_keys_total", "without replicas nobody stands in"),
    ("slotwise:feature_present:ratio7d", "begins ten minutes after the first scrape"),
];

async fn assert_every_panel_has_data(prometheus: &Prometheus) {
    let mut empty = Vec::new();
    let queries = dashboards::queries();
    println!("{} queries of panels, variables and annotations", queries.len());
    for query in queries {
        let expression = filled(&query.expr);
        let found = prometheus.query(&expression).await;
        let found = found.unwrap_or_else(|error| panic!("{}: {expression}: {error}", query.place));
        if found.is_empty() && !EMPTY.iter().any(|(series, _)| expression.contains(series)) {
            empty.push(format!("{}: {expression}", query.place));
        }
    }
    assert!(empty.is_empty(), "without data:\n{}", empty.join("\n"));
}

/// The expression with all of everything for Grafana's variables.
fn filled(expression: &str) -> String {
    let mut parts = expression.split('$');
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
        text.push_str(".+");
        text.push_str(&part[end..]);
    }
    text
}

/// What a panel shows: its first query, with all of everything.
async fn shown(prometheus: &Prometheus, title: &str) -> Vec<(Value, f64)> {
    let queries = dashboards::queries();
    let query = queries
        .iter()
        .find(|query| query.place.ends_with(title))
        .unwrap_or_else(|| panic!("no panel {title}"));
    prometheus.query(&filled(&query.expr)).await.unwrap()
}

/// In the panels the stalled shard is told from the others, and the paused stream from what is still written.
async fn assert_faults_show(scene: &Scene, prometheus: &Prometheus) {
    let victim = scene.cluster.nodes()[VICTIM].addr().to_string();
    for (labels, answers) in shown(prometheus, "Does every primary answer?").await {
        assert_eq!(answers < 1.0, labels["shard"] == victim.as_str(), "{labels}");
    }
    for title in ["Which shard is slow?", "Which shard brings no replies, and why?"] {
        let by_shard = shown(prometheus, title).await;
        let worst = by_shard.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert_eq!(worst.0["shard"], victim.as_str(), "{title} {by_shard:?}");
    }
    for slo in ["latency", "availability"] {
        let met = shown(prometheus, &format!("Is the {slo} SLO met?")).await;
        let objective = prometheus.value(&format!("slotwise:slo_{slo}_objective")).await.unwrap();
        assert!(met.len() == 1 && met[0].1 < objective, "{slo}: {met:?}");
    }
    wait_until("values of the paused stream are missing, and of it alone", SHOWN_WITHIN, || async {
        let missing = shown(prometheus, "How many values are missing?").await;
        let missing: Vec<_> = missing.iter().filter(|(_, rate)| *rate > 0.0).collect();
        missing.len() == 1 && missing[0].0["feature"] == scene::STREAMING
    })
    .await;
    let firing = shown(prometheus, "Which alerts are firing?").await;
    let ours = |alert: &(Value, f64)| alert.0["alertname"].as_str().unwrap().starts_with("Slotwise");
    assert!(firing.len() >= 4 && firing.iter().all(ours), "{firing:?}");
}

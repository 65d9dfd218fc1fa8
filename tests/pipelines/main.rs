//! What goes over the wire, counted by the metrics page and by the servers. Counts are of the whole process and of
//! whole clusters, so the tests of this binary take turns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../support/mod.rs"]
mod support;

use std::sync::OnceLock;
use std::time::Duration;

use slotwise::metrics::MetricsPage;
use slotwise::store::{EntityOptions, StoreOptions};
use support::features::{
    LONG, Oracle, assert_filled, assert_transport, cohort, id, ids, kind, names, options, store, store_with,
    value_of,
};
use support::{shared_cluster, unique_prefix};
use tokio::sync::{Mutex, MutexGuard};

const READ: [&str; 1] = ["operation=\"read\""];

/// The process's metrics page, for one test at a time.
async fn page() -> (&'static MetricsPage, MutexGuard<'static, ()>) {
    static PAGE: OnceLock<MetricsPage> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    (PAGE.get_or_init(|| slotwise::metrics::install().unwrap()), turn)
}

/// The sum over all series of `name` that carry these labels.
fn sum(page: &MetricsPage, name: &str, labels: &[&str]) -> u64 {
    let text = page.render();
    let series =
        text.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with(['{', ' ']));
    let ours = series.filter(|rest| labels.iter().all(|label| rest.contains(label)));
    ours.map(|rest| rest.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn a_batch_of_one_cohorts_members_is_one_pipeline_to_one_shard() {
    let (page, _turn) = page().await;
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let members = ids("m", 0..500);
    let vip = cohort("vip", &["vip"], members.clone());
    let store = store(cluster, EntityOptions { cohorts: vec![vip], ..kind(&prefix) }).await;
    let oracle = Oracle::of(cluster).await;
    for member in &members {
        oracle
            .call(&[
                b"HSET",
                format!("{prefix}{{vip}}:{member}").as_bytes(),
                b"v",
                value_of(member).as_bytes(),
            ])
            .await;
    }
    let pipelines = || sum(page, "slotwise_shard_pipeline_commands_count", &READ);
    let keys = || sum(page, "slotwise_shard_pipeline_commands_sum", &READ);
    let before = (pipelines(), keys());
    let batch = store.batch_get_features(members, names(&["v"]), LONG).await.unwrap();
    assert_filled(&batch);
    assert_eq!((pipelines() - before.0, keys() - before.1), (1, 500));
    assert_eq!(batch.summary().shards, 1);
}

#[tokio::test]
async fn members_of_a_cohort_with_three_tags_are_three_pipelines_at_most() {
    let (page, _turn) = page().await;
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let members = ids("m", 0..500);
    let vip = cohort("vip", &["a", "b", "c"], members.clone());
    let store = store(cluster, EntityOptions { cohorts: vec![vip], ..kind(&prefix) }).await;
    let before = sum(page, "slotwise_shard_pipeline_commands_count", &READ);
    store.batch_get_features(members, names(&["v"]), LONG).await.unwrap();
    let sent = sum(page, "slotwise_shard_pipeline_commands_count", &READ) - before;
    assert!((1..=3).contains(&sent), "{sent}");
}

#[tokio::test]
async fn an_id_asked_for_twice_is_read_once_and_answered_twice() {
    let (page, _turn) = page().await;
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    let distinct = ids("u", 0..100);
    oracle.fill(&prefix, &distinct).await;
    let asked: Vec<_> = (0..1_000).map(|n| distinct[n * 37 % 100].clone()).collect();
    let (keys, commands) = (sum(page, "slotwise_shard_pipeline_commands_sum", &READ), oracle.hmgets().await);
    let batch = store.batch_get_features(asked.clone(), names(&["v"]), LONG).await.unwrap();
    assert_eq!(batch.ids(), asked);
    assert_filled(&batch);
    assert_eq!(batch.summary().found, 1_000);
    assert_eq!(sum(page, "slotwise_shard_pipeline_commands_sum", &READ) - keys, 100);
    assert_eq!(oracle.hmgets().await - commands, 100);
    assert_transport(cluster).await;
}

#[tokio::test]
async fn no_pipeline_is_longer_than_the_limit_and_none_is_sent_in_vain() {
    let (page, _turn) = page().await;
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let options = StoreOptions { pipeline_commands_max: 50, ..options() };
    let store = store_with(cluster, kind(&prefix), options).await;
    let before = sum(page, "slotwise_shard_pipeline_commands_count", &READ);
    store.batch_get_features(ids("u", 0..1_000), names(&["v"]), LONG).await.unwrap();
    let sent = sum(page, "slotwise_shard_pipeline_commands_count", &READ) - before;
    assert!((20..=22).contains(&sent), "1,000 keys on three shards, 50 a pipeline: {sent}");
    assert_eq!(sum(page, "slotwise_shard_pipelines_in_flight", &READ), 0);
}

#[tokio::test]
async fn a_refused_read_sends_nothing() {
    let (page, _turn) = page().await;
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let vip = cohort("vip", &["vip"], vec![id("m")]);
    let options = StoreOptions { batch_ids_max: 10, ..options() };
    let entity = EntityOptions { cohorts: vec![vip], ..kind(&prefix) };
    let (oracle, store) = (Oracle::of(cluster).await, store_with(cluster, entity, options).await);
    let before = (sum(page, "slotwise_shard_pipeline_commands_count", &[]), oracle.hmgets().await);
    let read = |ids: Vec<_>, timeout| store.batch_get_features(ids, names(&["v"]), timeout);
    read(ids("u", 0..11), None).await.unwrap_err();
    read(ids("u", 0..1), Some(Duration::ZERO)).await.unwrap_err();
    let error = read(vec![id("good"), id("{vip}:u")], None).await.unwrap_err().to_string();
    assert!(error.contains("{vip}:u") && error.contains('1'), "the place in the request is named: {error}");
    assert_eq!((sum(page, "slotwise_shard_pipeline_commands_count", &[]), oracle.hmgets().await), before);
}

#[tokio::test]
async fn rows_are_counted_by_status() {
    let (page, _turn) = page().await;
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    oracle.fill(&prefix, &ids("u", 0..3)).await;
    oracle.say(&format!("SET {prefix}text word")).await;
    let count = |status: &str| sum(page, "slotwise_rows_total", &[&format!("status=\"{status}\"")]);
    let all = || ["found", "partial", "missing", "unavailable"].map(count);
    let before = all();
    let mut asked = ids("u", 0..5);
    asked.push(id("text"));
    store.batch_get_features(asked.clone(), names(&["v"]), LONG).await.unwrap();
    store.batch_get_features(asked, names(&["v", "w"]), LONG).await.unwrap();
    let more: Vec<u64> = all().iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(more, [3, 3, 4, 2]);
}

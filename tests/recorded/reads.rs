//! How long reads take, where the time goes, how large they are, what becomes of their rows.

use slotwise::store::StoreOptions;

use super::Page;
use crate::support::features::{LONG, Oracle, id, ids, kind, names, options, store, store_with};
use crate::support::{shared_cluster, unique_prefix};

const DURATION: &str = "slotwise_read_duration_seconds_sum";
const DURATIONS: &str = "slotwise_read_duration_seconds_count";
const RECENT: &str = "slotwise_read_duration_recent_seconds_count";
const ENTITIES: &str = "slotwise_read_entities_sum";
const FEATURES: &str = "slotwise_read_features_sum";
const PHASES: &str = "slotwise_read_phase_duration_seconds_sum";
const PHASE_COUNT: &str = "slotwise_read_phase_duration_seconds_count";
const BATCH: &[&str] = &["kind=\"batch\""];
const SINGLE: &[&str] = &["kind=\"single\""];

#[tokio::test]
async fn the_phases_of_a_batch_add_up_to_its_duration() {
    let page = Page::new().await;
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    // Pipelines that wait for each other.
    let narrow = StoreOptions { pipeline_commands_max: 10, shard_commands_in_flight_max: 10, ..options() };
    let store = store_with(cluster, kind(&prefix), narrow).await;
    let series = [
        (DURATION, BATCH),
        (PHASES, &[][..]),
        (PHASES, &["phase=\"queue\""]),
        (PHASES, &["phase=\"merge\""]),
    ];
    let [duration, phases, queue, merge] = page
        .growth(series, async {
            for _ in 0..5 {
                store.batch_get_features(ids("u", 0..300), names(&["v", "w"]), LONG).await.unwrap();
            }
        })
        .await;
    assert!((duration - phases).abs() < 1e-6 * 5.0, "{duration} s, {phases} s");
    assert!(
        queue > 0.2 * duration && merge > 0.0,
        "{duration} s, of it {queue} s waiting, {merge} s merging"
    );
}

#[tokio::test]
async fn a_read_is_recorded_once_by_how_it_was_asked_for() {
    let page = Page::new().await;
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    oracle.say(&format!("SET {prefix}text word")).await;
    let series = [
        (DURATIONS, BATCH),
        (RECENT, BATCH),
        (ENTITIES, BATCH),
        (FEATURES, BATCH),
        (PHASE_COUNT, &["phase=\"plan\""]),
        (PHASE_COUNT, &["phase=\"queue\""]),
        (PHASE_COUNT, &["phase=\"redis\""]),
        (PHASE_COUNT, &["phase=\"merge\""]),
        (DURATIONS, SINGLE),
        (RECENT, SINGLE),
        (ENTITIES, SINGLE),
        (FEATURES, SINGLE),
        ("slotwise_rows_unavailable_total", &["reason=\"refused\""]),
        ("slotwise_rows_total", &["status=\"unavailable\""]),
        ("slotwise_rows_total", &["kind=\"batch\"", "status=\"missing\""]),
        ("slotwise_rows_total", &["kind=\"single\"", "status=\"missing\""]),
        ("slotwise_reads_unavailable_total", BATCH),
        ("slotwise_reads_unavailable_total", SINGLE),
        ("slotwise_reads_cancelled_total", &[]),
    ];
    let grown = page
        .growth(series, async {
            let features = || names(&["v", "w"]);
            store.batch_get_features(ids("u", 0..100), features(), LONG).await.unwrap();
            store.batch_get_features([id("text"), id("a"), id("text")], features(), LONG).await.unwrap();
            store.get_features(id("a"), features(), LONG).await.unwrap();
            // Refused, which is no plain answer: it goes the long way.
            store.get_features(id("text"), features(), LONG).await.unwrap();
            // A list of one is a batch, and takes the short way, which has no phases.
            store.batch_get_features(ids("u", 0..1), names(&["v"]), LONG).await.unwrap();
        })
        .await;
    let batches = [3.0, 3.0, 104.0, 5.0, 2.0, 2.0, 2.0, 2.0];
    let singles = [2.0, 2.0, 2.0, 4.0];
    assert_eq!(grown.as_slice(), [&batches[..], &singles, &[3.0, 3.0, 102.0, 1.0, 1.0, 1.0, 0.0]].concat());
}

#[tokio::test]
async fn a_request_that_is_refused_is_no_read() {
    let page = Page::new().await;
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let store = store_with(cluster, kind(&prefix), StoreOptions { batch_ids_max: 10, ..options() }).await;
    let grown = page
        .growth([(DURATIONS, &[]), (PHASE_COUNT, &[]), ("slotwise_reads_cancelled_total", &[])], async {
            store.batch_get_features(ids("u", 0..11), names(&["v"]), LONG).await.unwrap_err();
        })
        .await;
    assert_eq!(grown, [0.0, 0.0, 0.0]);
}

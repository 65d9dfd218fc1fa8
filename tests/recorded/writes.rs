//! Rows of writes by outcome, and how long writes take.

use std::time::Duration;

use futures::stream;
use slotwise::model::{EntityId, FeatureRow};
use slotwise::store::{LoadOptions, StoreOptions};

use super::Page;
use crate::support::features::{Oracle, feature, id, ids, kind, names, options, row, store, store_with};
use crate::support::{SOON, cluster, shared_cluster, unique_prefix, wait_until};

const ROWS: &str = "slotwise_written_rows_total";
const DURATIONS: &str = "slotwise_write_duration_seconds_count";
const PIPELINES: &str = "slotwise_shard_pipeline_commands_count";
const COMMANDS: &str = "slotwise_shard_pipeline_commands_sum";
const WRITE: &[&str] = &["operation=\"write\""];
const CONFIRMED: &[&str] = &["operation=\"confirmed_write\""];
const ADMIN: &[&str] = &["operation=\"admin\""];

fn outcomes<'l>(kind: &'l [[&'l str; 2]; 3]) -> [(&'static str, &'l [&'l str]); 4] {
    [(ROWS, &kind[0]), (ROWS, &kind[1]), (ROWS, &kind[2]), (DURATIONS, &kind[0][..1])]
}

fn labels(kind: &str) -> [[&str; 2]; 3] {
    ["outcome=\"written\"", "outcome=\"rejected\"", "outcome=\"unknown\""].map(|outcome| [kind, outcome])
}

fn rows(ids: &[EntityId]) -> Vec<FeatureRow> {
    ids.iter().map(|id| row(id, &[("v", "1")])).collect()
}

#[tokio::test]
async fn every_row_of_a_load_is_written_or_rejected() {
    let page = Page::new().await;
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    oracle.say(&format!("SET {prefix}text word")).await;
    let grown = page
        .growth(outcomes(&labels("kind=\"batch\"")), async {
            let mut given = rows(&ids("u", 0..10));
            // Never sent, and refused by the server.
            given.extend([row(&id("empty"), &[]), row(&id("text"), &[("v", "1")])]);
            store.bulk_load(stream::iter(given), LoadOptions::default(), |_, _| {}).await.unwrap();
            let name = &names(&["v"])[0];
            store.update_batch_feature(&id("one"), name, "1".into()).await.unwrap();
            store.update_batch_feature(&id("text"), name, "1".into()).await.unwrap_err();
        })
        .await;
    assert_eq!(grown, [11.0, 3.0, 0.0, 1.0]);
}

#[tokio::test]
async fn a_row_that_replicas_do_not_confirm_is_neither_written_nor_rejected() {
    let page = Page::new().await;
    let (cluster, prefix) = (cluster(1, 1).await, unique_prefix());
    let store = store(&cluster, kind(&prefix)).await;
    let known = || async { store.topology().shards()[0].replicas.len() == 1 };
    wait_until("the store knows the replica", SOON, known).await;
    cluster.pause_node(1).unwrap();
    let grown = page
        .growth(outcomes(&labels("kind=\"batch\"")), async {
            let options = LoadOptions { wait_replicas: 1, ..LoadOptions::default() };
            store.bulk_load(stream::iter(rows(&ids("u", 0..10))), options, |_, _| {}).await.unwrap();
        })
        .await;
    assert_eq!(grown, [0.0, 0.0, 10.0, 1.0]);
    cluster.resume_node(1).unwrap();
}

#[tokio::test]
async fn a_streaming_write_without_an_answer_has_an_unknown_outcome() {
    let page = Page::new().await;
    let (cluster, prefix) = (cluster(1, 0).await, unique_prefix());
    let store = store(&cluster, kind(&prefix)).await;
    Oracle::of(&cluster).await.say(&format!("SET {prefix}text word")).await;
    let grown = page
        .growth(outcomes(&labels("kind=\"streaming\"")), async {
            let features = [feature("clicks", 1i64)];
            store.update_streaming(&id("u"), &features, None).await.unwrap();
            store.update_streaming(&id("u"), &[], None).await.unwrap_err();
            store.update_streaming(&id("text"), &features, None).await.unwrap_err();
            cluster.pause_node(0).unwrap();
            store.update_streaming(&id("u"), &features, None).await.unwrap_err();
            cluster.resume_node(0).unwrap();
        })
        .await;
    assert_eq!(grown, [1.0, 2.0, 1.0, 4.0]);
}

#[tokio::test]
async fn a_write_whose_caller_goes_away_has_an_unknown_outcome() {
    let page = Page::new().await;
    let (cluster, prefix) = (cluster(1, 0).await, unique_prefix());
    let narrow = StoreOptions { shard_commands_in_flight_max: 1, ..options() };
    let store = store_with(&cluster, kind(&prefix), narrow).await;
    cluster.pause_node(0).unwrap();
    let (streaming, batch) = (labels("kind=\"streaming\""), labels("kind=\"batch\""));
    let [_, refused, lost, took] = outcomes(&streaming);
    let [written, rejected, unknown, _] = outcomes(&batch);
    let grown = page
        .growth([refused, lost, took, written, rejected, unknown], async {
            let features = [feature("clicks", 1i64)];
            let soon = Duration::from_millis(50);
            let (loaded, u, n) = (rows(&ids("u", 0..10)), id("u"), id("n"));
            let options = LoadOptions::default();
            let load = async || store.bulk_load(stream::iter(&loaded), options, |_, _| {}).await;
            assert!(tokio::time::timeout(soon, load()).await.is_err());
            let first = store.update_streaming(&u, &features, None);
            // The node takes one command at a time, so that this one is not sent.
            let second = store.update_streaming(&n, &features, None);
            let both = async { futures::join!(first, second) };
            assert!(tokio::time::timeout(soon, both).await.is_err());
        })
        .await;
    cluster.resume_node(0).unwrap();
    assert_eq!(grown, [1.0, 1.0, 0.0, 0.0, 0.0, 10.0]);
}

#[tokio::test]
async fn pipelines_show_what_they_are_for_and_every_command_in_them() {
    let page = Page::new().await;
    let (cluster, prefix) = (cluster(1, 1).await, unique_prefix());
    let store = store(&cluster, kind(&prefix)).await;
    let known = || async { store.topology().shards()[0].replicas.len() == 1 };
    wait_until("the store knows the replica", SOON, known).await;
    let load = async |ids: &[EntityId], wait_replicas| {
        let options = LoadOptions { wait_replicas, ..LoadOptions::default() };
        let report = store.bulk_load(stream::iter(rows(ids)), options, |_, _| {}).await.unwrap();
        assert_eq!(report.rejected, 0);
    };
    let of = |operation| [(PIPELINES, operation), (COMMANDS, operation)];
    let ([a, b], [c, d], [e, f]) = (of(WRITE), of(CONFIRMED), of(ADMIN));
    let thrice = [id("u"), id("v"), id("u"), id("u")];
    let loaded = page.growth([a, b, c, d, e, f], load(&thrice, 0)).await;
    assert_eq!(loaded, [1.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
    // The last of them is WAIT.
    let confirmed = page.growth([a, b, c, d, e, f], load(&thrice, 1)).await;
    assert_eq!(confirmed, [0.0, 0.0, 1.0, 5.0, 0.0, 0.0]);
    let looked = page
        .growth([a, b, c, d, e, f], async {
            store.key_ttl(&id("u")).await.unwrap();
            store.field_ttls(&id("u"), &names(&["v", "w"])).await.unwrap();
            store.inspect(&id("u")).await.unwrap();
        })
        .await;
    assert_eq!(looked, [0.0, 0.0, 0.0, 0.0, 3.0, 3.0]);
}

//! Rows of writes by outcome, and how long writes take.

use futures::stream;
use slotwise::model::{EntityId, FeatureRow};
use slotwise::store::LoadOptions;

use super::Page;
use crate::support::features::{Oracle, feature, id, ids, kind, names, row, store};
use crate::support::{SOON, cluster, shared_cluster, unique_prefix, wait_until};

const ROWS: &str = "slotwise_written_rows_total";
const DURATIONS: &str = "slotwise_write_duration_seconds_count";

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

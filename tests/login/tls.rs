//! A cluster that speaks TLS does all that another does.

use futures::stream;
use slotwise::FeatureStore;
use slotwise::model::RowStatus;
use slotwise::slot::Slot;
use slotwise::store::LoadOptions;

use super::open;
use crate::support::certs::{TlsCluster, tls_cluster};
use crate::support::features::{LONG, Oracle, assert_filled, feature, id, ids, names, row, tags_on};
use crate::support::slots::{MovingSlot, keys_in};
use crate::support::unique_prefix;

/// Loads, reads, streams and inspects.
async fn assert_works(it: &TlsCluster, store: &FeatureStore, prefix: &str) {
    let oracle = Oracle::of(&it.cluster).await;
    let asked = ids("u", 0..1_000);
    let rows: Vec<_> = asked.iter().map(|id| row(id, &[("b", &**id)])).collect();
    let report = store.bulk_load(
        stream::iter(rows),
        LoadOptions { ttl_seconds: Some(500), ..LoadOptions::default() },
        |row, result| {
            assert!(result.is_ok(), "{}: {result:?}", row.id);
        },
    );
    assert_eq!(report.await.unwrap().written, 1_000);
    let batch = store.batch_get_features(asked.clone(), names(&["b", "absent"]), LONG).await.unwrap();
    for row in batch.rows() {
        assert_eq!(
            (row.status, row.value(0)),
            (RowStatus::Partial, Some(row.id.as_bytes())),
            "{:?}",
            row.reason
        );
    }
    store.update_streaming(&id("u1"), &[feature("s", "now")], Some(100)).await.unwrap();
    let key = format!("{prefix}u1").into_bytes();
    assert_eq!(oracle.hget(&key, b"s").await.as_deref(), Some(&b"now"[..]));
    let seen = store.inspect(&id("u1")).await.unwrap();
    assert_eq!(
        seen.fields.iter().map(|field| field.value.as_slice()).collect::<Vec<_>>(),
        [&b"u1"[..], b"now"]
    );
    assert_eq!(store.count_entities().await.unwrap(), 1_000);
}

#[tokio::test]
async fn a_cluster_with_tls_is_loaded_read_and_written_and_followed_through_a_moving_slot() {
    let (it, prefix) = (tls_cluster(false).await, unique_prefix());
    let store = open(it.settings("ca", None), &prefix).await.unwrap();
    assert_works(&it, &store, &prefix).await;

    let oracle = Oracle::of(&it.cluster).await;
    let tag = tags_on(&store, &it.cluster, 0).next().unwrap();
    let asked = ids(&format!("{{{tag}}}"), 0..200);
    oracle.fill(&prefix, &asked).await;
    let slot = Slot::for_key(tag.as_bytes());
    let moving = MovingSlot { slot, from: oracle.node(0), to: oracle.node(1) };
    let read = || store.batch_get_features(asked.clone(), names(&["v"]), LONG);
    moving.begin().await;
    moving.migrate(&keys_in(oracle.node(0), slot).await[..100]).await;
    assert_filled(&read().await.unwrap());
    moving.migrate(&keys_in(oracle.node(0), slot).await).await;
    moving.end(&[oracle.node(2)]).await;
    assert_filled(&read().await.unwrap());
}

#[tokio::test]
async fn nodes_that_want_a_client_certificate_are_shown_one() {
    let (it, prefix) = (tls_cluster(true).await, unique_prefix());
    let settings = it.settings("ca", Some("client"));
    let key = std::fs::read_to_string(it.certs.path("client.key")).unwrap();
    let shown = format!("{settings:?}");
    assert!(shown.contains("client_certificate: true"), "{shown}");
    assert!(key.lines().all(|line| !shown.contains(line)) && !shown.contains("KEY"), "{shown}");
    assert_works(&it, &open(settings, &prefix).await.unwrap(), &prefix).await;
}

#[tokio::test]
async fn a_node_that_comes_back_is_connected_to_again() {
    let (mut it, prefix) = (tls_cluster(false).await, unique_prefix());
    let store = open(it.settings("ca", None), &prefix).await.unwrap();
    it.cluster.kill_node(0).unwrap();
    it.cluster.restart_node(0).await.unwrap();
    it.cluster.wait_until_agreed(crate::support::SOON).await.unwrap();
    let asked = ids("u", 0..300);
    Oracle::of(&it.cluster).await.fill(&prefix, &asked).await;
    assert_filled(&store.batch_get_features(asked, names(&["v"]), LONG).await.unwrap());
}

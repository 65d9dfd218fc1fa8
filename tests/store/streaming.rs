//! Streaming writes: every value with its own TTL, in one step.

use slotwise::FeatureStore;
use slotwise::model::FeatureName;

use crate::support::features::{Oracle, feature, id, kind, names, store};
use crate::support::{shared_cluster, unique_prefix};

/// What a streaming write promises, whichever way it is written.
pub(crate) async fn assert_streaming_keeps_its_promise(store: &FeatureStore, oracle: &Oracle, prefix: &str) {
    let key = format!("{prefix}u");
    let key = key.as_bytes();
    oracle.call(&[b"HSET", key, b"batch", b"1"]).await;
    oracle.call(&[b"EXPIRE", key, b"5000"]).await;
    let features = [feature("clicks", 7i64), feature("odd \"name\"\n", ""), feature("score", 0.5)];
    store.update_streaming(&id("u"), &features, Some(100)).await.unwrap();
    for (name, value) in &features {
        assert_eq!(oracle.hget(key, name.as_bytes()).await.as_deref(), Some(value.as_bytes()));
        assert!((90..=100).contains(&oracle.httl(key, name.as_bytes()).await), "{name}");
    }
    assert_eq!(oracle.httl(key, b"batch").await, -1, "a batch feature has no TTL of its own");
    assert!(oracle.call(&[b"TTL", key]).await.as_i64().unwrap() > 4_900, "the key keeps its TTL");

    // What a plain HSET does, and why it is never used for this.
    oracle.call(&[b"HSET", key, b"clicks", b"8"]).await;
    assert_eq!(oracle.httl(key, b"clicks").await, -1, "HSET clears the field's TTL");
    store.update_streaming(&id("u"), &[feature("clicks", 9i64)], None).await.unwrap();
    let renewed = oracle.httl(key, b"clicks").await;
    assert!((290..=300).contains(&renewed), "the kind's default: {renewed}");
    store.update_streaming(&id("u"), &[feature("score", 0.75)], Some(400)).await.unwrap();
    assert!((390..=400).contains(&oracle.httl(key, b"score").await), "written again, renewed");
    assert_eq!(store.field_ttls(&id("u"), &names(&["batch", "absent"])).await.unwrap(), [-1, -2]);

    store.update_streaming(&id("new"), &features, Some(100)).await.unwrap();
    let new = format!("{prefix}new");
    assert_eq!(oracle.number(&format!("HLEN {new}")).await, 3);
    assert!((90..=100).contains(&oracle.httl(new.as_bytes(), b"clicks").await));

    oracle.say(&format!("SET {prefix}text word")).await;
    let error = store.update_streaming(&id("text"), &features, Some(100)).await.unwrap_err();
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");
}

#[tokio::test]
async fn every_streaming_value_has_its_ttl_and_batch_values_keep_none() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let store = store(cluster, kind(&prefix)).await;
    assert_streaming_keeps_its_promise(&store, &Oracle::of(cluster).await, &prefix).await;
}

#[tokio::test]
async fn a_streaming_write_that_is_no_write_is_refused() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    let error = store.update_streaming(&id("u"), &[], None).await.unwrap_err();
    assert!(error.to_string().contains("features"), "{error}");
    let error =
        store.update_streaming(&id("u"), &[feature("a", "1"), feature("a", "2")], None).await.unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
    assert_eq!(oracle.number(&format!("EXISTS {prefix}u")).await, 0);
}

#[tokio::test]
async fn ttls_are_told_with_the_servers_codes() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    oracle.say(&format!("HSET {prefix}u a 1 b 2")).await;
    assert_eq!(store.key_ttl(&id("u")).await.unwrap(), -1);
    assert_eq!(store.key_ttl(&id("nobody")).await.unwrap(), -2);
    oracle.say(&format!("EXPIRE {prefix}u 60")).await;
    oracle.say(&format!("HEXPIRE {prefix}u 30 FIELDS 1 b")).await;
    assert!((50..=60).contains(&store.key_ttl(&id("u")).await.unwrap()));
    let asked: Vec<FeatureName> = names(&["b", "absent", "a"]);
    let ttls = store.field_ttls(&id("u"), &asked).await.unwrap();
    assert!((20..=30).contains(&ttls[0]) && ttls[1..] == [-2, -1], "{ttls:?}");
    assert_eq!(store.field_ttls(&id("nobody"), &asked).await.unwrap(), [-2, -2, -2]);
    assert_eq!(store.field_ttls(&id("u"), &[]).await.unwrap(), Vec::<i64>::new());
}

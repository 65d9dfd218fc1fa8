//! A schema: reads are typed by it, writes are checked against it, each streaming feature has its own TTL.

use std::sync::{Arc, Mutex};

use futures::stream;
use slotwise::FeatureStore;
use slotwise::model::{FeatureClass, FeatureName, FeatureSpec, FeatureType, RowStatus, Schema};
use slotwise::shard::RedisSettings;
use slotwise::store::{EntityOptions, LoadOptions, RequestError, StoreOptions};

use crate::support::features::{Oracle, feature, id, kind, names, options, row, store};
use crate::support::{shared_cluster, unique_prefix};

fn declared(
    name: &str,
    feature_type: FeatureType,
    class: FeatureClass,
    ttl_seconds: Option<u64>,
) -> FeatureSpec {
    FeatureSpec { name: FeatureName::new(name).unwrap(), feature_type, class, ttl_seconds, default: None }
}

/// Two batch features, one with a default, three streaming ones, two of them with a TTL of their own, and a set.
pub(crate) fn schema() -> Schema {
    let (batch, streaming) = (FeatureClass::Batch, FeatureClass::Streaming);
    let mut schema = Schema::default();
    for feature in [
        FeatureSpec { default: Some(0i64.into()), ..declared("count", FeatureType::Int64, batch, None) },
        declared("vip", FeatureType::Bool, batch, None),
        declared("clicks", FeatureType::Int64, streaming, Some(100)),
        declared("hot", FeatureType::Bool, streaming, Some(1_000)),
        declared("score", FeatureType::Float64, streaming, None),
    ] {
        schema.add_feature(feature).unwrap();
    }
    schema.add_set("fraud", &names(&["score", "count"])).unwrap();
    schema
}

/// A store of a kind with that schema, an oracle beside it, and the kind's prefix.
async fn scene() -> (Oracle, FeatureStore, String) {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let store = store(cluster, EntityOptions { schema: schema(), ..kind(&prefix) }).await;
    (Oracle::of(cluster).await, store, prefix)
}

/// Several TTLs in one write, whichever way it is written.
pub(crate) async fn assert_each_feature_has_its_own_ttl(store: &FeatureStore, oracle: &Oracle, prefix: &str) {
    let features = [
        feature("clicks", 7i64),
        feature("hot", true),
        feature("score", 0.5),
        feature("unlisted", "x"),
        feature("other", "y"),
    ];
    store.update_streaming(&id("own"), &features, None).await.unwrap();
    let key = format!("{prefix}own");
    for ((name, value), ttl) in features.iter().zip([100, 1_000, 300, 300, 300]) {
        assert_eq!(oracle.hget(key.as_bytes(), name.as_bytes()).await.as_deref(), Some(value.as_bytes()));
        let seen = oracle.httl(key.as_bytes(), name.as_bytes()).await;
        assert!((ttl - 10..=ttl).contains(&seen), "{name}: {seen}");
        assert_eq!(store.streaming_ttl_seconds(name), u64::try_from(ttl).unwrap());
    }
    // A TTL that the write names stands over those of the schema.
    store.update_streaming(&id("own"), &features, Some(50)).await.unwrap();
    for (name, _) in &features {
        let seen = oracle.httl(key.as_bytes(), name.as_bytes()).await;
        assert!((40..=50).contains(&seen), "{name}: {seen}");
    }
    // All or nothing, also with several TTLs.
    oracle.say(&format!("SET {prefix}word word")).await;
    let error = store.update_streaming(&id("word"), &features, None).await.unwrap_err();
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");
}

#[tokio::test]
async fn each_streaming_feature_gets_the_ttl_that_the_schema_gives_it() {
    let (oracle, store, prefix) = scene().await;
    assert_each_feature_has_its_own_ttl(&store, &oracle, &prefix).await;
}

#[tokio::test]
async fn a_streaming_write_that_breaks_the_schema_writes_nothing() {
    let (oracle, store, prefix) = scene().await;
    for (name, value, says) in [
        ("clicks", "many", "feature \"clicks\": the value is no int64"),
        ("clicks", "", "feature \"clicks\": the value is no int64"),
        ("score", "inf", "feature \"score\": the value is no float64 (a finite number)"),
        ("hot", "1", "feature \"hot\": the value is no bool (true or false)"),
        ("count", "1", "feature \"count\": it is a batch feature"),
    ] {
        let features = [feature("unlisted", "x"), feature(name, value)];
        let error = store.update_streaming(&id("u"), &features, None).await.unwrap_err().to_string();
        assert!(error.starts_with(says) && !error.contains("many"), "{error}");
    }
    for (name, says) in [("clicks", "streaming feature"), ("vip", "the value is no bool")] {
        let written = store.update_batch_feature(&id("u"), &names(&[name])[0], "7".into()).await;
        let error = written.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(says), "{error}");
    }
    assert_eq!(oracle.number(&format!("EXISTS {prefix}u")).await, 0);
}

#[tokio::test]
async fn a_bulk_load_rejects_the_rows_that_break_the_schema_and_writes_the_others() {
    let (oracle, store, prefix) = scene().await;
    let rows = [
        row(&id("good"), &[("count", "-3"), ("vip", "true"), ("unlisted", "anything")]),
        row(&id("type"), &[("vip", "true"), ("count", "3.5")]),
        row(&id("kind"), &[("count", "3"), ("clicks", "3")]),
    ];
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    let report = store
        .bulk_load(stream::iter(rows), LoadOptions::default(), move |row, result| {
            let said = result.map_err(|rejected| rejected.to_string());
            heard.lock().unwrap().push((row.id.to_string(), said));
        })
        .await
        .unwrap();
    assert_eq!((report.written, report.rejected), (1, 2));
    let wrong = "feature \"count\": the value is no int64 (a whole number of 64 bits)".to_owned();
    let streamed =
        "feature \"clicks\": it is a streaming feature, which a bulk load would rob of its TTL; stream it"
            .to_owned();
    let expected =
        [("good".to_owned(), Ok(())), ("type".to_owned(), Err(wrong)), ("kind".to_owned(), Err(streamed))];
    assert_eq!(*said.lock().unwrap(), expected);
    assert_eq!(oracle.number(&format!("EXISTS {prefix}type")).await, 0);
    assert_eq!(oracle.number(&format!("HLEN {prefix}good")).await, 3);
}

#[tokio::test]
async fn a_feature_set_is_read_with_its_types_and_with_defaults_only_where_they_are_asked_for() {
    let (oracle, store, prefix) = scene().await;
    oracle.say(&format!("HSET {prefix}u score 0.5 count 4")).await;
    oracle.say(&format!("HSET {prefix}half score 0.5")).await;
    let asked = || vec![id("u"), id("half"), id("nobody")];
    let statuses = [RowStatus::Found, RowStatus::Partial, RowStatus::Missing];
    let counts = |defaults: bool| {
        let projection = store.feature_set("fraud", defaults).unwrap();
        async { store.batch_get_projection(asked(), projection, None).await.unwrap() }
    };
    for (defaults, absent) in [(false, None), (true, Some(&b"0"[..]))] {
        let batch = counts(defaults).await;
        assert_eq!(batch.rows().map(|row| row.status).collect::<Vec<_>>(), statuses, "{defaults}");
        assert_eq!(batch.column(1).collect::<Vec<_>>(), [Some(&b"4"[..]), absent, absent], "{defaults}");
        assert_eq!(batch.projection().columns()[1].feature_type, Some(FeatureType::Int64));
    }
    let listed = store.batch_get_features(asked(), names(&["count", "unlisted"]), None).await.unwrap();
    let types: Vec<_> = listed.projection().columns().iter().map(|column| column.feature_type).collect();
    assert_eq!(types, [Some(FeatureType::Int64), None], "listed features are typed too");
    assert_eq!(listed.column(0).nth(2), Some(None), "a plain read has no defaults");
}

#[tokio::test]
async fn a_feature_set_that_is_not_there_is_refused_with_those_that_are() {
    let cluster = shared_cluster().await;
    let with = store(cluster, EntityOptions { schema: schema(), ..kind(&unique_prefix()) }).await;
    let error = with.feature_set("fraud_v2", false).unwrap_err();
    assert!(matches!(error, RequestError::UnknownFeatureSet { .. }));
    assert_eq!(error.to_string(), "feature_set: \"fraud_v2\" is not configured; there is fraud");
    let without = store(cluster, kind(&unique_prefix())).await;
    let error = without.feature_set("fraud", false).unwrap_err();
    assert_eq!(error.to_string(), "feature_set: \"fraud\" is not configured; there is none");

    let settings = RedisSettings::from_urls(cluster.urls().split(',')).unwrap();
    let kinds = vec![EntityOptions { schema: schema(), ..kind(&unique_prefix()) }];
    let options = StoreOptions { batch_features_max: 1, ..options() };
    let error = Box::pin(FeatureStore::connect(settings, kinds, options)).await.unwrap_err().to_string();
    assert!(error.contains("\"fraud\"") && error.contains("more than the limit of 1"), "{error}");
}

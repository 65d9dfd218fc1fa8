//! Batch writes: every row written or rejected by itself, under the key's TTL.

use futures::stream;
use slotwise::FeatureStore;
use slotwise::model::{EntityId, FeatureRow, FeatureValue, limits};
use slotwise::store::{LoadOptions, LoadReport, RequestError};

use crate::support::features::{Oracle, cohort, feature, id, ids, kind, row, store, value_of};
use crate::support::{shared_cluster, unique_prefix};

/// Loads rows; brings the report, and per row, in the order heard of, its id and why it was rejected.
async fn load(
    store: &FeatureStore,
    rows: Vec<FeatureRow>,
    ttl: Option<u64>,
) -> (LoadReport, Vec<(EntityId, Option<String>)>) {
    let mut heard = Vec::new();
    let on_row = |row: FeatureRow, result: Result<(), slotwise::store::RowRejected>| {
        heard.push((row.id, result.err().map(|rejected| rejected.to_string())));
    };
    let report = store
        .bulk_load(stream::iter(rows), LoadOptions { ttl_seconds: ttl, ..LoadOptions::default() }, on_row)
        .await
        .unwrap();
    (report, heard)
}

#[tokio::test]
async fn a_load_of_many_rows_writes_every_value_under_its_key_ttl() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    // More than one batch of `limits::LOAD_ROWS_PER_BATCH`.
    let ids = ids("u", 0..limits::LOAD_ROWS_PER_BATCH * 2 + 1);
    let rows: Vec<_> = ids.iter().map(|id| row(id, &[("v", &value_of(id)), ("n", "1")])).collect();
    let (report, heard) = load(&store, rows, Some(500)).await;
    assert_eq!(report, LoadReport { written: ids.len() as u64, rejected: 0 });
    assert!(heard.iter().map(|(id, _)| id).eq(&ids), "rows are heard of in order");
    let ask = |verb: &str, rest: &[&str]| -> Vec<Vec<Vec<u8>>> {
        let command = |id: &EntityId| {
            let key = format!("{prefix}{id}");
            [&[verb, &key], rest].concat().iter().map(|word| word.as_bytes().to_vec()).collect()
        };
        ids.iter().map(command).collect()
    };
    let values = oracle.call_all(&ask("HGET", &["v"])).await;
    let ttls = oracle.call_all(&ask("TTL", &[])).await;
    for ((id, value), ttl) in ids.iter().zip(&values).zip(&ttls) {
        assert_eq!(value.as_bytes(), Some(value_of(id).as_bytes()));
        assert!((490..=500).contains(&ttl.as_i64().unwrap()), "{id}: {ttl:?}");
    }
}

#[tokio::test]
async fn without_a_ttl_a_load_takes_the_kinds_and_renews_it() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let oracle = Oracle::of(cluster).await;
    let store =
        store(cluster, slotwise::store::EntityOptions { batch_ttl_seconds: 777, ..kind(&prefix) }).await;
    oracle.say(&format!("HSET {prefix}u old 1")).await;
    oracle.say(&format!("EXPIRE {prefix}u 20")).await;
    load(&store, vec![row(&id("u"), &[("new", "2")])], None).await;
    assert!((770..=777).contains(&oracle.number(&format!("TTL {prefix}u")).await));
    assert_eq!(oracle.number(&format!("HLEN {prefix}u")).await, 2, "other features stay");
}

#[tokio::test]
async fn rows_of_one_id_are_applied_in_order() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    let mut rows = Vec::new();
    for round in 0..900 {
        let value = round.to_string();
        rows.extend(
            ["a", "b", "c"].map(|name| row(&id(name), &[("v", &value), (&format!("r{round}"), "1")])),
        );
    }
    let (report, _) = load(&store, rows, None).await;
    assert_eq!(report.written, 2_700);
    for name in ["a", "b", "c"] {
        let key = format!("{prefix}{name}");
        assert_eq!(oracle.hget(key.as_bytes(), b"v").await, Some(b"899".to_vec()));
        assert_eq!(oracle.number(&format!("HLEN {key}")).await, 901);
    }
}

#[tokio::test]
async fn bad_rows_are_rejected_one_by_one_and_all_others_written() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let oracle = Oracle::of(cluster).await;
    let vip = cohort("vip", &["vip"], vec![id("member")]);
    let store = store(cluster, slotwise::store::EntityOptions { cohorts: vec![vip], ..kind(&prefix) }).await;
    oracle.say(&format!("SET {prefix}text word")).await;
    let large = FeatureValue::from(vec![0; limits::FEATURE_VALUE_BYTES_MAX + 1]);
    let largest = FeatureValue::from(vec![7; limits::FEATURE_VALUE_BYTES_MAX]);
    let many = |count: usize| (0..count).map(|n| feature(&format!("f{n}"), "1")).collect::<Vec<_>>();
    let with = |name: &str, features| FeatureRow { id: id(name), features };
    let bad = [
        (with("{vip}:x", vec![feature("v", "1")]), "can't be told from a member"),
        (with("none", vec![]), "at least one feature"),
        (with("large", vec![feature("v", large)]), "1048577 bytes, the limit is 1048576"),
        (with("twice", vec![feature("v", "1"), feature("v", "2")]), "given twice"),
        (with("text", vec![feature("v", "1")]), "WRONGTYPE"),
        (with("many", many(limits::FEATURES_PER_WRITE_MAX + 1)), "1025 are more than the limit of 1024"),
    ];
    let mut rows = Vec::new();
    for (number, (bad, _)) in bad.iter().enumerate() {
        rows.push(row(&id(&format!("good{number}")), &[("v", "1")]));
        rows.push(bad.clone());
    }
    rows.push(with("largest", vec![feature("v", largest)]));
    rows.push(with("most", many(limits::FEATURES_PER_WRITE_MAX)));
    rows.push(row(&id("member"), &[("v", "1")]));
    let (report, heard) = load(&store, rows.clone(), None).await;
    assert_eq!(report, LoadReport { written: 9, rejected: 6 });
    assert!(heard.iter().map(|(id, _)| id).eq(rows.iter().map(|row| &row.id)), "heard of in order");
    for (number, (_, says)) in bad.iter().enumerate() {
        assert_eq!(heard[2 * number].1, None);
        let why = heard[2 * number + 1].1.as_deref().unwrap();
        assert!(why.contains(says), "{why}");
    }
    let there = ["good0", "good5", "largest", "most", "{vip}:member"];
    let absent = ["{vip}:x", "none", "large", "twice", "many", "member"];
    for (names, expected) in [(&there[..], 1), (&absent[..], 0)] {
        for name in names {
            assert_eq!(oracle.number(&format!("EXISTS {prefix}{name}")).await, expected, "{name}");
        }
    }
    assert_eq!(oracle.say(&format!("GET {prefix}text")).await.as_str(), Some("word"));
    assert_eq!(oracle.number(&format!("TTL {prefix}text")).await, -1, "a row rejected leaves no TTL behind");
}

#[tokio::test]
async fn a_ttl_out_of_range_is_refused_and_nothing_is_written() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    for ttl in [0, limits::TTL_SECONDS_MAX + 1, u64::MAX] {
        let rows = stream::iter(vec![row(&id("u"), &[("v", "1")])]);
        let error = store
            .bulk_load(rows, LoadOptions { ttl_seconds: Some(ttl), ..LoadOptions::default() }, |_, _| {
                panic!("no row is decided")
            })
            .await
            .unwrap_err();
        assert!(matches!(error, RequestError::Ttl { given, .. } if given == ttl));
        let error = store.update_streaming(&id("u"), &[feature("v", "1")], Some(ttl)).await.unwrap_err();
        assert!(error.to_string().contains(&format!("ttl_seconds: {ttl}")), "{error}");
    }
    assert_eq!(oracle.number(&format!("EXISTS {prefix}u")).await, 0);
    let longest = Some(limits::TTL_SECONDS_MAX);
    let (report, _) = load(&store, vec![row(&id("u"), &[("v", "1")])], longest).await;
    assert_eq!(report.written, 1, "the longest TTL is one that the server takes");
    store.update_streaming(&id("u"), &[feature("s", "1")], longest).await.unwrap();
}

#[tokio::test]
async fn a_batch_feature_gives_a_new_entity_its_ttl_and_leaves_an_old_ones() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    let name = &feature("v", "1").0;
    store.update_batch_feature(&id("new"), name, "1".into()).await.unwrap();
    let ttl = oracle.number(&format!("TTL {prefix}new")).await;
    assert!(
        (limits::BATCH_TTL_SECONDS as i64 - 10..=limits::BATCH_TTL_SECONDS as i64).contains(&ttl),
        "{ttl}"
    );
    oracle.say(&format!("EXPIRE {prefix}new 50")).await;
    store.update_batch_feature(&id("new"), name, "2".into()).await.unwrap();
    assert!((40..=50).contains(&oracle.number(&format!("TTL {prefix}new")).await));
    assert_eq!(oracle.hget(format!("{prefix}new").as_bytes(), b"v").await, Some(b"2".to_vec()));
    oracle.say(&format!("SET {prefix}text word")).await;
    let error = store.update_batch_feature(&id("text"), name, "1".into()).await.unwrap_err();
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");
}

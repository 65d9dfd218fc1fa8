//! Batch reads: order, statuses, values of any bytes, ids and names of any text.

use slotwise::model::{FeatureName, RowStatus};
use slotwise::store::StoreOptions;

use crate::support::features::{
    LONG, Oracle, assert_filled, assert_transport, id, ids, kind, names, options, reason, statuses, store,
    store_with,
};
use crate::support::{shared_cluster, unique_prefix};

#[tokio::test]
async fn rows_come_back_in_the_order_asked_each_with_its_status() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    oracle.say(&format!("HSET {prefix}whole a 1 b 2")).await;
    oracle.say(&format!("HSET {prefix}half a 3")).await;
    oracle.say(&format!("HSET {prefix}other c 4")).await;
    let asked: Vec<_> = ["nobody", "half", "whole", "half", "other", "whole"].map(id).into();
    let batch = store.batch_get_features(asked.clone(), names(&["b", "a"]), LONG).await.unwrap();
    assert_eq!(batch.ids(), asked);
    use RowStatus::{Found, Missing, Partial};
    assert_eq!(statuses(&batch), [Missing, Partial, Found, Partial, Missing, Found]);
    let cells: Vec<Vec<_>> = batch.rows().map(|row| row.values().collect()).collect();
    let (one, two, three) = (Some(&b"1"[..]), Some(&b"2"[..]), Some(&b"3"[..]));
    assert_eq!(cells, [[None, None], [None, three], [two, one], [None, three], [None, None], [two, one]]);
    let summary = batch.summary();
    assert_eq!((summary.found, summary.partial, summary.missing, summary.unavailable), (2, 2, 2, 0));
}

#[tokio::test]
async fn a_key_of_another_type_is_unavailable_and_its_neighbours_are_found() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    // One tag: all of them go out in one pipeline.
    let mut asked = ids("{one}", 0..300);
    oracle.fill(&prefix, &asked).await;
    oracle.say(&format!("SET {prefix}{{one}}text word")).await;
    oracle.say(&format!("RPUSH {prefix}{{one}}list word")).await;
    asked.insert(150, id("{one}text"));
    asked.push(id("{one}list"));
    let batch = store.batch_get_features(asked, names(&["v"]), LONG).await.unwrap();
    assert_eq!(batch.summary().shards, 1);
    assert_eq!((batch.summary().found, batch.summary().unavailable), (300, 2));
    for place in [150, 301] {
        assert_eq!(batch.row(place).unwrap().status, RowStatus::Unavailable);
        assert!(reason(&batch, place).contains("WRONGTYPE"), "{}", reason(&batch, place));
        assert_eq!(batch.value(place, 0), None);
    }
}

#[tokio::test]
async fn an_empty_value_is_there_and_any_bytes_come_back_as_they_are() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    let all_bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let protocol = b"$-1\r\n-MOVED 1 127.0.0.1:1\r\n*0\r\n";
    let key = format!("{prefix}u");
    oracle.call(&[b"HSET", key.as_bytes(), b"empty", b"", b"bytes", &all_bytes, b"resp", protocol]).await;
    let features = names(&["bytes", "absent", "empty", "resp"]);
    let batch = store.get_features(id("u"), features, LONG).await.unwrap();
    let cells: Vec<_> = batch.row(0).unwrap().values().collect();
    assert_eq!(cells, [Some(&all_bytes[..]), None, Some(b""), Some(protocol)]);
    assert_eq!(statuses(&batch), [RowStatus::Partial]);
}

/// Texts that quoting, hash tags, line protocols or encodings could trip over.
const ODD: [&str; 16] = [
    " ",
    "a b",
    "\"q\"",
    "it's",
    "{",
    "}",
    "{}",
    "{}x",
    "{x}y",
    "}{",
    "line\nbreak\r\n",
    "🦀",
    "\0",
    "*?[a]\\",
    ":",
    "é\u{301}",
];

#[tokio::test]
async fn odd_ids_and_feature_names_just_work() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    let asked = ODD.map(id);
    let features = ODD.map(|name| FeatureName::new(name).unwrap());
    for (number, odd) in ODD.iter().enumerate() {
        let key = format!("{prefix}{odd}");
        for (other, name) in ODD.iter().enumerate() {
            let value = format!("{number}/{other}");
            oracle.call(&[b"HSET", key.as_bytes(), name.as_bytes(), value.as_bytes()]).await;
        }
    }
    let batch = store.batch_get_features(asked, features, LONG).await.unwrap();
    for (number, row) in batch.rows().enumerate() {
        assert_eq!(row.status, RowStatus::Found, "{:?}: {:?}", row.id, row.reason);
        for (other, value) in row.values().enumerate() {
            assert_eq!(value, Some(format!("{number}/{other}").as_bytes()), "{:?} {:?}", row.id, ODD[other]);
        }
    }
}

#[tokio::test]
async fn a_batch_of_many_small_pipelines_is_right() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let oracle = Oracle::of(cluster).await;
    let options = StoreOptions { pipeline_commands_max: 7, shard_commands_in_flight_max: 2, ..options() };
    let store = store_with(cluster, kind(&prefix), options).await;
    let asked = ids("u", 0..2_000);
    oracle.fill(&prefix, &asked).await;
    let batch = store.batch_get_features(asked.clone(), names(&["v"]), LONG).await.unwrap();
    assert_eq!(batch.ids(), asked);
    assert_filled(&batch);
    assert_eq!(batch.summary().shards, 3);
    assert_transport(cluster).await;
}

#[tokio::test]
async fn one_pipeline_of_a_whole_batch_is_right_too() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let oracle = Oracle::of(cluster).await;
    let options = StoreOptions { pipeline_commands_max: usize::MAX, ..options() };
    let store = store_with(cluster, kind(&prefix), options).await;
    let asked = ids("u", 0..3_000);
    oracle.fill(&prefix, &asked).await;
    assert_filled(&store.batch_get_features(asked, names(&["v"]), LONG).await.unwrap());
}

#[tokio::test]
async fn a_batch_of_no_ids_is_an_empty_answer() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let store = store(cluster, kind(&prefix)).await;
    let batch = store.batch_get_features(Vec::new(), names(&["v"]), None).await.unwrap();
    assert!(batch.is_empty());
    assert_eq!(batch.summary().shards, 0);
}

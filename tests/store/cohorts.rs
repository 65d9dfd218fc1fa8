//! Members of cohorts: where their keys lie, and sets that are read again and again.

use std::time::Duration;

use slotwise::slot::CohortTag;
use slotwise::store::{CohortMembers, CohortOptions, EntityOptions};
use slotwise::{FeatureStore, shard::RedisSettings};

use crate::support::features::{LONG, Oracle, cohort, id, ids, kind, names, options, store};
use crate::support::{SOON, shared_cluster, unique_prefix, wait_until};

fn with_set(prefix: &str, key: &str) -> EntityOptions {
    let set = CohortMembers::RedisSet { key: key.to_owned(), refresh: Duration::from_millis(30) };
    let tags = vec![CohortTag::new("vip").unwrap()];
    let cohort = CohortOptions { name: "vip".to_owned(), tags, members: set };
    EntityOptions { cohorts: vec![cohort], ..kind(prefix) }
}

#[tokio::test]
async fn members_are_written_and_read_under_their_tag() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let oracle = Oracle::of(cluster).await;
    let vip = cohort("vip", &["v0", "v1", "v2"], ids("m", 0..60));
    let store = store(cluster, EntityOptions { cohorts: vec![vip], ..kind(&prefix) }).await;
    let mut on_tag = [0; 3];
    for member in ids("m", 0..60) {
        store.update_batch_feature(&member, &names(&["v"])[0], "1".into()).await.unwrap();
        for (number, count) in on_tag.iter_mut().enumerate() {
            *count += oracle.number(&format!("EXISTS {prefix}{{v{number}}}:{member}")).await;
        }
    }
    assert_eq!(on_tag.iter().sum::<i64>(), 60, "every member under exactly one tag");
    assert!(on_tag.iter().all(|count| *count > 5), "spread over all tags: {on_tag:?}");
    let mut asked = ids("m", 0..60);
    asked.extend(ids("other", 0..5));
    let batch = store.batch_get_features(asked, names(&["v"]), LONG).await.unwrap();
    assert_eq!((batch.summary().found, batch.summary().missing), (60, 5));
}

#[tokio::test]
async fn members_in_a_redis_set_come_and_go_with_it() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let oracle = Oracle::of(cluster).await;
    let set = format!("set-of-{prefix}");
    oracle.say(&format!("SADD {set} early")).await;
    let store = store(cluster, with_set(&prefix, &set)).await;
    let is_member = |name: &'static str| store.layout().cohorts().tag_of(name).is_some();
    assert!(is_member("early"), "known as soon as the store is connected");
    oracle.say(&format!("SADD {set} late")).await;
    wait_until("a new member is known", SOON, || async { is_member("late") }).await;
    oracle.say(&format!("SREM {set} early")).await;
    wait_until("a former member is one no more", SOON, || async { !is_member("early") }).await;
    assert_eq!(store.layout().key("late").unwrap(), format!("{prefix}{{vip}}:late").into_bytes());
    oracle.say(&format!("DEL {set}")).await;
    wait_until("an empty set is an empty cohort", SOON, || async { !is_member("late") }).await;
}

#[tokio::test]
async fn a_set_that_can_not_be_read_keeps_its_last_members_and_is_refused_at_connect() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let oracle = Oracle::of(cluster).await;
    let set = format!("set-of-{prefix}");
    oracle.say(&format!("SADD {set} m1")).await;
    let connected = store(cluster, with_set(&prefix, &set)).await;
    let failures = || oracle.stat("sscan", "failed_calls");
    let before = failures().await;
    oracle.say(&format!("SET {set} word")).await;
    wait_until("the set was asked for again", SOON, || async { failures().await > before + 1 }).await;
    assert!(connected.layout().cohorts().tag_of("m1").is_some());
    let settings = RedisSettings::from_urls(cluster.urls().split(',')).unwrap();
    let kinds = vec![with_set(&prefix, &set)];
    let error = Box::pin(FeatureStore::connect(settings, kinds, options())).await.unwrap_err();
    for says in ["vip", &set, "WRONGTYPE"] {
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_large_set_is_read_whole() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let oracle = Oracle::of(cluster).await;
    let set = format!("set-of-{prefix}");
    let members: Vec<String> = (0..5_000).map(|n| format!("m{n}")).collect();
    oracle.say(&format!("SADD {set} {}", members.join(" "))).await;
    let store = store(cluster, with_set(&prefix, &set)).await;
    assert_eq!(store.layout().cohorts().cohorts()[0].members.len(), 5_000);
    assert!(store.layout().cohorts().tag_of("m4999").is_some());
    assert_eq!(store.layout().cohorts().tag_of(&id("m5000")), None);
}

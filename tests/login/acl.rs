//! ACL users: the documented rules are enough, and what a user may not do is said.

use futures::stream;
use slotwise::devcluster::{ClusterSpec, LocalCluster};
use slotwise::model::RowStatus;
use slotwise::shard::{RedisSettings, StreamingWrite};
use slotwise::slot::Slot;
use slotwise::store::{CohortMembers, CohortOptions, LoadOptions, MoveDirection};

use super::{open, open_kind, refused};
use crate::support::features::{
    LONG, Oracle, assert_filled, cohort, feature, id, ids, kind, names, reason, row, tags_on,
};
use crate::support::slots::{MovingSlot, keys_in};
use crate::support::{SOON, cluster, server, shared_cluster, start, unique_prefix};

const PASSWORD: &str = "corr3ct-horse";

/// The rules of the `number`th block in the document.
fn documented(number: usize) -> String {
    let blocks = include_str!("../../docs/ACCESS.md").split("```acl\n").skip(1);
    let blocks: Vec<&str> = blocks.map(|rest| rest.split("```").next().unwrap()).collect();
    blocks[number].replace('\n', " ")
}

/// Makes a user on every node, and brings the settings of a client that logs in as it.
async fn user(cluster: &LocalCluster, name: &str, rules: &str) -> RedisSettings {
    let oracle = Oracle::of(cluster).await;
    for index in 0..cluster.nodes().len() {
        let command = format!("ACL SETUSER {name} reset on >{PASSWORD} {rules}");
        let words: Vec<&str> = command.split_whitespace().collect();
        oracle.node(index).call(&words).await.unwrap();
    }
    login(cluster, name, PASSWORD)
}

fn login(cluster: &LocalCluster, name: &str, password: &str) -> RedisSettings {
    let urls = cluster.addrs().into_iter().map(|addr| format!("redis://{name}:{password}@{addr}"));
    RedisSettings::from_urls(urls).unwrap()
}

#[tokio::test]
async fn the_documented_rules_for_reading_are_enough_also_while_a_slot_moves_and_allow_no_write() {
    let (cluster, prefix) = (cluster(3, 0).await, unique_prefix());
    let settings = user(&cluster, "reader", &format!("~{prefix}* {}", documented(0))).await;
    let (store, oracle) = (open(settings, &prefix).await.unwrap(), Oracle::of(&cluster).await);
    let tag = tags_on(&store, &cluster, 0).next().unwrap();
    let mut asked = ids("u", 0..300);
    asked.extend(ids(&format!("{{{tag}}}"), 0..100));
    oracle.fill(&prefix, &asked).await;
    let read = || store.batch_get_features(asked.clone(), names(&["v"]), LONG);
    assert_filled(&read().await.unwrap());

    let slot = Slot::for_key(tag.as_bytes());
    let moving = MovingSlot { slot, from: oracle.node(0), to: oracle.node(1) };
    moving.begin().await;
    moving.migrate(&keys_in(oracle.node(0), slot).await[..50]).await;
    assert_filled(&read().await.unwrap());
    moving.migrate(&keys_in(oracle.node(0), slot).await).await;
    moving.end(&[oracle.node(2)]).await;
    assert_filled(&read().await.unwrap());

    let error = store.update_streaming(&id("u"), &[feature("s", "1")], None).await.unwrap_err();
    assert!(error.to_string().contains("NOPERM"), "{error}");
}

/// Does everything there is as a user with all documented rules.
async fn assert_the_rules_are_enough(cluster: &LocalCluster, way: StreamingWrite) {
    let prefix = unique_prefix();
    let rules: Vec<String> = (0..6).map(documented).collect();
    let rules = format!("~{prefix}* ~members-{prefix} {}", rules.join(" "));
    let settings = user(cluster, "worker", &rules).await;
    let members = ids("u", 0..20);
    for member in &members {
        Oracle::of(cluster).await.say(&format!("SADD members-{prefix} {member}")).await;
    }
    let mut kind = kind(&prefix);
    let plain = open_kind(settings.clone(), kind.clone()).await.unwrap();
    assert_eq!(plain.capabilities().streaming_write, way);
    let members_set = CohortMembers::RedisSet { key: format!("members-{prefix}"), refresh: SOON };
    kind.cohorts = vec![CohortOptions { members: members_set, ..cohort("vip", &["vip"], Vec::new()) }];

    let readiness = plain.readiness(SOON).await;
    assert!(readiness.ready, "{readiness:?}");
    let everyone = ids("u", 0..100);
    let rows: Vec<_> = everyone.iter().map(|id| row(id, &[("b", "1")])).collect();
    let report = plain.bulk_load(
        stream::iter(rows),
        LoadOptions { ttl_seconds: Some(500), ..LoadOptions::default() },
        |row, result| {
            assert!(result.is_ok(), "{}: {result:?}", row.id);
        },
    );
    assert_eq!(report.await.unwrap().written, 100);
    let confirmed = LoadOptions { wait_replicas: 1, ..LoadOptions::default() };
    let rows = stream::iter([row(&members[0], &[("b", "1")])]);
    let refused = plain.bulk_load(rows, confirmed, |_, _| panic!("no row is decided")).await.unwrap_err();
    assert!(refused.to_string().contains("wait_replicas: 1 are more than the 0 replicas"), "{refused}");
    plain.update_streaming(&members[0], &[feature("s", "1"), feature("t", "2")], None).await.unwrap();
    plain.update_batch_feature(&members[0], &names(&["c"])[0], "1".into()).await.unwrap();
    let batch = plain.batch_get_features(everyone.clone(), names(&["b"]), LONG).await.unwrap();
    assert_eq!(batch.summary().found, 100);
    assert_eq!(plain.inspect(&members[0]).await.unwrap().fields.len(), 4);
    assert_eq!(plain.field_ttls(&members[0], &names(&["b"])).await.unwrap(), [-1]);
    assert!(plain.key_ttl(&members[0]).await.unwrap() > 400);

    let store = open_kind(settings, kind).await.unwrap();
    for direction in [MoveDirection::IntoCohort, MoveDirection::OutOfCohort] {
        let report = store.move_cohort("vip", direction, |_, _| {}).await.unwrap();
        assert_eq!((report.moved, report.failed), (20, 0), "{direction:?}");
    }
    assert_eq!(store.count_entities().await.unwrap(), 100);
    assert!(store.delete_entity(&everyone[99]).await.unwrap());
    assert_eq!(store.reset().await.unwrap(), 99);
}

#[tokio::test]
async fn the_documented_rules_are_enough_for_everything() {
    assert_the_rules_are_enough(shared_cluster().await, StreamingWrite::Hsetex).await;
}

#[tokio::test]
async fn the_documented_rules_are_enough_where_there_is_no_hsetex() {
    let mut spec = ClusterSpec::new(server().await, 2);
    spec.extra_config.push(("rename-command".to_owned(), "HSETEX \"\"".to_owned()));
    assert_the_rules_are_enough(&start(spec).await, StreamingWrite::Transaction).await;
}

#[tokio::test]
async fn rows_that_a_user_may_not_read_are_unavailable_and_never_missing() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let asked = ids("u", 0..50);
    Oracle::of(cluster).await.fill(&prefix, &asked).await;
    let reading = documented(0);
    for (name, rules) in [
        ("no-hmget", format!("~{prefix}* {}", reading.replace("+hmget", ""))),
        ("no-keys", format!("~other:* {reading}")),
    ] {
        let store = open(user(cluster, name, &rules).await, &prefix).await.unwrap();
        let batch = store.batch_get_features(asked.clone(), names(&["v"]), LONG).await.unwrap();
        for (number, row) in batch.rows().enumerate() {
            assert_eq!(row.status, RowStatus::Unavailable, "{name}");
            let reason = reason(&batch, number);
            assert!(reason.contains("NOPERM") && !reason.contains(PASSWORD), "{name}: {reason}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_shown() {
    let cluster = shared_cluster().await;
    user(cluster, "ada", "~* +@all").await;
    let text = refused(login(cluster, "ada", "wr0ng-secret")).await;
    assert!(text.contains("WRONGPASS") || text.contains("uthentication"), "{text}");
    assert!(!text.contains("wr0ng-secret"), "{text}");
}

#[tokio::test]
async fn a_user_that_may_not_be_asked_what_the_server_can_do_is_told_so() {
    let cluster = shared_cluster().await;
    let rules = documented(0).replace("+info", "");
    let text = refused(user(cluster, "no-info", &format!("~* {rules}")).await).await;
    assert!(text.contains("may the user run them?"), "{text}");
}

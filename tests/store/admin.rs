//! Listing, counting, deleting and resetting one kind of entity, and nothing else.

use slotwise::FeatureStore;
use slotwise::devcluster::LocalCluster;
use slotwise::model::EntityId;
use slotwise::shard::RedisSettings;
use slotwise::slot::Slot;
use slotwise::store::EntityOptions;

use crate::support::features::{Oracle, cohort, id, ids, kind, names, options, store};
use crate::support::{shared_cluster, unique_prefix};

async fn store_of_two_kinds(cluster: &LocalCluster, prefixes: [&str; 2]) -> (FeatureStore, FeatureStore) {
    let settings = RedisSettings::from_urls(cluster.urls().split(',')).unwrap();
    let merchant = EntityOptions { name: "merchant".to_owned(), ..kind(prefixes[1]) };
    let kinds = vec![kind(prefixes[0]), merchant];
    let store = Box::pin(FeatureStore::connect(settings, kinds, options())).await.unwrap();
    let of = |name| store.entity(Some(name)).unwrap();
    (of("user"), of("merchant"))
}

#[tokio::test]
async fn entities_are_listed_counted_and_reset_under_their_own_prefix_only() {
    let (cluster, unique) = (shared_cluster().await, unique_prefix());
    let oracle = Oracle::of(cluster).await;
    // As a glob, the first prefix would match the keys of all the others too.
    let mine = format!("{unique}a*[b]?:");
    let neighbours =
        [format!("{unique}axxby:"), format!("{unique}a*[b]?"), format!("{unique}a*b?:"), format!("x{mine}")];
    let merchants = format!("{unique}merchant:");
    let users = ids("u", 0..1_500);
    oracle.fill(&mine, &users).await;
    oracle.fill(&merchants, &ids("m", 0..10)).await;
    for neighbour in &neighbours {
        oracle.fill(neighbour, &ids("n", 0..5)).await;
    }
    let (user, merchant) = store_of_two_kinds(cluster, [&mine, &merchants]).await;
    let mut sorted: Vec<EntityId> = users;
    sorted.sort();
    assert_eq!(user.list_entity_ids().await.unwrap(), sorted);
    assert_eq!(user.count_entities().await.unwrap(), 1_500);
    assert_eq!(merchant.count_entities().await.unwrap(), 10);

    assert!(user.delete_entity(&id("u7")).await.unwrap());
    assert!(!user.delete_entity(&id("u7")).await.unwrap(), "it is gone");
    assert!(!user.delete_entity(&id("m1")).await.unwrap(), "another kind's entity is none of ours");
    assert_eq!(user.reset().await.unwrap(), 1_499);
    assert_eq!(user.reset().await.unwrap(), 0);
    assert_eq!(user.list_entity_ids().await.unwrap(), []);
    assert_eq!(merchant.count_entities().await.unwrap(), 10);
    for neighbour in &neighbours {
        for n in 0..5 {
            assert_eq!(oracle.number(&format!("EXISTS {neighbour}n{n}")).await, 1, "{neighbour}n{n}");
        }
    }
}

#[tokio::test]
async fn an_entity_is_deleted_under_its_plain_and_its_cohort_key() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let oracle = Oracle::of(cluster).await;
    let vip = cohort("vip", &["v0", "v1"], vec![id("member")]);
    let store = store(cluster, EntityOptions { cohorts: vec![vip], ..kind(&prefix) }).await;
    for key in ["member", "{v0}:member", "{v1}:member", "other"] {
        oracle.say(&format!("HSET {prefix}{key} v 1")).await;
    }
    assert_eq!(store.list_entity_ids().await.unwrap(), [id("member"), id("other")], "each entity once");
    assert_eq!(store.count_entities().await.unwrap(), 2, "each entity once");
    assert!(store.delete_entity(&id("member")).await.unwrap());
    assert_eq!(store.list_entity_ids().await.unwrap(), [id("other")]);
}

#[tokio::test]
async fn an_inspection_shows_key_slot_shard_and_every_field_with_its_ttl() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    let key = format!("{prefix}u 1");
    let key = key.as_bytes();
    oracle.call(&[b"HSET", key, b"b", b"", b"a", b"\xff\x00", b"c", b"3"]).await;
    oracle.call(&[b"EXPIRE", key, b"60"]).await;
    oracle.call(&[b"HEXPIRE", key, b"30", b"FIELDS", b"1", b"c"]).await;
    let seen = store.inspect(&id("u 1")).await.unwrap();
    assert_eq!((seen.id, &seen.key[..], seen.exists), (id("u 1"), key, true));
    let slot = oracle.call(&[b"CLUSTER", b"KEYSLOT", key]).await.as_i64().unwrap();
    assert_eq!(i64::from(seen.slot.number()), slot);
    let owner = store.topology().shard_of(Slot::for_key(key)).unwrap().primary.clone();
    assert_eq!(seen.shard, Some(owner));
    assert!((50..=60).contains(&seen.key_ttl_seconds));
    let fields: Vec<(&[u8], &[u8])> =
        seen.fields.iter().map(|field| (&field.name[..], &field.value[..])).collect();
    assert_eq!(fields, [(&b"a"[..], &b"\xff\x00"[..]), (b"b", b""), (b"c", b"3")]);
    assert_eq!((seen.fields[0].ttl_seconds, seen.fields[1].ttl_seconds), (-1, -1));
    assert!((20..=30).contains(&seen.fields[2].ttl_seconds));

    let nobody = store.inspect(&id("nobody")).await.unwrap();
    assert_eq!((nobody.exists, nobody.key_ttl_seconds, nobody.fields.len()), (false, -2, 0));
}

#[tokio::test]
async fn an_entity_of_thousands_of_fields_is_inspected_whole() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let (oracle, store) = (Oracle::of(cluster).await, store(cluster, kind(&prefix)).await);
    let pairs: Vec<String> = (0..3_001).map(|n| format!("f{n:04} v{n}")).collect();
    oracle.say(&format!("HSET {prefix}u {}", pairs.join(" "))).await;
    let seen = store.inspect(&id("u")).await.unwrap();
    assert_eq!(seen.fields.len(), 3_001);
    for (n, field) in seen.fields.iter().enumerate() {
        assert_eq!(
            (&field.name[..], &field.value[..]),
            (format!("f{n:04}").as_bytes(), format!("v{n}").as_bytes())
        );
    }
}

#[tokio::test]
async fn kinds_share_ids_but_neither_keys_nor_ttls() {
    let (cluster, unique) = (shared_cluster().await, unique_prefix());
    let (users, merchants) = (format!("{unique}u:"), format!("{unique}m:"));
    let (user, merchant) = store_of_two_kinds(cluster, [&users, &merchants]).await;
    assert!(user.entity(None).is_err(), "with two kinds, one has to be named");
    user.update_batch_feature(&id("1"), &names(&["v"])[0], "user".into()).await.unwrap();
    merchant.update_batch_feature(&id("1"), &names(&["v"])[0], "merchant".into()).await.unwrap();
    for (store, value) in [(&user, "user"), (&merchant, "merchant")] {
        let batch = store.get_features(id("1"), names(&["v"]), None).await.unwrap();
        assert_eq!(batch.value(0, 0), Some(value.as_bytes()));
    }
    let settings = RedisSettings::from_urls(cluster.urls().split(',')).unwrap();
    let inside = EntityOptions { name: "inside".to_owned(), ..kind(&format!("{users}inside:")) };
    let kinds = vec![kind(&users), inside];
    let error = Box::pin(FeatureStore::connect(settings, kinds, options())).await.unwrap_err();
    assert!(error.to_string().contains("overlap"), "{error}");
}

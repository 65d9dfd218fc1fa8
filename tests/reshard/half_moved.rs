//! A slot in the middle of its way: half of its keys are at the new node, and half are not.

use futures::stream;
use slotwise::FeatureStore;
use slotwise::devcluster::{ClusterSpec, LocalCluster};
use slotwise::model::{EntityId, FeatureClass, FeatureName, FeatureSpec, FeatureType, RowStatus, Schema};
use slotwise::shard::StreamingWrite;
use slotwise::slot::{NodeAddr, Slot};
use slotwise::store::{EntityOptions, LoadOptions, MoveDirection, MoveReport};

use crate::support::features::{
    LONG, Oracle, assert_filled, cohort, feature, id, ids, kind, names, row, store, tags_on, value_of,
};
use crate::support::slots::{MovingSlot, keys_in};
use crate::support::{cluster, server, start, unique_prefix};

/// A slot of node 0 with 200 entities, moving to node 1: the keys of even numbers are there already.
struct Scene {
    oracle: Oracle,
    store: FeatureStore,
    prefix: String,
    tag: String,
    ids: Vec<EntityId>,
}

impl Scene {
    async fn new(cluster: &LocalCluster) -> Self {
        Self::with(cluster, |_, _| Vec::new()).await
    }

    async fn with(
        cluster: &LocalCluster,
        cohorts: impl FnOnce(&str, &[EntityId]) -> Vec<slotwise::store::CohortOptions>,
    ) -> Self {
        let (oracle, prefix) = (Oracle::of(cluster).await, unique_prefix());
        let plain = store(cluster, kind(&prefix)).await;
        let tag = tags_on(&plain, cluster, 0).next().unwrap();
        let ids = ids(&format!("{{{tag}}}"), 0..200);
        oracle.fill(&prefix, &ids).await;
        let (cohorts, schema) = (cohorts(&tag, &ids), slow());
        let store = store(cluster, EntityOptions { cohorts, schema, ..kind(&prefix) }).await;
        let scene = Self { oracle, store, prefix, tag, ids };
        scene.moving().begin().await;
        let even: Vec<_> = scene.ids.iter().step_by(2).map(|id| scene.key(id)).collect();
        scene.moving().migrate(&even).await;
        assert_eq!(keys_in(scene.oracle.node(0), scene.slot()).await.len(), 100);
        assert_eq!(keys_in(scene.oracle.node(1), scene.slot()).await.len(), 100);
        scene
    }

    fn slot(&self) -> Slot {
        Slot::for_key(self.tag.as_bytes())
    }

    fn moving(&self) -> MovingSlot<'_> {
        MovingSlot { slot: self.slot(), from: self.oracle.node(0), to: self.oracle.node(1) }
    }

    fn key(&self, id: &EntityId) -> Vec<u8> {
        format!("{}{id}", self.prefix).into_bytes()
    }

    fn new_id(&self, name: &str) -> EntityId {
        id(&format!("{{{}}}{name}", self.tag))
    }

    /// Moves what is left and ends the move.
    async fn end(&self) {
        let rest = keys_in(self.oracle.node(0), self.slot()).await;
        self.moving().migrate(&rest).await;
        let others: Vec<_> = (2..3).map(|index| self.oracle.node(index)).collect();
        self.moving().end(&others).await;
    }
}

#[tokio::test]
async fn keys_of_a_half_moved_slot_are_found_wherever_they_are_and_absent_ones_are_missing() {
    let cluster = cluster(3, 0).await;
    let scene = Scene::new(&cluster).await;
    let elsewhere = ids("e", 0..800);
    scene.oracle.fill(&scene.prefix, &elsewhere).await;
    let mut asked = elsewhere.clone();
    asked.extend(scene.ids.iter().cloned());
    let absent: Vec<EntityId> = (0..20).map(|n| scene.new_id(&format!("absent{n}"))).collect();
    let (sent, run) = (scene.oracle.hmgets().await, scene.oracle.stat("hmget", "calls").await);
    let batch = scene.store.batch_get_features(asked.clone(), names(&["v"]), LONG).await.unwrap();
    assert_filled(&batch);
    let (sent, run) = (scene.oracle.hmgets().await - sent, scene.oracle.stat("hmget", "calls").await - run);
    assert_eq!(run, 1_000, "no key is read twice");
    assert!(sent <= 1_000 + 100 + 5, "the 100 keys that are there already are sent twice, no others: {sent}");

    let batch = scene.store.batch_get_features(absent.clone(), names(&["v"]), LONG).await.unwrap();
    assert!(batch.rows().all(|row| row.status == RowStatus::Missing), "{:?}", batch.summary());

    // The move ends; the store still believes in the old owner.
    scene.end().await;
    let sent = scene.oracle.hmgets().await;
    assert_filled(&scene.store.batch_get_features(asked, names(&["v"]), LONG).await.unwrap());
    let sent = scene.oracle.hmgets().await - sent;
    assert!(sent <= 1_000 + 200 + 5, "the 200 keys of the moved slot are sent twice, no others: {sent}");
}

/// One streaming feature with a TTL of its own.
fn slow() -> Schema {
    let mut schema = Schema::default();
    let (feature_type, class) = (FeatureType::Int64, FeatureClass::Streaming);
    let name = FeatureName::new("slow").unwrap();
    let slow = FeatureSpec { name, feature_type, class, ttl_seconds: Some(1_000), default: None };
    schema.add_feature(slow).unwrap();
    schema
}

async fn assert_writes_land(cluster: &LocalCluster, way: StreamingWrite) {
    let scene = Scene::new(cluster).await;
    assert_eq!(scene.store.capabilities().streaming_write, way);
    let mut all = scene.ids.clone();
    all.extend((0..20).map(|n| scene.new_id(&format!("new{n}"))));
    for id in &all {
        scene
            .store
            .update_streaming(id, &[feature("s", &**id), feature("t", 1i64)], Some(100))
            .await
            .unwrap();
        // Two TTLs in one write.
        scene.store.update_streaming(id, &[feature("u", 1i64), feature("slow", 2i64)], None).await.unwrap();
    }
    let rows: Vec<_> = all.iter().map(|id| row(id, &[("b", &**id)])).collect();
    let report = scene.store.bulk_load(
        stream::iter(rows),
        LoadOptions { ttl_seconds: Some(500), ..LoadOptions::default() },
        |row, result| {
            assert!(result.is_ok(), "{}: {result:?}", row.id);
        },
    );
    assert_eq!(report.await.unwrap().written, 220);
    scene.store.update_batch_feature(&all[0], &names(&["c"])[0], "1".into()).await.unwrap();
    scene.store.update_batch_feature(&all[1], &names(&["c"])[0], "1".into()).await.unwrap();
    let read = || scene.store.batch_get_features(all.clone(), names(&["s", "b", "t"]), LONG);
    for row in read().await.unwrap().rows() {
        assert_eq!(row.status, RowStatus::Found, "{}: {:?}", row.id, row.reason);
    }
    for id in &all {
        assert!(scene.store.inspect(id).await.unwrap().exists);
        let ttls = scene.store.field_ttls(id, &names(&["s", "b"])).await.unwrap();
        assert!((80..=100).contains(&ttls[0]) && ttls[1] == -1, "{ttls:?}");
        let ttls = scene.store.field_ttls(id, &names(&["u", "slow"])).await.unwrap();
        assert!((280..=300).contains(&ttls[0]) && (980..=1_000).contains(&ttls[1]), "{ttls:?}");
    }

    scene.end().await;
    for id in &all {
        let key = scene.key(id);
        assert_eq!(scene.oracle.hget(&key, b"s").await.as_deref(), Some(id.as_bytes()));
        assert_eq!(scene.oracle.hget(&key, b"b").await.as_deref(), Some(id.as_bytes()));
        assert!((80..=100).contains(&scene.oracle.httl(&key, b"s").await));
        assert!((470..=500).contains(&scene.oracle.call(&[b"TTL", &key]).await.as_i64().unwrap()));
    }
    assert_eq!(read().await.unwrap().summary().found, 220);
    for id in &all {
        assert!(scene.store.delete_entity(id).await.unwrap());
    }
}

#[tokio::test]
async fn writes_to_a_half_moved_slot_land_and_can_be_read() {
    assert_writes_land(&cluster(3, 0).await, StreamingWrite::Hsetex).await;
}

#[tokio::test]
async fn transactions_on_a_half_moved_slot_land_and_can_be_read() {
    let mut spec = ClusterSpec::new(server().await, 3);
    spec.extra_config.push(("rename-command".to_owned(), "HSETEX \"\"".to_owned()));
    assert_writes_land(&start(spec).await, StreamingWrite::Transaction).await;
}

#[tokio::test]
async fn entities_of_a_half_moved_slot_move_into_their_cohort_and_back() {
    let cluster = cluster(3, 0).await;
    let members = |_: &str, ids: &[EntityId]| vec![cohort("vip", &["vip"], ids.to_vec())];
    let scene = Scene::with(&cluster, members).await;
    let moved = MoveReport { moved: 200, ..MoveReport::default() };
    for direction in [MoveDirection::IntoCohort, MoveDirection::OutOfCohort, MoveDirection::IntoCohort] {
        let mut failed = Vec::new();
        let note = |id: &EntityId, outcome: &_| failed.push(format!("{id} {outcome:?}"));
        let report = scene.store.move_cohort("vip", direction, note).await.unwrap();
        assert_eq!(report, moved, "{:?}", &failed[..3]);
    }
    for id in &scene.ids {
        let key = format!("{}{{vip}}:{id}", scene.prefix);
        assert_eq!(scene.oracle.hget(key.as_bytes(), b"v").await, Some(value_of(id).into_bytes()));
    }
}

#[tokio::test]
async fn a_shard_whose_every_slot_has_gone_is_asked_no_more() {
    let cluster = cluster(2, 0).await;
    let (oracle, prefix) = (Oracle::of(&cluster).await, unique_prefix());
    let store = store(&cluster, kind(&prefix)).await;
    let asked = ids("u", 0..500);
    // Without keys, owners change by decree.
    let target = crate::support::slots::node_id(oracle.node(1)).await;
    for slot in 0..8_192 {
        for node in [oracle.node(1), oracle.node(0)] {
            node.call(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &target]).await.unwrap();
        }
    }
    oracle.fill(&prefix, &asked).await;
    assert_filled(&store.batch_get_features(asked.clone(), names(&["v"]), LONG).await.unwrap());
    let gone: &NodeAddr = oracle.node(0).addr();
    crate::support::wait_until("the shard is forgotten", crate::support::SOON, || async {
        let batch = store.batch_get_features(asked.clone(), names(&["v"]), LONG).await.unwrap();
        assert_filled(&batch);
        store.topology().shards().iter().all(|shard| shard.primary != *gone) && batch.summary().shards == 1
    })
    .await;
}

//! Pipelines that bring nothing, by shard and kind; what is sent again, and what a replica is asked for instead.

use std::time::Duration;

use slotwise::FeatureStore;
use slotwise::devcluster::{ClusterSpec, LocalCluster};
use slotwise::model::EntityId;
use slotwise::slot::Slot;
use slotwise::store::{ReadFrom, StoreOptions};

use super::Page;
use crate::support::features::{LONG, Oracle, ids, kind, names, options, store_with};
use crate::support::{SOON, server, start, unique_prefix, wait_until};

const ERRORS: &str = "slotwise_shard_errors_total";
const RETRIED: &str = "slotwise_retried_keys_total";
const FALLBACK: &str = "slotwise_fallback_keys_total";
const CANCELLED: &str = "slotwise_reads_cancelled_total";
const UNAVAILABLE: &str = "slotwise_reads_unavailable_total";
const PIPELINES: &str = "slotwise_shard_pipeline_commands_count";
const SHORT: Option<Duration> = Some(Duration::from_millis(150));
/// The shard in trouble.
const SHARD: usize = 1;

struct Scene {
    cluster: LocalCluster,
    store: FeatureStore,
    ids: Vec<EntityId>,
    /// The shard's label.
    shard: String,
    /// How many of the ids are its.
    of_shard: usize,
}

impl Scene {
    async fn new(replicas: usize, read_from: ReadFrom) -> Self {
        let mut spec = ClusterSpec { replicas, ..ClusterSpec::new(server().await, 3) };
        spec.extra_config.push(("cluster-require-full-coverage".to_owned(), "no".to_owned()));
        let (cluster, prefix, ids) = (start(spec).await, unique_prefix(), ids("u", 0..300));
        Oracle::of(&cluster).await.fill(&prefix, &ids).await;
        let store = store_with(&cluster, kind(&prefix), StoreOptions { read_from, ..options() }).await;
        let known =
            || async { store.topology().shards().iter().all(|shard| shard.replicas.len() == replicas) };
        wait_until("the store knows all replicas", SOON, known).await;
        let (topology, node) = (store.topology(), cluster.addrs()[SHARD].clone());
        let is_of_shard = |id: &&EntityId| {
            let key = store.layout().key(id).unwrap();
            topology.shard_of(Slot::for_key(&key)).unwrap().primary == node
        };
        let of_shard = ids.iter().filter(is_of_shard).count();
        assert!(of_shard > 50);
        let scene = Self { shard: format!("shard=\"{node}\""), cluster, store, ids, of_shard };
        assert_eq!(scene.read(5_000).await, 0, "all is well");
        scene
    }

    /// An entity of the shard.
    fn away(&self) -> EntityId {
        let topology = self.store.topology();
        let is_of_shard = |id: &&EntityId| {
            let key = self.store.layout().key(id).unwrap();
            topology.shard_of(Slot::for_key(&key)).unwrap().primary == self.cluster.addrs()[SHARD]
        };
        self.ids.iter().find(is_of_shard).cloned().unwrap()
    }

    /// How many rows are unavailable.
    async fn read(&self, timeout_ms: u64) -> usize {
        let timeout = Some(Duration::from_millis(timeout_ms));
        let batch = self.store.batch_get_features(&*self.ids, names(&["v"]), timeout).await.unwrap();
        batch.summary().unavailable
    }
}

#[tokio::test]
async fn a_node_that_is_killed_brings_connection_errors_and_its_keys_are_sent_again() {
    let page = Page::new().await;
    let mut scene = Scene::new(0, ReadFrom::Primary).await;
    scene.cluster.kill_node(SHARD).unwrap();
    let connection = [&scene.shard, "operation=\"read\"", "kind=\"connection\""];
    let timeout = [&scene.shard, "operation=\"read\"", "kind=\"timeout\""];
    let series =
        [(ERRORS, &connection[..]), (ERRORS, &timeout), (ERRORS, &["operation=\"read\""]), (RETRIED, &[])];
    let [connection, timeout, all, retried] =
        page.growth(series, async { assert_eq!(scene.read(300).await, scene.of_shard) }).await;
    assert!(connection >= 1.0 && timeout <= 1.0, "{connection}, {timeout}");
    assert_eq!(connection + timeout, all, "no other shard is at fault");
    assert!(retried >= scene.of_shard as f64, "{retried}");
}

#[tokio::test]
async fn a_node_that_is_stalled_brings_one_timeout_for_each_read_that_is_given_up() {
    let page = Page::new().await;
    let scene = Scene::new(0, ReadFrom::Primary).await;
    scene.cluster.pause_node(SHARD).unwrap();
    let timeout = [&scene.shard, "operation=\"read\"", "kind=\"timeout\""];
    let series = [
        (ERRORS, &timeout[..]),
        (ERRORS, &[]),
        ("slotwise_rows_unavailable_total", &["reason=\"deadline_exceeded\""]),
        (UNAVAILABLE, &["kind=\"batch\""]),
        (UNAVAILABLE, &["kind=\"single\""]),
        (CANCELLED, &[]),
        ("slotwise_shard_pipeline_duration_seconds_count", &timeout[..2]),
    ];
    let grown = page
        .growth(series, async {
            assert_eq!(scene.read(250).await, scene.of_shard);
            assert_eq!(scene.store.get_features(scene.away(), names(&["v"]), SHORT).await.unwrap().len(), 1);
        })
        .await;
    scene.cluster.resume_node(SHARD).unwrap();
    assert_eq!(grown, [2.0, 2.0, scene.of_shard as f64 + 1.0, 1.0, 1.0, 0.0, 2.0]);
}

#[tokio::test]
async fn a_caller_that_goes_away_at_once_is_no_error_of_the_shard() {
    let page = Page::new().await;
    let scene = Scene::new(0, ReadFrom::Primary).await;
    scene.cluster.pause_node(SHARD).unwrap();
    let in_trouble = [&*scene.shard, "operation=\"read\""];
    let series = [
        (ERRORS, &[][..]),
        (CANCELLED, &["kind=\"batch\""]),
        (CANCELLED, &["kind=\"single\""]),
        ("slotwise_read_duration_seconds_count", &[]),
        (PIPELINES, &in_trouble),
        ("slotwise_shard_pipeline_duration_seconds_count", &in_trouble),
        ("slotwise_shard_pipelines_in_flight", &[]),
    ];
    let grown = page
        .growth(series, async {
            let soon = Duration::from_millis(20);
            assert!(tokio::time::timeout(soon, scene.read(5_000)).await.is_err());
            let single = scene.store.get_features(scene.away(), names(&["v"]), LONG);
            assert!(tokio::time::timeout(soon, single).await.is_err());
        })
        .await;
    scene.cluster.resume_node(SHARD).unwrap();
    assert_eq!(grown, [0.0, 1.0, 1.0, 0.0, 2.0, 0.0, 0.0], "given up too soon to say anything of the node");
}

#[tokio::test]
async fn keys_of_a_stalled_primary_are_counted_once_when_its_replica_is_asked() {
    let page = Page::new().await;
    let scene = Scene::new(1, ReadFrom::PrimaryThenReplica).await;
    scene.cluster.pause_node(SHARD).unwrap();
    let ours = [&*scene.shard];
    let timeout = [&scene.shard, "operation=\"read\"", "kind=\"timeout\""];
    let [ours, all, timeout] = page
        .growth([(FALLBACK, &ours), (FALLBACK, &[]), (ERRORS, &timeout)], async {
            assert_eq!(scene.read(5_000).await, 0);
        })
        .await;
    scene.cluster.resume_node(SHARD).unwrap();
    assert_eq!((ours, all), (scene.of_shard as f64, scene.of_shard as f64));
    assert_eq!(timeout, 1.0, "it was silent for longer than it is waited for");
}

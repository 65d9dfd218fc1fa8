//! What the cluster benches share: 100,000 entities of 11 features, loaded once, and the ways of reading them.
//!
//! Every value follows from its entity and its feature alone, so that any answer can be checked.

#![allow(dead_code, reason = "every bench uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use redis::AsyncConnectionConfig;
use redis::cluster_async::ClusterConnection;
use slotwise::FeatureStore;
use slotwise::model::{EntityId, FeatureBatch, FeatureName, Projection};
use slotwise::shard::RedisSettings;
use slotwise::slot::Slot;
use slotwise::store::{EntityOptions, StoreOptions, Transport};

use floor::Floor;

pub(crate) mod cost;
pub(crate) mod floor;
pub(crate) mod served;
#[path = "../../tests/support/mod.rs"]
mod support;

/// Entities in the cluster.
pub(crate) const ENTITIES: u64 = 100_000;
/// Features that are read of each entity.
pub(crate) const FEATURES_READ: usize = 10;
/// The features of an entity; the last five have a TTL of their own.
pub(crate) const FEATURES: [&str; 11] = [
    "country_iso",
    "risk_segment",
    "account_age_days",
    "tx_count_7d",
    "avg_amount_30d",
    "chargeback_count_180d",
    "last_login_ts",
    "last_device_id",
    "tx_count_5m",
    "failed_logins_15m",
    "session_country",
];
const STREAMING: &[&str] = FEATURES.split_at(6).1;
/// Of every key.
pub(crate) const PREFIX: &str = "bench-read:";
const TTL_SECONDS: u64 = 86_400;
const LOAD_ENTITIES_PER_PIPELINE: usize = 500;
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What one request of one entity answers.
pub(crate) type Cells = Vec<Option<Vec<u8>>>;

/// One batch of random ids.
pub(crate) struct Request {
    /// The entities' numbers.
    pub(crate) numbers: Vec<u64>,
    /// Their ids.
    pub(crate) ids: Arc<[EntityId]>,
}

/// A loaded cluster, and everybody who reads from it.
pub(crate) struct Bench {
    /// Over direct lanes.
    pub(crate) lanes: FeatureStore,
    /// Through the cluster connection.
    pub(crate) cluster: FeatureStore,
    /// An address of the cluster.
    pub(crate) url: String,
    naive: ClusterConnection,
    features: Arc<[FeatureName]>,
    projection: Arc<Projection>,
}

impl Bench {
    /// Connects all clients to the cluster and loads the entities.
    pub(crate) async fn connect() -> Self {
        let url = redis_url().await;
        let lanes_per_node =
            std::env::var("LANES_PER_NODE").map_or(1, |text| text.parse().expect("a number of lanes"));
        let lanes = store(&url, Transport::Lanes { per_node: lanes_per_node }).await;
        let cluster = store(&url, Transport::Cluster).await;
        load(&lanes).await;
        let client = redis::cluster::ClusterClient::builder([url.as_str()])
            .response_timeout(RESPONSE_TIMEOUT)
            .build()
            .expect("a client");
        let naive = client.get_async_connection().await.expect("a cluster");
        let names = FEATURES[..FEATURES_READ].iter();
        let features: Arc<[FeatureName]> =
            names.map(|name| FeatureName::new(*name).expect("a name")).collect();
        let projection = lanes.projection(Arc::clone(&features), false).expect("features");
        Self { lanes, cluster, url, naive, features, projection }
    }

    /// The floor, connected to the same cluster.
    pub(crate) fn floor(&self) -> Floor {
        Floor::connect(&self.lanes.topology(), PREFIX, &self.features)
    }

    /// Reads through a store.
    pub(crate) async fn ours(&self, store: &FeatureStore, request: &Request) -> FeatureBatch {
        let (ids, projection) = (Arc::clone(&request.ids), Arc::clone(&self.projection));
        store.batch_get_projection(ids, projection, Some(REQUEST_TIMEOUT)).await.expect("a batch")
    }

    /// Reads with one request per entity through the same client crate, all at once.
    pub(crate) async fn naive(&self, request: &Request) -> Vec<Cells> {
        let reads = request.ids.iter().map(|id| {
            let mut connection = self.naive.clone();
            async move {
                let mut hmget = redis::cmd("HMGET");
                hmget.arg([PREFIX, id.as_str()].concat());
                for feature in &*self.features {
                    hmget.arg(feature.as_str());
                }
                hmget.query_async::<Cells>(&mut connection).await.expect("an answer")
            }
        });
        join_all(reads).await
    }

    /// Reads in every way and compares every cell with what was loaded.
    pub(crate) async fn check(&self, request: &Request) {
        let lanes = self.ours(&self.lanes, request).await;
        let cluster = self.ours(&self.cluster, request).await;
        let rows = self.naive(request).await;
        let mut floor = self.floor();
        floor.read(&request.ids);
        let count = request.ids.len();
        assert_eq!((lanes.len(), cluster.len(), rows.len()), (count, count, count));
        for (row, number) in request.numbers.iter().enumerate() {
            for feature in 0..FEATURES_READ {
                let loaded = value(*number, feature);
                let told = |who: &str| format!("{who}: {} of {}", FEATURES[feature], request.ids[row]);
                let loaded = Some(loaded.as_bytes());
                assert_eq!(lanes.value(row, feature), loaded, "{}", told("lanes"));
                assert_eq!(cluster.value(row, feature), loaded, "{}", told("cluster"));
                assert_eq!(floor.cell(row, feature), loaded, "{}", told("floor"));
                assert_eq!(rows[row][feature].as_deref(), loaded, "{}", told("naive"));
            }
        }
    }
}

async fn store(url: &str, transport: Transport) -> FeatureStore {
    let settings = RedisSettings::from_urls([url]).expect("an address");
    let entity = EntityOptions { prefix: PREFIX.to_owned(), ..EntityOptions::new("bench") };
    let options = StoreOptions { transport, ..StoreOptions::default() };
    FeatureStore::connect(settings, vec![entity], options).await.expect("a cluster")
}

/// `count` batches of `size` random entities each; a seed gives the same ones every time.
pub(crate) fn requests(seed: u64, count: usize, size: usize) -> Vec<Request> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let request = |_| {
        let numbers: Vec<u64> = (0..size).map(|_| rng.next_u64() % ENTITIES).collect();
        let ids = numbers.iter().map(|number| id(*number)).collect();
        Request { numbers, ids }
    };
    (0..count).map(request).collect()
}

/// The cluster that `SLOTWISE_REDIS_URL` names, or else a local one of three shards, which ends with the process.
async fn redis_url() -> String {
    match std::env::var("SLOTWISE_REDIS_URL") {
        Ok(url) => url,
        Err(_) => format!("redis://{}", support::shared_cluster().await.addrs()[0]),
    }
}

fn id(number: u64) -> EntityId {
    EntityId::new(format!("u{number:06}")).expect("an id")
}

/// The value of a feature, in the lengths that such features have.
pub(crate) fn value(number: u64, feature: usize) -> String {
    let mixed = (number * 31 + feature as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17;
    let pick = |texts: &[&str]| texts[usize::try_from(mixed).unwrap_or_default() % texts.len()].to_owned();
    match feature {
        0 | 10 => pick(&["US", "GB", "DE", "FR", "ES", "IN", "BR", "JP"]),
        1 => pick(&["low", "medium", "high"]),
        2 => (mixed % 2_400).to_string(),
        4 => format!("{}.{:02}", mixed % 350, mixed % 97),
        6 => (1_760_000_000_000 + mixed % 1_000_000_000).to_string(),
        7 => pick(&["ios-9f02", "android-51be", "web-chrome"]),
        _ => (mixed % 80).to_string(),
    }
}

/// Writes every entity over plain connections to the shards' primaries, all shards at once.
async fn load(store: &FeatureStore) {
    let topology = store.topology();
    let mut by_shard: Vec<Vec<u64>> = vec![Vec::new(); topology.shards().len()];
    for number in 0..ENTITIES {
        let slot = Slot::for_key(key(number).as_bytes());
        by_shard[topology.owner(slot).expect("an owner for every slot").index()].push(number);
    }
    let loads = topology.shards().iter().zip(by_shard).map(|(shard, numbers)| async move {
        let client = redis::Client::open(format!("redis://{}", shard.primary))?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(REQUEST_TIMEOUT));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        for numbers in numbers.chunks(LOAD_ENTITIES_PER_PIPELINE) {
            write_commands(numbers).exec_async(&mut connection).await?;
        }
        redis::RedisResult::Ok(())
    });
    try_join_all(loads).await.expect("every entity is written");
}

fn write_commands(numbers: &[u64]) -> redis::Pipeline {
    let mut pipeline = redis::pipe();
    for number in numbers {
        let key = key(*number);
        let fields = FEATURES.iter().enumerate().map(|(feature, name)| (*name, value(*number, feature)));
        pipeline.hset_multiple(&key, &fields.collect::<Vec<_>>()).ignore();
        pipeline.cmd("HEXPIRE").arg(&key).arg(TTL_SECONDS).arg("FIELDS");
        pipeline.arg(STREAMING.len()).arg(STREAMING).ignore();
        pipeline.cmd("EXPIRE").arg(&key).arg(TTL_SECONDS).ignore();
    }
    pipeline
}

fn key(number: u64) -> String {
    format!("{PREFIX}u{number:06}")
}

//! A served engine on a cluster of its own, under a load that keeps its own record, with a stream that can be paused.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use slotwise::devcluster::LocalCluster;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::support::served::Served;
use crate::support::{cluster, slotwise};

pub(crate) const PREFIX: &str = "fs:user:";
pub(crate) const ENTITIES: usize = 400;
const IDS_OF_BATCH: usize = 350;
/// The streaming feature, and how long a value of it lives.
pub(crate) const STREAMING: &str = "tx_count_5m";
const STREAMING_TTL_SECONDS: u64 = 10;
/// Deadline of a read, well beyond the SLO's threshold.
const TIMEOUT_MS: u64 = 250;

pub(crate) struct Scene {
    pub(crate) cluster: LocalCluster,
    pub(crate) server: Served,
    pub(crate) home: tempfile::TempDir,
}

impl Scene {
    /// Three shards without replicas, so that nobody steps in for one that stalls.
    pub(crate) async fn start() -> Self {
        let (cluster, home) = (cluster(3, 0).await, tempfile::tempdir().unwrap());
        let config = home.path().join("slotwise.toml");
        std::fs::write(&config, schema()).unwrap();
        let urls = cluster.urls();
        let with = |args: &[&str]| {
            let mut command = slotwise();
            command.args(args).args(["--redis-url", &urls, "--config", config.to_str().unwrap()]);
            command.stdin(Stdio::null());
            command
        };
        let loaded = with(&["load", "--synthetic", &ENTITIES.to_string()]).output().unwrap();
        assert!(loaded.status.success(), "{loaded:?}");
        let server = Served::start(&mut with(&["serve", "--listen", "127.0.0.1:0", "--log", "warn"]));
        Self { cluster, server, home }
    }
}

fn schema() -> String {
    let feature = |name: &str, of: &str, kind: &str, more: &str| {
        format!("[[entity.feature]]\nname = \"{name}\"\ntype = \"{of}\"\nkind = \"{kind}\"\n{more}")
    };
    [
        format!("[[entity]]\nname = \"user\"\nprefix = \"{PREFIX}\"\nbatch_ttl_seconds = 7200\n"),
        feature("risk_segment", "string", "batch", ""),
        feature("tx_count_7d", "int64", "batch", ""),
        feature(STREAMING, "int64", "streaming", &format!("ttl_seconds = {STREAMING_TTL_SECONDS}\n")),
    ]
    .concat()
}

fn id(number: usize) -> String {
    format!("u{:04}", 1 + number % ENTITIES)
}

/// Does `act` over and over, one after the other, at least `pause` from start to start, until it is stopped.
pub(crate) struct Repeated<T>(Arc<AtomicBool>, JoinHandle<Vec<T>>);

impl<T: Send + 'static> Repeated<T> {
    fn start<F>(pause: Duration, act: impl Fn(usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = T> + Send,
    {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut ticks = interval(pause);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut brought = Vec::new();
            while !stopped.load(Ordering::Acquire) {
                ticks.tick().await;
                brought.push(act(brought.len()).await);
            }
            brought
        });
        Self(stop, task)
    }

    /// What each brought.
    pub(crate) async fn stop(self) -> Vec<T> {
        self.0.store(true, Ordering::Release);
        self.1.await.unwrap()
    }
}

/// Batches, one after the other; how long each took from the request to the whole answer, and how it was answered.
pub(crate) fn batches(server: &Served) -> Repeated<(Duration, u16)> {
    let (client, url) = (reqwest::Client::new(), format!("http://{}/v1/features/batch", server.address));
    Repeated::start(Duration::from_millis(20), move |number| {
        let ids: Vec<String> = (0..IDS_OF_BATCH).map(|n| id(number * 7 + n)).collect();
        let body = json!({"ids": ids, "features": ["risk_segment", "tx_count_7d", STREAMING], "timeout_ms": TIMEOUT_MS});
        let request = client.post(&url).json(&body);
        async move {
            let started = Instant::now();
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            answer.bytes().await.unwrap();
            (started.elapsed(), status)
        }
    })
}

/// Single reads, and now and then a look at a whole entity, or a path that is not there.
pub(crate) fn single_reads(server: &Served) -> Repeated<u16> {
    let (client, address) = (reqwest::Client::new(), server.address.clone());
    Repeated::start(Duration::from_millis(50), move |number| {
        let path = if number.is_multiple_of(20) {
            "v2/nothing".to_owned()
        } else if number.is_multiple_of(7) {
            format!("v1/entities/{}", id(number))
        } else {
            format!("v1/features/{}?features=risk_segment,{STREAMING}&timeout_ms={TIMEOUT_MS}", id(number))
        };
        let request = client.get(format!("http://{address}/{path}"));
        async move { request.send().await.unwrap().status().as_u16() }
    })
}

/// The stream: each entity's streaming feature anew, twice in its TTL.
pub(crate) fn stream(server: &Served) -> Repeated<u16> {
    let (client, address) = (reqwest::Client::new(), server.address.clone());
    let pause = Duration::from_millis(STREAMING_TTL_SECONDS * 1_000 / 2 / ENTITIES as u64);
    Repeated::start(pause, move |number| {
        let request = client.put(format!("http://{address}/v1/features/{}", id(number)));
        let request = request.json(&json!({"features": {STREAMING: number}, "timeout_ms": TIMEOUT_MS}));
        async move { request.send().await.unwrap().status().as_u16() }
    })
}

/// Bulk loads of a few rows, one of which is rejected.
pub(crate) fn loads(server: &Served) -> Repeated<u16> {
    let (client, url) = (reqwest::Client::new(), format!("http://{}/v1/features/load", server.address));
    Repeated::start(Duration::from_secs(1), move |number| {
        let row = |id: String, value: &str| {
            format!("{{\"id\":\"{id}\",\"features\":{{\"risk_segment\":\"low\",\"tx_count_7d\":{value}}}}}\n")
        };
        let body = [row(id(number), "1"), row(id(number + 1), "2"), row(id(number), "\"many\"")].concat();
        let request = client.post(&url).header("content-type", "application/x-ndjson").body(body);
        async move { request.send().await.unwrap().status().as_u16() }
    })
}

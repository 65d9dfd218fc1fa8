//! What a server shows of itself and of its cluster, also while parts of that are gone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use slotwise::devcluster::LocalCluster;
use slotwise::metrics as m;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::program::{Background, post_batch, slotwise};
use crate::redis::redis;
use crate::support::page::Page;
use crate::support::{SOON, cluster, shared_cluster, unique_prefix, wait_until};

/// Time by which a node that goes or comes is shown: a look a second, and half a second for the answer.
const SHOWN_WITHIN: Duration = Duration::from_secs(3);

/// What is shown only when it has happened.
const RARE: [&str; 1] = [m::FALLBACK_KEYS.name];

async fn served(cluster: &LocalCluster, prefix: &str, config: &str) -> (Background, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let path = file.path().to_str().unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--config", path, "--key-prefix", prefix];
    let mut server = Background::start(slotwise(args).env("SLOTWISE_REDIS_URL", cluster.urls()));
    let address = server.told("listens on http://").await;
    (server, address)
}

/// Waits until the page says so.
async fn shows(what: &str, limit: Duration, address: &str, holds: impl Fn(&Page) -> bool) {
    wait_until(what, limit, || async { holds(&Page::of(address).await) }).await;
}

#[tokio::test]
async fn a_node_that_hangs_or_dies_is_shown_until_it_is_back() {
    let mut cluster = cluster(3, 0).await;
    let (_server, address) = served(&cluster, &unique_prefix(), "").await;
    let shards: Vec<String> = cluster.addrs().iter().map(ToString::to_string).collect();
    let connected = |page: &Page, expected: [f64; 3]| {
        let of = |shard: &String| page.find(m::SHARD_CONNECTED.name, &[("shard", shard.as_str())]);
        shards.iter().map(of).eq(expected.map(Some))
    };
    shows("all connected", SOON, &address, |page| connected(page, [1.0; 3])).await;
    let page = Page::of(&address).await;
    assert_eq!(page.sum(m::SHARD_SLOTS.name, &[]), 16_384.0);

    cluster.pause_node(0).unwrap();
    shows("one hangs", SHOWN_WITHIN, &address, |page| connected(page, [0.0, 1.0, 1.0])).await;
    let page = Page::of(&address).await;
    assert!(page.value(m::SHARD_SLOTS.name, &[("shard", &shards[0])]) > 5_000.0);
    cluster.kill_node(1).unwrap();
    shows("one is dead", SHOWN_WITHIN, &address, |page| connected(page, [0.0, 0.0, 1.0])).await;
    cluster.resume_node(0).unwrap();
    shows("one is back", SHOWN_WITHIN, &address, |page| connected(page, [1.0, 0.0, 1.0])).await;
    cluster.restart_node(1).await.unwrap();
    shows("all are back", SHOWN_WITHIN, &address, |page| connected(page, [1.0; 3])).await;
}

#[tokio::test]
async fn the_topology_grows_old_while_nobody_confirms_it() {
    let cluster = cluster(3, 0).await;
    let (_server, address) = served(&cluster, &unique_prefix(), "").await;
    let page = Page::of(&address).await;
    let refreshes = |page: &Page, outcome| page.value(m::TOPOLOGY_REFRESHES.name, &[("outcome", outcome)]);
    let (age, version) = (m::TOPOLOGY_AGE.name, m::TOPOLOGY_VERSION.name);
    assert!(page.value(version, &[]) >= 1.0 && page.value(age, &[]) < 10.0);
    assert_eq!((refreshes(&page, "changed"), refreshes(&page, "failed")), (1.0, 0.0));
    for index in 0..3 {
        cluster.pause_node(index).unwrap();
    }
    shows("an old topology", SOON, &address, |page| page.value(age, &[]) > 4.0).await;
    shows("looks that failed", SOON, &address, |page| refreshes(page, "failed") > 0.0).await;
    let before = Page::of(&address).await;
    for index in 0..3 {
        cluster.resume_node(index).unwrap();
    }
    shows("a young topology", SOON, &address, |page| page.value(age, &[]) < 2.0).await;
    let after = Page::of(&address).await;
    assert!(after.value(version, &[]) > before.value(version, &[]));
    assert!(refreshes(&after, "unchanged") > 0.0);
}

const SCHEMA: &str = r#"
[metrics]
ttl_sample_interval_ms = 100
[[entity]]
name = "user"
batch_ttl_seconds = 7200
streaming_ttl_seconds = 60
feature = [
  { name = "risk", type = "string", kind = "batch" },
  { name = "gone", type = "string", kind = "batch" },
  { name = "clicks", type = "int64", kind = "streaming", ttl_seconds = 120 },
  { name = "hot", type = "int64", kind = "streaming" },
  { name = "kept", type = "int64", kind = "streaming" },
]
"#;

#[tokio::test]
async fn everything_that_is_declared_is_shown_and_nothing_else() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let key = format!("{prefix}u1");
    redis(cluster, &["HSET", &key, "risk", "low", "clicks", "1", "kept", "1", "beside", "1"]).await;
    redis(cluster, &["EXPIRE", &key, "1000"]).await;
    redis(cluster, &["HEXPIRE", &key, "100", "FIELDS", "1", "clicks"]).await;
    let (server, address) = served(cluster, &prefix, SCHEMA).await;
    let body = json!({"ids": ["u1", "nobody"], "features": ["risk", "clicks"], "timeout_ms": 5000});
    let count = format!("{}_count", m::FEATURE_TTL_LEFT.name);
    let of = |page: &Page, name: &str, feature| page.find(name, &[("entity", "user"), ("feature", feature)]);
    wait_until("a sample", SOON, || async {
        assert_eq!(post_batch(&address, &body).await.0, 200);
        of(&Page::of(&address).await, &count, "clicks").is_some_and(|samples| samples >= 2.0)
    })
    .await;
    let page = Page::of(&address).await;
    let mean = |metric: m::Metric, feature| {
        let of = |what| of(&page, &format!("{}_{what}", metric.name), feature).unwrap();
        of("sum") / of("count")
    };
    for (feature, left, ttl) in [("risk", 900.0..=1_000.0, 7_200.0), ("clicks", 50.0..=100.0, 120.0)] {
        let seconds = mean(m::FEATURE_TTL_LEFT, feature);
        assert!(left.contains(&seconds), "{feature}: {seconds}");
        let ratio = mean(m::FEATURE_TTL_LEFT_RATIO, feature);
        assert!((ratio * ttl - seconds).abs() < 1e-6, "{feature}: {ratio}");
    }
    for feature in ["gone", "hot", "kept", "beside"] {
        assert_eq!(of(&page, &count, feature), None, "{feature}");
    }
    let written = [("risk", 7_200.0), ("gone", 7_200.0), ("clicks", 120.0), ("hot", 60.0), ("kept", 60.0)];
    for (feature, ttl) in written {
        assert_eq!(of(&page, m::FEATURE_TTL.name, feature), Some(ttl), "{feature}");
    }
    page.assert_declared();
    let not_shown = page.not_shown();
    assert!(not_shown.iter().all(|name| RARE.contains(name)), "{not_shown:?}");
    assert_process(&page, &server);
}

/// Version, process and runtime are what they are.
fn assert_process(page: &Page, server: &Background) {
    assert_eq!(page.sum(m::BUILD_INFO.name, &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    let value = |metric: &m::Metric| page.value(metric.name, &[]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - 600.0..=now + 2.0).contains(&value(&m::PROCESS_START)));
    let fds = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    assert!(value(&m::PROCESS_FDS) > 5.0 && value(&m::PROCESS_FDS) < fds as f64 + 50.0);
    assert!(value(&m::PROCESS_FDS_MAX) > value(&m::PROCESS_FDS));
    assert!((4e6..4e9).contains(&value(&m::PROCESS_MEMORY)), "{}", value(&m::PROCESS_MEMORY));
    let cpu = value(&m::PROCESS_CPU);
    assert!(cpu > 0.0 && cpu < 600.0, "{cpu}");
    assert!(value(&m::RUNTIME_WORKERS) >= 1.0 && value(&m::RUNTIME_TASKS) > 3.0);
    assert!(value(&m::RUNTIME_QUEUE) < 1_000.0);
    assert!(value(&m::RUNTIME_BUSY) > 0.0 && value(&m::RUNTIME_BUSY) < 600.0);
}

#[tokio::test]
async fn requests_in_flight_in_the_queue_and_turned_away_are_counted() {
    let config = "[http]\nrequests_in_flight_max = 1\nconnections_max = 4\n";
    let (_server, address) = served(shared_cluster().await, &unique_prefix(), config).await;
    let shed = |page: &Page, reason| page.value(m::HTTP_SHED.name, &[("reason", reason)]);
    let turns = format!("{}_count", m::HTTP_QUEUE_DURATION.name);
    let page = Page::of(&address).await;
    assert_eq!((page.value(m::HTTP_IN_FLIGHT.name, &[]), page.value(&turns, &[])), (0.0, 0.0));
    for reason in ["connections", "requests", "queue", "queue_wait", "loads", "bytes"] {
        assert_eq!(shed(&page, reason), 0.0, "{reason}");
    }
    let body = json!({"ids": ["u1"], "features": ["f"], "timeout_ms": 5000});
    assert_eq!(post_batch(&address, &body).await.0, 200);
    let asked_for_a_turn = |page: &Page| page.value(&turns, &[]) >= 1.0;
    shows("a turn", SOON, &address, asked_for_a_turn).await;

    let mut slow = TcpStream::connect(&address).await.unwrap();
    let head = "POST /v1/features/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    shows("a request in flight", SOON, &address, |page| page.value(m::HTTP_IN_FLIGHT.name, &[]) == 1.0).await;
    wait_until("a free connection", SOON, || async {
        assert_eq!(post_batch(&address, &body).await.0, 503);
        shed(&Page::of(&address).await, "requests") >= 1.0
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    wait_until("no free connection", SOON, || async {
        assert_eq!(post_batch(&address, &body).await.0, 503);
        shed(&Page::of(&address).await, "connections") >= 1.0
    })
    .await;
    let page = Page::of(&address).await;
    let refused = page.sum(m::HTTP_REQUESTS.name, &[("status", "503")]);
    assert_eq!(refused, page.sum(m::HTTP_SHED.name, &[]), "each is counted once");
    drop((slow, idle));
    shows("nothing in flight", SOON, &address, |page| page.value(m::HTTP_IN_FLIGHT.name, &[]) == 0.0).await;
}

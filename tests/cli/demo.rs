//! `slotwise demo`: everything on this machine, and nothing of it left behind.

use std::net::TcpListener;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use slotwise::slot::NodeAddr;
use tempfile::TempDir;

use crate::program::{Background, get, on_cluster, post_batch, run, slotwise};
use crate::redis::{count, users};
use crate::support::{
    SOON, free_first_port, processes_in, redis_cli_at, shared_cluster, unique_prefix, wait_until,
};

/// A demo with a cluster of its own, in a folder of its own.
struct Demo {
    program: Background,
    home: TempDir,
}

impl Demo {
    fn start(args: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = slotwise(["demo"].iter().chain(args));
        Self { program: Background::start(command.env("TMPDIR", home.path())), home }
    }

    fn dir(&self) -> std::path::PathBuf {
        self.home.path().canonicalize().unwrap()
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().count() == 0
}

#[tokio::test]
async fn a_demo_serves_users_and_streams_and_leaves_nothing() {
    let port = free_first_port();
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let args = ["--port", &port.to_string(), "--seed-users", "1000", "--users-per-tick", "100"];
    let mut demo = Demo::start(&[&args[..], &["--streaming-ttl-seconds", "60"]].concat());
    let address = demo.program.told("slotwise demo server listening on http://").await;
    assert_eq!(address, format!("127.0.0.1:{}", port + 1));
    let seeds = demo.program.told("Using Redis Cluster at ").await;
    let (seeds, rest) = seeds.split_once(" with ").unwrap();
    assert_eq!(rest, "key prefix 'fs:user:' (batch TTL 86400s, streaming TTL 60s)");
    demo.program.told("Materialized 1000 user(s); streaming worker running.").await;
    let out = demo.program.out();
    assert!(out.contains(&format!("Port {port} is taken; using {} instead.\n", port + 1)), "{out}");
    assert!(out.starts_with("Dropping any existing users under 'fs:user:*' for a clean demo run"), "{out}");

    let users = users(1000);
    let features = ["avg_amount_30d", "country_iso", "nothing"];
    let ids: Vec<&str> = users.iter().rev().map(|(id, _)| id.as_str()).collect();
    let body = json!({"ids": ids, "features": features, "timeout_ms": 5000});
    let (status, answer) = post_batch(&address, &body).await;
    assert_eq!(status, 200, "{answer}");
    let row = |(id, user): &(String, crate::redis::Features)| {
        let values: Vec<_> = features.iter().map(|name| user.get(*name).map(String::as_str)).collect();
        json!({"id": id, "status": "partial", "values": values})
    };
    assert_eq!(answer["rows"], Value::Array(users.iter().rev().map(row).collect()));
    let node: NodeAddr = seeds.split(", ").next().unwrap().parse().unwrap();
    for (id, user) in users.iter().step_by(111) {
        let held = redis_cli_at(&node, &["-c", "HGET", &format!("fs:user:{id}"), "avg_amount_30d"]).await;
        assert_eq!(held.trim_end(), user["avg_amount_30d"]);
    }

    streamed_with_ttl(&address, &ids).await;
    assert!(!processes_in(&demo.dir()).is_empty());
    let home = demo.dir();
    demo.program.send(Signal::SIGINT);
    let ran = demo.program.ended().await.exits(0);
    assert!(ran.err.ends_with("stopped\n"), "{}", ran.err);
    assert!(processes_in(&home).is_empty() && is_empty(&home));
}

/// Waits until a user has streaming features; they have TTLs of their own, the batch features have none.
async fn streamed_with_ttl(address: &str, ids: &[&str]) {
    let body = json!({"ids": ids, "features": ["tx_count_5m", "last_login_ts"], "timeout_ms": 5000});
    let found = || async {
        let (_, answer) = post_batch(address, &body).await;
        let rows = answer["rows"].as_array().unwrap();
        rows.iter().find(|row| row["status"] == "found").map(|row| row["id"].as_str().unwrap().to_owned())
    };
    wait_until("a streaming write", SOON, || async { found().await.is_some() }).await;
    let id = found().await.unwrap();
    let (_, seen) = get(&format!("http://{address}/v1/entities/{id}")).await;
    let key_ttl = seen["key_ttl_seconds"].as_i64().unwrap();
    assert!((86_000..=86_400).contains(&key_ttl), "{seen}");
    let fields = seen["fields"].as_array().unwrap();
    assert_eq!(fields.len(), 11, "{seen}");
    let streaming =
        ["last_login_ts", "last_device_id", "tx_count_5m", "failed_logins_15m", "session_country"];
    for field in fields {
        let ttl = field["ttl_seconds"].as_i64().unwrap();
        let streams = streaming.contains(&field["name"].as_str().unwrap());
        assert!(if streams { (1..=60).contains(&ttl) } else { ttl == -1 }, "{field}");
    }
}

#[tokio::test]
async fn a_demo_that_is_killed_leaves_nothing() {
    let port = free_first_port().to_string();
    let mut demo = Demo::start(&["--port", &port, "--seed-users", "5", "--shards", "1"]);
    demo.program.told("streaming worker running.").await;
    let home = demo.dir();
    assert_eq!(processes_in(&home).len(), 1);
    demo.program.send(Signal::SIGKILL);
    let Demo { program, home: _home } = demo;
    assert_eq!(program.ended().await.code, -1);
    let nothing = || async { processes_in(&home).is_empty() && is_empty(&home) };
    wait_until("nothing left", SOON, nothing).await;
}

#[tokio::test]
async fn a_demo_on_a_cluster_that_is_there_keeps_what_it_is_told_to() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    run(&mut on_cluster(&prefix, ["load", "--synthetic", "40"]).await).exits(0);
    for (more, kept) in [(&["--no-reset"][..], 40), (&[], 10)] {
        let port = free_first_port().to_string();
        let args = ["demo", "--seed-users", "10", "--port", &port];
        let url = ["--redis-url", &cluster.urls()];
        let mut demo = Background::start(on_cluster(&prefix, args).await.args(url).args(more));
        demo.told("streaming worker running.").await;
        assert_eq!(count(cluster, &prefix).await, kept);
        assert_eq!(demo.out().contains("Dropping any existing users"), more.is_empty());
        demo.send(Signal::SIGTERM);
        demo.ended().await.exits(0);
        assert_eq!(count(cluster, &prefix).await, kept, "the cluster is not the demo's");
    }
}

#[tokio::test]
async fn a_demo_that_cannot_listen_drops_nothing() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    run(&mut on_cluster(&prefix, ["load", "--synthetic", "5"]).await).exits(0);
    // An address of the documentation; no machine has it.
    let args = ["demo", "--host", "192.0.2.1", "--insecure", "--redis-url", &cluster.urls()];
    let ran = run(&mut on_cluster(&prefix, args).await).exits(1);
    ran.says_in_one_line(&["can't listen on 192.0.2.1:8090"]);
    assert_eq!(count(cluster, &prefix).await, 5);
}

#[tokio::test]
async fn a_demo_never_empties_a_whole_cluster() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    run(&mut on_cluster(&prefix, ["load", "--synthetic", "5"]).await).exits(0);
    let args = ["demo", "--port", "0", "--redis-url", &cluster.urls()];
    let ran = run(&mut on_cluster("", args).await).exits(2);
    ran.says_in_one_line(&["empty key prefix", "--key-prefix", "--no-reset"]);
    assert_eq!(count(cluster, &prefix).await, 5);
}

#[tokio::test]
async fn a_demo_leaves_a_cluster_alone_that_it_was_not_told_of_by_its_flag() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    run(&mut on_cluster(&prefix, ["load", "--synthetic", "5"]).await).exits(0);
    let (home, port) = (tempfile::tempdir().unwrap(), free_first_port().to_string());
    let args = ["demo", "--seed-users", "7", "--port", &port];
    let mut demo = Background::start(on_cluster(&prefix, args).await.env("TMPDIR", home.path()));
    let seeds = demo.told("Using Redis Cluster at ").await;
    assert!(cluster.addrs().iter().all(|addr| !seeds.contains(&addr.to_string())), "{seeds}");
    demo.told("streaming worker running.").await;
    demo.send(Signal::SIGTERM);
    demo.ended().await.exits(0);
    assert_eq!(count(cluster, &prefix).await, 5);
}

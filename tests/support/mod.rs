//! What tests with real servers share: clusters, waiting for a condition, and a look at what is left behind.
//!
//! A server that is missing fails the test, loudly; nothing here skips.

#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

pub(crate) mod canary;
pub(crate) mod certs;
pub(crate) mod dashboards;
pub(crate) mod features;
pub(crate) mod page;
pub(crate) mod proxy;
pub(crate) mod served;
pub(crate) mod slots;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use slotwise::devcluster::{ClusterSpec, LocalCluster, ServerBinary};
use slotwise::slot::NodeAddr;
use tokio::sync::OnceCell;

/// Longest wait for anything that should take a moment.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Pause between two looks at a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A server that will do.
pub(crate) async fn server() -> ServerBinary {
    match ServerBinary::find().await {
        Ok(server) => server,
        Err(error) => panic!("this test needs a real server: {error}"),
    }
}

/// A cluster of the test's own; it ends when it is dropped.
pub(crate) async fn cluster(shards: usize, replicas: usize) -> LocalCluster {
    start(ClusterSpec { replicas, ..ClusterSpec::new(server().await, shards) }).await
}

/// A cluster of the test's own, as specified.
pub(crate) async fn start(spec: ClusterSpec) -> LocalCluster {
    match Box::pin(LocalCluster::start(spec)).await {
        Ok(cluster) => cluster,
        Err(error) => panic!("the cluster did not start: {error}"),
    }
}

/// The cluster that the tests of one process share: three shards, no replicas. Statics are never dropped; its
/// guard cleans up when the process ends. Keep apart from the other tests with `unique_prefix`.
pub(crate) async fn shared_cluster() -> &'static LocalCluster {
    static SHARED: OnceCell<LocalCluster> = OnceCell::const_new();
    SHARED.get_or_init(|| Box::pin(cluster(3, 0))).await
}

/// A key prefix that no other test uses.
pub(crate) fn unique_prefix() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("t{}-{}:", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The command-line client that belongs to the server.
pub(crate) async fn redis_cli() -> PathBuf {
    let server = server().await;
    server.cli().unwrap_or_else(|| panic!("there is no redis-cli beside {}", server.path().display()))
}

/// What `redis-cli` prints for a command sent to one node.
pub(crate) async fn redis_cli_at(addr: &NodeAddr, args: &[&str]) -> String {
    let mut command = tokio::process::Command::new(redis_cli().await);
    let port = addr.port.to_string();
    let output = command.args(["-h", &addr.host, "-p", &port]).args(args).output().await.unwrap();
    assert!(output.status.success(), "redis-cli {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until the condition holds; panics with `what` if it does not within `limit`.
pub(crate) async fn wait_until<F: Future<Output = bool>>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> F,
) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Appends a row to the table of `make chaos`, where that runs.
pub(crate) fn report_row(row: &str) {
    use std::io::Write;
    if let Some(path) = std::env::var_os("SLOTWISE_CHAOS_TABLE") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(format!("{row}\n").as_bytes()).unwrap();
    }
}

/// The program under test.
pub(crate) fn slotwise() -> Command {
    Command::new(env!("CARGO_BIN_EXE_slotwise"))
}

/// The first of up to 16 consecutive ports that are free, and whose bus ports are. Neither these nor the bus
/// ports are among those that clusters on free ports take, and tests that run at once look at different ones.
pub(crate) fn free_first_port() -> u16 {
    const BLOCKS: u32 = 480;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..BLOCKS)
        .map(|_| std::process::id().wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % BLOCKS)
        .map(|block| 2_000 + 16 * u16::try_from(block).unwrap())
        .find(|first| (*first..first + 16).all(|port| is_free(port) && is_free(port + 10_000)))
        .expect("no free ports between 2000 and 9680")
}

/// Processes that run in `dir` or below it.
pub(crate) fn processes_in(dir: &Path) -> Vec<u32> {
    assert!(Path::new("/proc/self").exists(), "this look needs /proc");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
        })
        .collect()
}

/// Does this process run a guard?
pub(crate) fn guard_runs(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.windows(14).any(|w| w == b"slotwise-guard"))
}

/// Waits until neither a process nor a file of a cluster is left.
pub(crate) async fn wait_until_nothing_is_left(dir: &Path) {
    let left = || async { processes_in(dir).is_empty() && !dir.exists() };
    wait_until(&format!("nothing left in {}", dir.display()), SOON, left).await;
}

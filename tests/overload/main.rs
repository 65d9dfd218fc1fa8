//! More is asked of the server than it can do: what it does answer stays in time, and whoever watches it is answered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

mod caller;
mod scenario;
#[path = "../support/mod.rs"]
mod support;

use std::process::Stdio;
use std::time::Duration;

use scenario::{Plan, overload};
use support::served::Served;
use support::{report_row, shared_cluster, slotwise, unique_prefix};

/// Goodput under overload, as a part of the best goodput. A debug build has less room: turning a
/// request away costs it more.
const GOODPUT_MIN: f64 = if cfg!(debug_assertions) { 0.8 } else { 0.9 };
/// What the server may grow by meanwhile.
const GROWTH_BYTES_MAX: u64 = 256 << 20;
/// Longest wait for a health route, on a machine that is as busy as it can be.
const HEALTH_MAX: Duration = Duration::from_millis(1_000);

// One thread: those who ask shall take as little as can be from the server on the same machine.
#[tokio::test]
async fn at_five_times_what_it_can_do_a_server_does_nearly_as_much_as_ever() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let urls = cluster.urls();
    let with = |args: &[&str]| {
        let mut command = slotwise();
        command.args(args).args(["--redis-url", &urls, "--key-prefix", &prefix]).stdin(Stdio::null());
        command
    };
    assert!(with(&["load", "--synthetic", "5000"]).output().unwrap().status.success());
    let server = Served::start(&mut with(&["serve", "--listen", "127.0.0.1:0", "--log", "warn"]));
    let plan = Plan {
        ids: 1_000,
        features: 10,
        timeout: Duration::from_millis(400),
        times: 5.0,
        window: Duration::from_millis(1_300),
        rounds: 4,
    };
    let seen = overload(&server, &plan).await;
    println!("{seen}");
    report_row(&format!(
        "| 7 | five times the sustainable rate, batches of 1,000 × 10 | lanes | – | – | – | – | – | p99 {:.1} ms | – | {seen} |",
        seen.p99.as_secs_f64() * 1_000.0
    ));
    assert!(seen.goodput_per_s >= GOODPUT_MIN * seen.best_per_s, "{seen}");
    assert!(seen.rss_max_bytes - seen.rss_before_bytes < GROWTH_BYTES_MAX, "{seen}");
    assert!(seen.health_worst < HEALTH_MAX && seen.health_asked > 50, "{seen}");
    assert!(seen.shed_per_s > seen.goodput_per_s, "{seen}");
}

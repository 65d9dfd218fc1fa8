//! Every server gone at once. Alone in its binary: it measures this process's own CPU time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use slotwise::model::RowStatus;
use support::canary::Canary;
use support::features::{Oracle, assert_filled, assert_transport, ids, kind, names, store};
use support::{SOON, cluster, unique_prefix, wait_until};

/// Share of one core that a process may use while it has nobody to talk to.
const IDLE_CORE_SHARE_MAX: f64 = 0.30;

/// Time by which an answer may miss its deadline.
const LATE_MAX: Duration = Duration::from_millis(100);

/// CPU time that this process has used, user and system.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // USER_HZ is 100 on every Linux.
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_server_is_gone_nothing_spins_and_all_comes_back_by_itself() {
    let mut cluster = cluster(3, 0).await;
    let (prefix, ids) = (unique_prefix(), ids("u", 0..300));
    Oracle::of(&cluster).await.fill(&prefix, &ids).await;
    let store = store(&cluster, kind(&prefix)).await;
    let read = |timeout_ms| {
        let timeout = Some(Duration::from_millis(timeout_ms));
        let (store, ids) = (&store, ids.clone());
        async move { store.batch_get_features(ids, names(&["v"]), timeout).await.unwrap() }
    };
    assert_filled(&read(1_000).await);
    assert_transport(&cluster).await;
    assert!(store.readiness(Duration::from_secs(1)).await.ready);

    for index in 0..3 {
        cluster.kill_node(index).unwrap();
    }
    // First under a steady load, then with nothing to do.
    let canary = Canary::start();
    let (begun, cpu_before) = (Instant::now(), cpu_time());
    while begun.elapsed() < Duration::from_millis(1_500) {
        let asked = Instant::now();
        let batch = read(250).await;
        let (took, late_max) = (asked.elapsed(), LATE_MAX + canary.allowance());
        assert!(took < Duration::from_millis(250) + late_max, "{took:?}, {late_max:?}");
        assert!(batch.rows().all(|row| row.status == RowStatus::Unavailable && row.reason.is_some()));
    }
    let busy = (cpu_time() - cpu_before).as_secs_f64() / begun.elapsed().as_secs_f64();
    let readiness = store.readiness(Duration::from_millis(300)).await;
    assert!(!readiness.ready, "{readiness:?}");
    for addr in cluster.addrs() {
        let named = readiness.problems.iter().any(|problem| problem.contains(&addr.to_string()));
        assert!(named, "{readiness:?}");
    }
    let (begun, cpu_before) = (Instant::now(), cpu_time());
    wait_until("a second and a half", SOON, || async { begun.elapsed() > Duration::from_millis(1_500) })
        .await;
    let idle = (cpu_time() - cpu_before).as_secs_f64() / begun.elapsed().as_secs_f64();
    assert!(busy < IDLE_CORE_SHARE_MAX, "{busy:.2} of a core while reads fail");
    assert!(idle < IDLE_CORE_SHARE_MAX, "{idle:.2} of a core with nothing to do");

    for index in 0..3 {
        cluster.restart_node(index).await.unwrap();
    }
    wait_until("no row is unavailable", SOON, || async { read(250).await.summary().unavailable == 0 }).await;
    Oracle::of(&cluster).await.fill(&prefix, &ids).await;
    assert_filled(&read(1_000).await);
    let ready = || async { store.readiness(Duration::from_secs(1)).await.ready };
    wait_until("the store is ready again", SOON, ready).await;
}

//! A node that keeps its connections and answers nothing.

use std::time::{Duration, Instant};

use slotwise::model::RowStatus;
use slotwise::model::limits::{LINK_SILENCE_MIN, LINK_UNANSWERED_MAX, WRITE_TIMEOUT};
use slotwise::shard::{Cluster, Command, RedisSettings, Target};
use slotwise::store::LoadOptions;
use tokio::time::timeout;

use super::{LATE_MAX, Scene, cluster};
use crate::support::canary::Canary;
use crate::support::features::{assert_transport, row};
use crate::support::{SOON, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_shard_never_delays_the_others() {
    let cluster = cluster().await;
    let scene = Scene::new(&cluster).await;
    let node = cluster.addrs()[1].clone();
    let (away, others) = scene.split(&node);
    assert!(away.len() > 100 && others.len() > 300);
    cluster.pause_node(1).unwrap();
    // Longer than a response timeout, than a node timeout, and than the time to a lost connection.
    let (begun, canary) = (Instant::now(), Canary::start());
    let (mut slowest_of_all, mut slowest_of_others) = (Duration::ZERO, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(7) {
        let asked = Instant::now();
        let (whole, rest) = tokio::join!(scene.read(250), async {
            let batch = scene.read_of(&others, 250).await;
            slowest_of_others = slowest_of_others.max(asked.elapsed());
            batch
        });
        slowest_of_all = slowest_of_all.max(asked.elapsed());
        scene.assert_only_these_are_unavailable(&whole, &away, &node);
        assert_eq!(rest.summary().found, others.len(), "after {:?}", begun.elapsed());
    }
    let late_max = LATE_MAX + canary.allowance();
    assert!(slowest_of_all <= Duration::from_millis(250) + late_max, "{slowest_of_all:?}, {late_max:?}");
    assert!(slowest_of_others <= late_max, "{slowest_of_others:?}, {late_max:?}");
    let readiness = scene.store.readiness(Duration::from_millis(300)).await;
    assert!(!readiness.ready && readiness.problems[0].contains(&node.to_string()), "{readiness:?}");

    cluster.resume_node(1).unwrap();
    wait_until("all rows are found again", SOON, || async { scene.read(250).await.summary().found == 600 })
        .await;
    let ready = || async { scene.store.readiness(Duration::from_secs(1)).await.ready };
    wait_until("the store is ready again", SOON, ready).await;
}

#[tokio::test]
async fn a_stall_shorter_than_the_deadline_costs_time_and_no_row() {
    let cluster = cluster().await;
    let scene = Scene::new(&cluster).await;
    cluster.pause_node(0).unwrap();
    let reading = scene.read(5_000);
    let resuming = async {
        let begun = Instant::now();
        wait_until("half a second", SOON, || async { begun.elapsed() > Duration::from_millis(500) }).await;
        cluster.resume_node(0).unwrap();
    };
    let (batch, ()) = tokio::join!(reading, resuming);
    assert_eq!(batch.summary().found, 600);
    assert_transport(&cluster).await;
}

#[tokio::test]
async fn the_shortest_deadline_is_kept_and_no_row_is_called_missing() {
    let cluster = cluster().await;
    let scene = Scene::new(&cluster).await;
    let canary = Canary::start();
    for _ in 0..50 {
        let asked = Instant::now();
        let batch = scene.read(1).await;
        assert!(asked.elapsed() < Duration::from_millis(1) + LATE_MAX + canary.allowance());
        assert!(batch.rows().all(|row| matches!(row.status, RowStatus::Found | RowStatus::Unavailable)));
    }
    wait_until("reads are found again", SOON, || async { scene.read(1_000).await.summary().found == 600 })
        .await;
}

#[tokio::test]
async fn a_load_during_a_stall_writes_the_rows_of_the_other_shards_and_rejects_the_rest() {
    let cluster = cluster().await;
    let scene = Scene::new(&cluster).await;
    let node = cluster.addrs()[1].clone();
    let (away, _) = scene.split(&node);
    cluster.pause_node(1).unwrap();
    let rows = futures::stream::iter(scene.ids.iter().map(|id| row(id, &[("v", "loaded")])));
    let (begun, canary) = (Instant::now(), Canary::start());
    let report = scene.store.bulk_load(rows, LoadOptions::default(), |row, result| match result {
        Ok(()) => assert!(!away.contains(&row.id), "{}", row.id),
        Err(why) => assert!(
            why.to_string().contains(&node.to_string()) && away.contains(&row.id),
            "{}: {why}",
            row.id
        ),
    });
    let report = report.await.unwrap();
    assert!(begun.elapsed() < WRITE_TIMEOUT + LATE_MAX + canary.allowance(), "{:?}", begun.elapsed());
    assert_eq!((report.written, report.rejected), ((600 - away.len()) as u64, away.len() as u64));
    cluster.resume_node(1).unwrap();
    wait_until("reads are found again", SOON, || async { scene.read(1_000).await.summary().found == 600 })
        .await;
}

/// More than the requests in a row that a connection may leave unanswered.
#[tokio::test]
async fn what_is_sent_aside_to_a_stalled_shard_costs_writes_no_connection() {
    let cluster = cluster().await;
    let node = cluster.addrs()[0].clone();
    let settings = RedisSettings::from_urls(cluster.urls().split(',')).unwrap();
    let shards = Cluster::connect(settings).await.unwrap();
    let who = || [Command::new("CLIENT").arg("ID")];
    let target = Target::Redirect { node: node.clone(), asking: false };
    let of_writes = async || shards.send(&target, who(), None).await.unwrap().replies;
    let (writes, aside) = (of_writes().await, shards.send_aside(&node, who()).await.unwrap().replies);
    assert_ne!(writes, aside);

    cluster.pause_node(0).unwrap();
    for _ in 0..2 * LINK_UNANSWERED_MAX {
        assert!(timeout(2 * LINK_SILENCE_MIN, shards.send_aside(&node, who())).await.is_err());
    }
    cluster.resume_node(0).unwrap();
    assert_eq!(of_writes().await, writes);
    wait_until("it is their own that they cost", SOON, || async {
        shards.send_aside(&node, who()).await.is_ok_and(|answer| answer.replies != aside)
    })
    .await;
}

//! A node that has been away for a while, and replicas that can't confirm.

use std::time::{Duration, Instant};

use futures::future::join_all;
use slotwise::model::RowStatus;
use slotwise::model::limits::AWAY_COMMANDS_MAX;
use slotwise::store::LoadOptions;

use super::{Scene, cluster};
use crate::support::features::row;
use crate::support::{SOON, cluster as cluster_of, wait_until};

const TIMEOUT_MS: u64 = 2_000;
/// An answer before this did not wait for the node.
const AT_ONCE: Duration = Duration::from_millis(500);
const READERS: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_away_is_waited_for_by_a_few_and_everybody_else_is_told_at_once() {
    let cluster = cluster().await;
    let scene = Scene::new(&cluster).await;
    let node = cluster.addrs()[1].clone();
    let (away, others) = scene.split(&node);
    cluster.pause_node(1).unwrap();
    // How many of many single reads did not wait for their deadline.
    let told_at_once = async || {
        let reads = (0..READERS).map(|number| {
            let id = &away[number % away.len()..][..1];
            async {
                let asked = Instant::now();
                let batch = scene.read_of(id, TIMEOUT_MS).await;
                let row = batch.row(0).unwrap();
                assert_eq!(row.status, RowStatus::Unavailable);
                assert!(row.reason.unwrap().to_string().contains(&node.to_string()), "{:?}", row.reason);
                asked.elapsed() < AT_ONCE
            }
        });
        join_all(reads).await.into_iter().filter(|at_once| *at_once).count()
    };
    assert_eq!(told_at_once().await, 0, "at first everybody waits");
    assert_eq!(told_at_once().await, READERS - AWAY_COMMANDS_MAX);
    let batch = scene.read_of(&others, TIMEOUT_MS).await;
    assert_eq!(batch.summary().found, others.len());
    cluster.resume_node(1).unwrap();
    wait_until("all rows are found again", SOON, || async { scene.read(250).await.summary().found == 600 })
        .await;
}

#[tokio::test]
async fn rows_that_replicas_do_not_confirm_are_rejected_as_that_one_pipeline_after_the_other() {
    let cluster = cluster_of(1, 1).await;
    let scene = Scene::new(&cluster).await;
    let known = || async { scene.store.topology().shards()[0].replicas.len() == 1 };
    wait_until("the store knows the replica", SOON, known).await;
    cluster.pause_node(1).unwrap();
    let rows: Vec<_> =
        scene.ids.iter().cycle().take(1_800).map(|id| row(id, &[("v", "confirmed?")])).collect();
    let options = LoadOptions { wait_replicas: 1, ..LoadOptions::default() };
    let begun = Instant::now();
    let report = scene.store.bulk_load(futures::stream::iter(rows), options, |_, result| {
        let why = result.unwrap_err().to_string();
        assert!(why.contains("not safe yet") && why.contains("0 of 1 replicas"), "{why}");
    });
    assert_eq!(report.await.unwrap().rejected, 1_800);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    cluster.resume_node(1).unwrap();
    let confirmed = || async {
        let rows = futures::stream::iter(scene.ids.iter().map(|id| row(id, &[("v", "confirmed")])));
        scene.store.bulk_load(rows, options, |_, _| {}).await.is_ok_and(|report| report.written == 600)
    };
    wait_until("the replica confirms", SOON, confirmed).await;
}

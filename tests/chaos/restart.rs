//! Promise 4: every node is restarted, or replaced by others at new addresses behind the address that was given.

use std::time::{Duration, Instant};

use slotwise::devcluster::{ClusterSpec, LocalCluster};

use super::RECOVERED_WITHIN;
use super::load::{Load, Sample, Scene};
use super::outcome::{Outcome, ms};
use super::stage::{Size, alone, spell};
use crate::support::canary::Canary;
use crate::support::features::options;
use crate::support::proxy::Proxy;
use crate::support::{SOON, server, start};

const TIMEOUT_MS: u64 = 300;
const CALM: u64 = 100;

/// Three shards that keep their keys over a restart.
async fn cluster() -> LocalCluster {
    let mut spec = ClusterSpec::new(server().await, 3);
    spec.node_timeout = Duration::from_secs(1);
    spec.extra_config.push(("appendonly".to_owned(), "yes".to_owned()));
    start(spec).await
}

/// Kills all nodes and starts them again.
pub(crate) async fn at_the_same_addresses(size: Size, cluster: &mut LocalCluster) -> Outcome {
    let scene = Scene::on(cluster).await;
    let store = scene.store(&cluster.urls(), options()).await;
    let load = Load::start(&store, &scene, &(TIMEOUT_MS..=TIMEOUT_MS));
    load.more(100).await;
    for index in 0..3 {
        cluster.kill_node(index).unwrap();
    }
    spell(size.pick(Duration::from_millis(500), Duration::from_secs(2))).await;
    for index in 0..3 {
        cluster.restart_node(index).await.unwrap();
    }
    cluster.wait_until_agreed(SOON).await.unwrap();
    let back = Instant::now();
    spell(RECOVERED_WITHIN).await;
    load.calm(CALM, true).await;
    let samples = load.stop().await;
    let mut outcome = samples.outcome(4, "all nodes killed and started again");
    outcome.recovered = Some(samples.recovered(back, Sample::is_bad));
    let outcome = outcome.note(format!("answers {} after their deadline at most", ms(samples.late())));
    outcome.report();
    outcome
}

/// Replaces the cluster behind a stable address.
pub(crate) async fn at_new_addresses(size: Size, old: LocalCluster, new: &LocalCluster) -> Outcome {
    let scene = Scene::on(&old).await;
    scene.fill(new).await;
    let service = Proxy::to(&old.addrs()[0]).await;
    let store = scene.store(&format!("redis://{}", service.addr()), options()).await;
    let load = Load::start(&store, &scene, &(TIMEOUT_MS..=TIMEOUT_MS));
    load.more(100).await;
    old.stop().await.unwrap();
    spell(size.pick(Duration::from_millis(500), Duration::from_secs(2))).await;
    service.lead_to(&new.addrs()[0]);
    let back = Instant::now();
    spell(RECOVERED_WITHIN).await;
    load.calm(CALM, true).await;
    let samples = load.stop().await;
    let mut outcome = samples.outcome(4, "all nodes replaced by others at new addresses");
    outcome.recovered = Some(samples.recovered(back, Sample::is_bad));
    let outcome = outcome.note(format!("answers {} after their deadline at most", ms(samples.late())));
    outcome.report();
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_started_again_or_replaced_is_found_again() {
    alone(async {
        let (mut old, new) = tokio::join!(cluster(), cluster());
        let (size, canary) = (Size::of_this_run(), Canary::start());
        let outcome = at_the_same_addresses(size, &mut old).await;
        outcome.assert_right_and_recovered(RECOVERED_WITHIN + canary.allowance());
        let outcome = at_new_addresses(size, old, &new).await;
        outcome.assert_right_and_recovered(RECOVERED_WITHIN + canary.allowance());
    })
    .await;
}

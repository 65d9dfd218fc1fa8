//! Promise 3, over a network that holds bytes back: the node is well, the cluster sees nothing wrong, connections are
//! accepted, and nothing is ever answered.

use std::time::{Duration, Instant};

use slotwise::FeatureStore;
use slotwise::devcluster::LocalCluster;
use slotwise::slot::NodeAddr;
use slotwise::store::{ReadFrom, StoreOptions};

use super::load::{Load, Sample, Scene};
use super::outcome::{Outcome, ms};
use super::stage::{Scenery, Size, index_of, on, spell};
use super::{LATE_MAX, RECOVERED_WITHIN};
use crate::support::canary::Canary;
use crate::support::features::options;
use crate::support::proxy::{Network, Proxy};
use crate::support::{SOON, wait_until};

const TIMEOUT_MS: u64 = 400;
const CALM: u64 = 100;
/// Time to find out that a connection leads nowhere: requests and questions on it have to time out.
const FOUND_OUT_WITHIN: Duration = Duration::from_secs(3);

/// What became of the load.
pub(crate) struct Silent {
    pub(crate) outcome: Outcome,
    pub(crate) late: Duration,
    pub(crate) stale: usize,
}

/// A cluster one of whose primaries is behind a proxy, and a store that reads replicas where it has to.
struct Behind {
    scene: Scene,
    options: StoreOptions,
    seeds: String,
    store: FeatureStore,
    victim: usize,
    proxy: Proxy,
}

/// Makes the whole cluster name `port` as the node's (0: its own), and waits until it does.
async fn announce(cluster: &LocalCluster, index: usize, port: u16) {
    let node = cluster.client(index).await.unwrap();
    node.call(&["CONFIG", "SET", "cluster-announce-port", &port.to_string()]).await.unwrap();
    let own = cluster.addrs()[index].port;
    let named = NodeAddr::new("127.0.0.1", if port == 0 { own } else { port }).to_string();
    for other in 0..cluster.nodes().len() {
        let other = cluster.client(other).await.unwrap();
        let knows = || async {
            let nodes = other.call(&["CLUSTER", "NODES"]).await.unwrap();
            nodes.as_str().unwrap().contains(&format!("{named}@"))
        };
        wait_until("every node knows the port", SOON, knows).await;
    }
}

impl Behind {
    async fn of(cluster: &LocalCluster) -> Self {
        let scene = Scene::on(cluster).await;
        let options = StoreOptions { read_from: ReadFrom::PrimaryThenReplica, ..options() };
        let asking = scene.store(&cluster.urls(), options.clone()).await;
        let shard = asking.topology().shards()[2].clone();
        let victim = index_of(cluster, &shard.primary);
        let proxy = Proxy::to(&shard.primary).await;
        announce(cluster, victim, proxy.addr().port).await;
        let seeds =
            format!("redis://{},redis://{}", asking.topology().shards()[0].primary, shard.replicas[0]);
        let store = scene.store(&seeds, options.clone()).await;
        assert!(store.topology().shards().iter().any(|shard| shard.primary == *proxy.addr()));
        Self { scene, options, seeds, store, victim, proxy }
    }

    fn load(&self, store: &FeatureStore) -> Load {
        Load::start(store, &self.scene, &(TIMEOUT_MS..=TIMEOUT_MS))
    }

    /// All is well since `back`: waits until it shows, and ends the load.
    async fn end(self, cluster: &LocalCluster, load: Load, fault: &str, back: Instant) -> Silent {
        spell(RECOVERED_WITHIN).await;
        load.calm(CALM, true).await;
        let samples = load.stop().await;
        announce(cluster, self.victim, 0).await;
        let stale = samples.stale(|_| true);
        let mut outcome = samples.outcome(3, format!("{fault}, PrimaryThenReplica"));
        outcome.recovered = Some(samples.recovered(back, Sample::is_bad_or_stale));
        let outcome = outcome.note(format!("{stale} rows from the replica"));
        Silent { outcome, late: samples.late(), stale }
    }
}

/// Reads while a primary never answers.
pub(crate) async fn silent(size: Size, cluster: &LocalCluster) -> Silent {
    let behind = Behind::of(cluster).await;
    let load = behind.load(&behind.store);
    load.more(100).await;
    behind.proxy.set(Network::Silent);
    spell(size.pick(Duration::from_millis(1_500), Duration::from_secs(5))).await;
    let opening = Instant::now();
    let store = behind.scene.store(&behind.seeds, behind.options.clone()).await;
    let opened = opening.elapsed();
    let fresh = behind.load(&store);
    fresh.more(100).await;
    fresh.stop().await.outcome(3, "a store opened meanwhile").assert_all_found();
    behind.proxy.set(Network::Forward);
    let fault = "primary accepts connections and never answers";
    let mut silent = behind.end(cluster, load, fault, Instant::now()).await;
    silent.outcome =
        silent.outcome.note(format!("a store opened meanwhile in {} finds all rows", ms(opened)));
    silent.outcome.report();
    silent
}

/// Reads while open connections to a primary come to lead nowhere, as when a firewall forgets them.
pub(crate) async fn forgotten(cluster: &LocalCluster) -> Silent {
    let behind = Behind::of(cluster).await;
    let load = behind.load(&behind.store);
    load.more(100).await;
    behind.proxy.forget_connections();
    let back = Instant::now();
    let silent = behind.end(cluster, load, "open connections to a primary lead nowhere", back).await;
    silent.outcome.report();
    silent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_never_answers_is_found_out() {
    let canary = Canary::start();
    let Silent { outcome, late, stale } =
        on(Scenery::Failover, async |cluster| silent(Size::of_this_run(), cluster).await).await;
    let allowance = canary.allowance();
    outcome.assert_all_found();
    outcome.assert_right_and_recovered(RECOVERED_WITHIN + allowance);
    assert!(stale > 0 && late <= LATE_MAX + allowance, "{late:?} {allowance:?} {outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_lead_nowhere_are_opened_anew() {
    let canary = Canary::start();
    let Silent { outcome, late, stale } =
        on(Scenery::Failover, async |cluster| forgotten(cluster).await).await;
    let allowance = canary.allowance();
    outcome.assert_all_found();
    outcome.assert_right_and_recovered(FOUND_OUT_WITHIN + allowance);
    assert!(stale > 0 && late <= LATE_MAX + allowance, "{late:?} {allowance:?} {outcome:?}");
}

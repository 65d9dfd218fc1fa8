//! The clusters on which scenarios run, how large a scenario is, and who is who in a cluster.

use std::time::{Duration, Instant};

use slotwise::devcluster::{ClusterSpec, LocalCluster};
use slotwise::shard::node::NodeClient;
use slotwise::slot::NodeAddr;
use tokio::sync::Mutex;

use crate::support::{SOON, server, start, wait_until};

/// How large a scenario is: `make test` runs the short ones, `make chaos` the long ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Short,
    Long,
}

impl Size {
    /// What this run was asked for.
    pub(crate) fn of_this_run() -> Self {
        let long = std::env::var("SLOTWISE_CHAOS").is_ok_and(|size| size == "long");
        if long { Self::Long } else { Self::Short }
    }

    /// One of two.
    pub(crate) fn pick<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}

/// The clusters that scenarios share; both have three shards with a replica each.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scenery {
    /// Replicas take over soon after their primary is gone.
    Failover,
    /// No replica takes over within the time of a test: a node may be away and come back.
    Steady,
}

/// One scenario at a time, so that none is disturbed by another one's faults or load.
static STAGE: Mutex<[Option<LocalCluster>; 2]> = Mutex::const_new([None, None]);

/// Runs a scenario on a cluster that is whole. One that fails leaves its cluster to nobody.
pub(crate) async fn on<T>(scenery: Scenery, scenario: impl AsyncFnOnce(&mut LocalCluster) -> T) -> T {
    let mut stage = STAGE.lock().await;
    let place = scenery as usize;
    let mut cluster = match stage[place].take() {
        Some(cluster) => cluster,
        None => {
            let node_timeout = match scenery {
                Scenery::Failover => Size::of_this_run().pick(Duration::from_secs(1), Duration::from_secs(2)),
                Scenery::Steady => Duration::from_secs(30),
            };
            start(ClusterSpec { replicas: 1, node_timeout, ..ClusterSpec::new(server().await, 3) }).await
        }
    };
    wait_until_replicas_are_told(&cluster).await;
    let outcome = scenario(&mut cluster).await;
    cluster.wait_until_agreed(SOON).await.unwrap();
    stage[place] = Some(cluster);
    outcome
}

/// Waits until every node names a replica of each shard: it does so once it has heard how far that one is.
async fn wait_until_replicas_are_told(cluster: &LocalCluster) {
    for index in 0..cluster.nodes().len() {
        let node = cluster.client(index).await.unwrap();
        let told = || async {
            let ranges = node.call(&["CLUSTER", "SLOTS"]).await.unwrap().into_array().unwrap();
            // First and last slot, the primary, its replicas.
            ranges.into_iter().all(|range| range.into_array().unwrap().len() > 3)
        };
        wait_until("every node names the replicas", SOON, told).await;
    }
}

/// Runs a scenario that brings its own clusters.
pub(crate) async fn alone<T>(scenario: impl Future<Output = T>) -> T {
    let _stage = STAGE.lock().await;
    scenario.await
}

/// Which server of the cluster that is.
pub(crate) fn index_of(cluster: &LocalCluster, addr: &NodeAddr) -> usize {
    cluster.addrs().iter().position(|other| other == addr).unwrap()
}

/// Is the node a primary?
pub(crate) async fn is_primary(node: &NodeClient) -> bool {
    let role = node.call(&["ROLE"]).await.unwrap().into_array().unwrap();
    role[0].as_str() == Some("master")
}

/// Waits until every primary's replica has what was written to it.
pub(crate) async fn wait_until_replicated(cluster: &LocalCluster) {
    for index in 0..cluster.nodes().len() {
        let node = cluster.client(index).await.unwrap();
        if is_primary(&node).await {
            let caught_up = || async {
                let info = node.call(&["INFO", "replication"]).await.unwrap();
                let info = info.as_str().unwrap().to_owned();
                let number = |name: &str| {
                    let at = info.find(name).map(|at| at + name.len());
                    let digits = at.map(|at| info[at..].chars().take_while(char::is_ascii_digit));
                    digits.and_then(|digits| digits.collect::<String>().parse::<u64>().ok())
                };
                let behind = number("master_repl_offset:").zip(number(",offset="));
                info.contains("state=online") && behind.is_some_and(|(ours, theirs)| theirs >= ours)
            };
            wait_until("the replica has every write", SOON, caught_up).await;
        }
    }
}

/// Lets some time go by under load.
pub(crate) async fn spell(length: Duration) {
    let begun = Instant::now();
    wait_until("some time under load", length + SOON, || async { begun.elapsed() >= length }).await;
}

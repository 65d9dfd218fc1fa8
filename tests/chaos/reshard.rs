//! Promise 1: slots move, and no row fails, is wrong or goes missing; also where replicas are read.

use std::time::{Duration, Instant};

use slotwise::devcluster::LocalCluster;
use slotwise::slot::NodeAddr;
use slotwise::store::{ReadFrom, StoreOptions, Transport};

use super::load::{Load, Scene};
use super::outcome::{Outcome, ms};
use super::stage::{Scenery, Size, index_of, on};
use crate::support::SOON;
use crate::support::canary::Canary;
use crate::support::features::{options, transport};
use crate::support::slots::reshard;

const TIMEOUT_MS: u64 = 2_000;
/// Extra time that moving slots may cost the slowest one of a hundred batches: over lanes that of a redirect; the cluster
/// connection's driver serves nobody while it learns the new topology, several times in a row.
fn extra_max() -> Duration {
    Duration::from_millis(if transport() == Transport::Cluster { 500 } else { 25 })
}

/// The outcome, and how much longer one batch of a hundred takes while slots move.
pub(crate) struct Resharded {
    pub(crate) outcome: Outcome,
    pub(crate) extra: Duration,
}

/// Moves a share of a shard's slots to another one and back, under the load of a store for each `ReadFrom`.
pub(crate) async fn run(size: Size, cluster: &LocalCluster) -> Vec<Resharded> {
    let scene = Scene::on(cluster).await;
    let ways = [ReadFrom::PrimaryThenReplica, ReadFrom::Nearest];
    let mut loads = Vec::new();
    let mut primaries: Vec<NodeAddr> = Vec::new();
    for read_from in ways {
        let store = scene.store(&cluster.urls(), StoreOptions { read_from, ..options() }).await;
        primaries = store.topology().shards().iter().map(|shard| shard.primary.clone()).collect();
        loads.push(Load::start(&store, &scene, &(TIMEOUT_MS..=TIMEOUT_MS)));
    }
    for load in &loads {
        load.more(size.pick(200, 2_000)).await;
    }
    let begun = Instant::now();
    let slots = size.pick(300, 2_000);
    let [from, to] = [0, 1].map(|shard| index_of(cluster, &primaries[shard]));
    let [from, to] = [cluster.client(from).await.unwrap(), cluster.client(to).await.unwrap()];
    reshard(&from, &to, slots).await;
    cluster.wait_until_agreed(SOON).await.unwrap();
    reshard(&to, &from, slots).await;
    let ended = Instant::now();
    let mut resharded = Vec::new();
    for (load, read_from) in loads.into_iter().zip(ways) {
        load.more(100).await;
        let samples = load.stop().await;
        let before = samples.quantile(0.99, |sample| sample.begun < begun);
        let during = samples.quantile(0.99, |sample| sample.begun >= begun && sample.begun < ended);
        let outcome = samples
            .outcome(1, format!("{} of 16384 slots moved, {read_from:?}", 2 * slots))
            .note(format!("p99 {} before, {} while slots move", ms(before), ms(during)));
        outcome.report();
        resharded.push(Resharded { outcome, extra: during.saturating_sub(before) });
    }
    resharded
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_fails_or_is_wrong_while_slots_move() {
    let canary = Canary::start();
    let resharded = on(Scenery::Steady, async |cluster| run(Size::of_this_run(), cluster).await).await;
    for Resharded { outcome, extra } in resharded {
        outcome.assert_all_found();
        assert!(extra <= extra_max() + canary.allowance(), "{extra:?} {outcome:?}");
    }
}

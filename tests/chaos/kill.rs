//! Promise 2: a primary is killed; its replica answers while it takes over, and then for good.

use std::time::{Duration, Instant};

use slotwise::devcluster::LocalCluster;
use slotwise::store::{ReadFrom, StoreOptions};

use super::load::{Load, Sample, Samples, Scene};
use super::outcome::{Outcome, ms};
use super::stage::{Scenery, Size, index_of, is_primary, on, spell};
use super::{LATE_MAX, RECOVERED_WITHIN};
use crate::support::canary::Canary;
use crate::support::features::options;
use crate::support::{SOON, wait_until};

const TIMEOUT_MS: u64 = 400;
/// Batches in a row that are well, after which a store has recovered.
const CALM: u64 = 100;
/// The shard whose primary is killed.
const SHARD: usize = 0;

/// What one way of reading brought.
pub(crate) struct Killed {
    pub(crate) read_from: ReadFrom,
    pub(crate) outcome: Outcome,
    /// Of all batches, by which an answer missed its deadline at most.
    pub(crate) late: Duration,
    /// Rows of replicas between the kill and the recovery.
    pub(crate) stale: usize,
    /// Rows that were unavailable in batches which do not touch the shard.
    pub(crate) others_unavailable: usize,
    /// Of batches that do not touch the shard, undisturbed and afterwards.
    pub(crate) others_p99: [Duration; 2],
    pub(crate) reasons: Vec<String>,
}

/// Kills a primary under the load of a store for each way of reading.
pub(crate) async fn run(size: Size, cluster: &mut LocalCluster) -> Vec<Killed> {
    let scene = Scene::on(cluster).await;
    let ways = [ReadFrom::Primary, ReadFrom::PrimaryThenReplica, ReadFrom::Nearest];
    let mut loads = Vec::new();
    let mut shard = None;
    for read_from in ways {
        let store = scene.store(&cluster.urls(), StoreOptions { read_from, ..options() }).await;
        loads.push(Load::start(&store, &scene, &(TIMEOUT_MS..=TIMEOUT_MS)));
        shard = Some(store.topology().shards()[SHARD].clone());
    }
    let shard = shard.unwrap();
    let victim = index_of(cluster, &shard.primary);
    let replica = cluster.client(index_of(cluster, &shard.replicas[0])).await.unwrap();
    spell(size.pick(Duration::from_secs(1), Duration::from_secs(5))).await;

    let killed = Instant::now();
    cluster.kill_node(victim).unwrap();
    wait_until("the replica has taken over", SOON, || is_primary(&replica)).await;
    let taken_over = Instant::now();
    spell(size.pick(RECOVERED_WITHIN, Duration::from_secs(10).saturating_sub(killed.elapsed()))).await;
    let mut brought = Vec::new();
    for (load, read_from) in loads.into_iter().zip(ways) {
        load.calm(CALM, read_from != ReadFrom::Nearest).await;
        brought.push(judge(&load.stop().await, read_from, killed, taken_over));
    }
    cluster.restart_node(victim).await.unwrap();
    brought
}

fn judge(samples: &Samples, read_from: ReadFrom, killed: Instant, taken_over: Instant) -> Killed {
    let others = |sample: &Sample| sample.shard.is_some_and(|shard| shard != SHARD);
    let bad = |sample: &Sample| match read_from {
        ReadFrom::Nearest => sample.is_bad(),
        _ => sample.is_bad_or_stale(),
    };
    let stale = samples.stale(|sample| sample.begun >= killed);
    let others_p99 = [
        samples.quantile(0.99, |sample| others(sample) && sample.begun < killed),
        samples.quantile(0.99, |sample| others(sample) && sample.begun >= killed),
    ];
    let mut outcome = samples.outcome(2, format!("primary killed, {read_from:?}"));
    outcome.recovered = Some(samples.recovered(taken_over, bad));
    let outcome = outcome
        .note(format!("replica took over after {}", ms(taken_over - killed)))
        .note(format!("{stale} rows from the replica"))
        .note(format!("other shards p99 {} → {}", ms(others_p99[0]), ms(others_p99[1])));
    outcome.report();
    Killed {
        read_from,
        outcome,
        late: samples.late(),
        stale,
        others_unavailable: samples.all.iter().filter(|s| others(s)).map(|s| s.summary.unavailable).sum(),
        others_p99,
        reasons: samples.reasons.iter().cloned().collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_killed_is_stood_in_for_and_replaced() {
    let canary = Canary::start();
    let brought = on(Scenery::Failover, async |cluster| run(Size::of_this_run(), cluster).await).await;
    for Killed { read_from, outcome, late, stale, others_unavailable, others_p99, reasons } in brought {
        let allowance = canary.allowance();
        outcome.assert_right_and_recovered(RECOVERED_WITHIN + allowance);
        assert!(late <= LATE_MAX + allowance, "{late:?} {allowance:?} {outcome:?}");
        assert_eq!(others_unavailable, 0, "{outcome:?}");
        assert!(others_p99[1] <= 2 * others_p99[0] + allowance, "{others_p99:?} {allowance:?} {outcome:?}");
        if read_from == ReadFrom::Primary {
            assert!(outcome.unavailable > 0 && stale == 0, "{outcome:?}");
            assert!(reasons.iter().all(|reason| !reason.is_empty()), "{reasons:?}");
        } else {
            assert!(stale > 0, "{outcome:?}");
            outcome.assert_all_found();
        }
    }
}

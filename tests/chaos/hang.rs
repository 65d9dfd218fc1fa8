//! Promise 3: a node hangs. Its rows are unavailable by the deadline, or a replica answers them; nobody else is slower.

use std::time::{Duration, Instant};

use slotwise::devcluster::LocalCluster;
use slotwise::slot::NodeAddr;
use slotwise::store::{ReadFrom, StoreOptions};

use super::load::{Load, Sample, Samples, Scene};
use super::outcome::{Outcome, ms};
use super::stage::{Scenery, Size, index_of, on, spell};
use super::{LATE_MAX, RECOVERED_WITHIN};
use crate::support::canary::Canary;
use crate::support::features::options;

const TIMEOUT_MS: u64 = 300;
const CALM: u64 = 100;
/// The shard whose primary hangs.
const SHARD: usize = 1;

/// What one way of reading brought.
pub(crate) struct Hung {
    pub(crate) read_from: ReadFrom,
    pub(crate) outcome: Outcome,
    pub(crate) node: NodeAddr,
    pub(crate) late: Duration,
    pub(crate) stale: usize,
    pub(crate) others_unavailable: usize,
    /// Of batches that do not touch the node, undisturbed and while it hangs.
    pub(crate) others_p99: [Duration; 2],
    pub(crate) reasons: Vec<String>,
}

/// Stops a primary's clock for a while under the load of a store for each way of reading.
pub(crate) async fn run(size: Size, cluster: &LocalCluster) -> Vec<Hung> {
    let scene = Scene::on(cluster).await;
    let ways = [ReadFrom::Primary, ReadFrom::PrimaryThenReplica];
    let mut loads = Vec::new();
    let mut node = None;
    for read_from in ways {
        let store = scene.store(&cluster.urls(), StoreOptions { read_from, ..options() }).await;
        loads.push(Load::start(&store, &scene, &(TIMEOUT_MS..=TIMEOUT_MS)));
        node = Some(store.topology().shards()[SHARD].primary.clone());
    }
    let node = node.unwrap();
    let victim = index_of(cluster, &node);
    let stretch = size.pick(Duration::from_millis(2_500), Duration::from_secs(10));
    spell(stretch / 2).await;
    let hung = Instant::now();
    cluster.pause_node(victim).unwrap();
    spell(stretch).await;
    cluster.resume_node(victim).unwrap();
    let back = Instant::now();
    spell(RECOVERED_WITHIN).await;
    let mut brought = Vec::new();
    for (load, read_from) in loads.into_iter().zip(ways) {
        load.calm(CALM, true).await;
        brought.push(judge(&load.stop().await, read_from, &node, hung, back));
    }
    brought
}

fn judge(samples: &Samples, read_from: ReadFrom, node: &NodeAddr, hung: Instant, back: Instant) -> Hung {
    let others = |sample: &Sample| sample.shard.is_some_and(|shard| shard != SHARD);
    let others_p99 = [
        samples.quantile(0.99, |sample| others(sample) && sample.begun < hung),
        samples.quantile(0.99, |sample| others(sample) && sample.begun >= hung && sample.begun < back),
    ];
    let stale = samples.stale(|_| true);
    let mut outcome = samples.outcome(3, format!("primary hangs for {}, {read_from:?}", ms(back - hung)));
    outcome.recovered = Some(samples.recovered(back, Sample::is_bad_or_stale));
    let outcome = outcome.note(format!("{stale} rows from the replica")).note(format!(
        "other shards p99 {} → {}",
        ms(others_p99[0]),
        ms(others_p99[1])
    ));
    outcome.report();
    Hung {
        read_from,
        outcome,
        node: node.clone(),
        late: samples.late(),
        stale,
        others_unavailable: samples.all.iter().filter(|s| others(s)).map(|s| s.summary.unavailable).sum(),
        others_p99,
        reasons: samples.reasons.iter().cloned().collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_costs_its_own_rows_at_most() {
    let canary = Canary::start();
    let brought = on(Scenery::Steady, async |cluster| run(Size::of_this_run(), cluster).await).await;
    for Hung { read_from, outcome, node, late, stale, others_unavailable, others_p99, reasons } in brought {
        let allowance = canary.allowance();
        outcome.assert_right_and_recovered(RECOVERED_WITHIN + allowance);
        assert!(late <= LATE_MAX + allowance, "{late:?} {allowance:?} {outcome:?}");
        assert_eq!(others_unavailable, 0, "{outcome:?}");
        assert!(others_p99[1] <= 2 * others_p99[0] + allowance, "{others_p99:?} {allowance:?} {outcome:?}");
        if read_from == ReadFrom::Primary {
            assert!(outcome.unavailable > 0 && stale == 0, "{outcome:?}");
            let node = node.to_string();
            assert!(
                !reasons.is_empty() && reasons.iter().all(|reason| reason.contains(&node)),
                "{reasons:?}"
            );
        } else {
            assert!(stale > 0, "{outcome:?}");
            outcome.assert_all_found();
        }
    }
}

//! Promise 6: a bulk load says of every row what became of it, and what it calls written is there; also where a primary is
//! killed in the middle, or a node hangs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::stream;
use slotwise::FeatureStore;
use slotwise::devcluster::LocalCluster;
use slotwise::model::{EntityId, FeatureRow, RowStatus};
use slotwise::slot::{NodeAddr, Slot};
use slotwise::store::{LoadOptions, ReadFrom, RowRejected, StoreOptions};

use super::load::Scene;
use super::outcome::{Outcome, ms};
use super::stage::{Scenery, Size, index_of, is_primary, on, spell};
use crate::support::canary::Canary;
use crate::support::features::{LONG, ids, names, options, row};
use crate::support::{SOON, wait_until};

/// Rows of the load, and how many of them are decided before the fault; a load goes in batches of 2,000.
const ROWS_SHORT: usize = 10_000;
const ROWS_LONG: usize = 50_000;
const BEFORE_THE_FAULT: usize = 2_000;

/// What is told of a row.
type Told = (EntityId, Result<(), RowRejected>);

fn rows_of(ids: &[EntityId], stem: &str) -> Vec<FeatureRow> {
    ids.iter().map(|id| row(id, &[("v", &format!("{stem} {id}"))])).collect()
}

/// Loads rows and counts those that are decided.
async fn load(
    store: &FeatureStore,
    rows: Vec<FeatureRow>,
    options: LoadOptions,
    decided: &AtomicUsize,
) -> Vec<Told> {
    let mut told = Vec::with_capacity(rows.len());
    let note = |row: FeatureRow, result| {
        told.push((row.id, result));
        decided.fetch_add(1, Ordering::AcqRel);
    };
    let report = store.bulk_load(stream::iter(rows), options, note).await.unwrap();
    let written = told.iter().filter(|(_, result)| result.is_ok()).count();
    assert_eq!(report.written, written as u64);
    assert_eq!(report.rejected, (told.len() - written) as u64);
    told
}

/// Rows that are called written and are not there, or with another value.
async fn lost(store: &FeatureStore, told: &[Told], stem: &str) -> usize {
    let mut lost = 0;
    let written: Vec<EntityId> =
        told.iter().filter(|(_, result)| result.is_ok()).map(|(id, _)| id.clone()).collect();
    for some in written.chunks(2_000) {
        let batch = store.batch_get_features(some, names(&["v"]), LONG).await.unwrap();
        for row in batch.rows() {
            let there = row.value(0) == Some(format!("{stem} {}", row.id).as_bytes());
            lost += usize::from(row.status != RowStatus::Found || !there);
        }
    }
    lost
}

/// Why rows were rejected, without what differs from row to row, and how many.
fn reasons(told: &[Told]) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for (_, result) in told {
        if let Err(why) = result {
            let kind: String = why.to_string().chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
            *reasons.entry(kind).or_default() += 1;
        }
    }
    reasons
}

fn outcome(fault: String, told: &[Told], lost: usize, took: Duration) -> Outcome {
    let written = told.iter().filter(|(_, result)| result.is_ok()).count();
    Outcome {
        promise: 6,
        fault,
        batches: told.len().div_ceil(2_000),
        rows: told.len(),
        found: written - lost,
        unavailable: told.len() - written,
        wrong: lost,
        longest: took,
        recovered: None,
        notes: vec![format!("{written} rows written, {} rejected", told.len() - written)],
    }
}

/// What became of a load.
pub(crate) struct Loaded {
    pub(crate) outcome: Outcome,
    pub(crate) told: Vec<Told>,
}

/// Kills a primary in the middle of a load whose rows a replica confirms, and starts it again once its replica has taken
/// over.
pub(crate) async fn killed(size: Size, cluster: &mut LocalCluster) -> Loaded {
    let scene = Scene::on(cluster).await;
    let reading = StoreOptions { read_from: ReadFrom::Primary, ..options() };
    let store = scene.store(&cluster.urls(), reading).await;
    let shard = store.topology().shards()[1].clone();
    let victim = index_of(cluster, &shard.primary);
    let replica = cluster.client(index_of(cluster, &shard.replicas[0])).await.unwrap();
    let ids = ids("w", 0..size.pick(ROWS_SHORT, ROWS_LONG));
    let (decided, begun) = (AtomicUsize::new(0), Instant::now());
    let options = LoadOptions { wait_replicas: 1, ..LoadOptions::default() };
    let loading = load(&store, rows_of(&ids, "loaded"), options, &decided);
    let killing = async {
        let under_way = || async { decided.load(Ordering::Acquire) >= BEFORE_THE_FAULT };
        wait_until("the load is under way", SOON, under_way).await;
        cluster.kill_node(victim).unwrap();
        wait_until("the replica has taken over", SOON, || is_primary(&replica)).await;
        cluster.restart_node(victim).await.unwrap();
    };
    let (told, ()) = tokio::join!(loading, killing);
    let took = begun.elapsed();
    let told_ids: Vec<&EntityId> = told.iter().map(|(id, _)| id).collect();
    assert!(told_ids.iter().copied().eq(&ids), "every row is told of once, in order");
    let lost = lost(&store, &told, "loaded").await;
    let mut outcome = outcome("primary killed during a load, wait_replicas 1".to_owned(), &told, lost, took);
    outcome.notes.extend(reasons(&told).iter().map(|(why, count)| format!("{count}: {why}")));
    outcome.report();
    Loaded { outcome, told }
}

/// What became of a load while a node hung.
pub(crate) struct HungLoad {
    pub(crate) loaded: Loaded,
    pub(crate) node: NodeAddr,
    /// The ids of the node that hung.
    pub(crate) away: Vec<EntityId>,
    /// Time until the rows of the other shards were there.
    pub(crate) others_there: Duration,
}

/// Loads one batch while a node hangs for a few seconds.
pub(crate) async fn hung(size: Size, cluster: &LocalCluster) -> HungLoad {
    let scene = Scene::on(cluster).await;
    let reading = StoreOptions { read_from: ReadFrom::Primary, ..options() };
    let store = scene.store(&cluster.urls(), reading).await;
    let node = store.topology().shards()[1].primary.clone();
    let on_node = |id: &EntityId| {
        let slot = Slot::for_key(&store.layout().key(id).unwrap());
        store.topology().shard_of(slot).unwrap().primary == node
    };
    let ids = ids("w", 0..1_500);
    let (away, others): (Vec<EntityId>, Vec<EntityId>) = ids.iter().cloned().partition(on_node);
    let victim = index_of(cluster, &node);
    cluster.pause_node(victim).unwrap();
    let (decided, begun) = (AtomicUsize::new(0), Instant::now());
    let loading = async {
        let told = load(&store, rows_of(&ids, "loaded"), LoadOptions::default(), &decided).await;
        (told, begun.elapsed())
    };
    let looking = async {
        let there = || async {
            let batch = store.batch_get_features(others.clone(), names(&["v"]), LONG).await.unwrap();
            batch.summary().found == others.len()
        };
        wait_until("the rows of the other shards are there", SOON, there).await;
        let others_there = begun.elapsed();
        spell(size.pick(Duration::from_millis(1_500), Duration::from_secs(4))).await;
        cluster.resume_node(victim).unwrap();
        others_there
    };
    let ((told, took), others_there) = tokio::join!(loading, looking);
    let lost = lost(&store, &told, "loaded").await;
    let mut outcome = outcome("primary hangs during a load".to_owned(), &told, lost, took);
    outcome.notes.push(format!("rows of the other shards there after {}", ms(others_there)));
    outcome.report();
    HungLoad { loaded: Loaded { outcome, told }, node, away, others_there }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_load_calls_written_are_there_after_a_primary_was_killed() {
    let Loaded { outcome, told } =
        on(Scenery::Failover, async |cluster| killed(Size::of_this_run(), cluster).await).await;
    assert_eq!(outcome.wrong, 0, "{outcome:?}");
    assert!(outcome.found > told.len() / 2, "the other shards' rows are written: {outcome:?}");
    let no_reason = |told: &&Told| matches!(&told.1, Err(why) if why.to_string().is_empty());
    assert_eq!(told.iter().filter(no_reason).count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_during_a_load_costs_its_own_rows_at_most() {
    let canary = Canary::start();
    let HungLoad { loaded: Loaded { outcome, told }, node, away, others_there } =
        on(Scenery::Steady, async |cluster| hung(Size::of_this_run(), cluster).await).await;
    assert_eq!(outcome.wrong, 0, "{outcome:?}");
    let soon = Duration::from_millis(500) + canary.allowance();
    assert!(others_there <= soon, "{others_there:?} {outcome:?}");
    for (id, result) in &told {
        if let Err(why) = result {
            assert!(away.contains(id) && why.to_string().contains(&node.to_string()), "{id}: {why}");
        }
    }
}

//! Promise 6, for single writes: what is called written is there or newer, and never does an older value come over a newer
//! one, also where the primary is killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use slotwise::FeatureStore;
use slotwise::devcluster::LocalCluster;
use slotwise::model::{EntityId, RowStatus};
use slotwise::store::{ReadFrom, StoreOptions};
use tokio::time::{MissedTickBehavior, interval};

use super::RECOVERED_WITHIN;
use super::load::Scene;
use super::outcome::{Outcome, ms};
use super::stage::{Scenery, Size, index_of, is_primary, on, spell};
use crate::support::canary::Canary;
use crate::support::features::{LONG, feature, names, options};
use crate::support::{SOON, wait_until};

/// Entities of each shard that are written to, each by a writer of its own.
const WRITERS_PER_SHARD: usize = 3;
/// Time between two writes of a writer.
const PACE: Duration = Duration::from_millis(5);

/// What one writer did.
struct Written {
    id: EntityId,
    tried: u64,
    /// The newest value that was called written.
    newest: u64,
    refused: usize,
    longest: Duration,
    /// When the last write failed.
    last_failure: Option<Instant>,
}

/// Writes ever larger numbers to one entity.
async fn write(store: &FeatureStore, id: EntityId, over: &AtomicBool) -> Written {
    let mut written =
        Written { id, tried: 0, newest: 0, refused: 0, longest: Duration::ZERO, last_failure: None };
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !over.load(Ordering::Acquire) {
        pace.tick().await;
        written.tried += 1;
        let begun = Instant::now();
        let result = store.update_streaming(&written.id, &[feature("n", written.tried)], Some(1_000)).await;
        written.longest = written.longest.max(begun.elapsed());
        match result {
            Ok(()) => written.newest = written.tried,
            Err(_) => {
                written.refused += 1;
                written.last_failure = Some(Instant::now());
            }
        }
    }
    written
}

/// Reads the numbers all the while; brings how often one was smaller than before. Only while no node is gone does that
/// mean anything: a read is of the primary, and there is one at a time.
async fn watch(store: &FeatureStore, ids: &[EntityId], over: &AtomicBool) -> usize {
    let (mut newest, mut older) = (vec![0u64; ids.len()], 0);
    let mut pace = interval(PACE);
    while !over.load(Ordering::Acquire) {
        pace.tick().await;
        let timeout = Some(Duration::from_millis(300));
        let batch = store.batch_get_features(ids, names(&["n"]), timeout).await.unwrap();
        for (row, newest) in batch.rows().zip(&mut newest) {
            if row.status == RowStatus::Found {
                let number: u64 = std::str::from_utf8(row.value(0).unwrap()).unwrap().parse().unwrap();
                older += usize::from(number < *newest);
                *newest = number.max(*newest);
            }
        }
    }
    older
}

/// Kills a primary under writers.
pub(crate) async fn run(size: Size, cluster: &mut LocalCluster) -> Outcome {
    let scene = Scene::on(cluster).await;
    let primary = StoreOptions { read_from: ReadFrom::Primary, ..options() };
    let store = scene.store(&cluster.urls(), primary).await;
    let by_shard = scene.by_shard(&store);
    let ids: Vec<EntityId> =
        by_shard.iter().flat_map(|ids| ids.iter().take(WRITERS_PER_SHARD)).cloned().collect();
    let shard = store.topology().shards()[2].clone();
    let victim = index_of(cluster, &shard.primary);
    let replica = cluster.client(index_of(cluster, &shard.replicas[0])).await.unwrap();
    let over = AtomicBool::new(false);
    let killing = async {
        spell(size.pick(Duration::from_millis(500), Duration::from_secs(5))).await;
        cluster.kill_node(victim).unwrap();
        wait_until("the replica has taken over", SOON, || is_primary(&replica)).await;
        let taken_over = Instant::now();
        spell(size.pick(RECOVERED_WITHIN, Duration::from_secs(5))).await;
        over.store(true, Ordering::Release);
        taken_over
    };
    let writing = join_all(ids.iter().map(|id| write(&store, id.clone(), &over)));
    let (taken_over, written, older) = tokio::join!(killing, writing, watch(&store, &ids, &over));
    cluster.restart_node(victim).await.unwrap();

    let batch = store.batch_get_features(ids, names(&["n"]), LONG).await.unwrap();
    let mut wrong = older;
    for (row, written) in batch.rows().zip(&written) {
        let number = row.value(0).map_or(0, |text| std::str::from_utf8(text).unwrap().parse().unwrap());
        assert_eq!(row.id, &written.id);
        wrong += usize::from(number < written.newest || number > written.tried);
    }
    let tried: u64 = written.iter().map(|written| written.tried).sum();
    let refused = written.iter().map(|written| written.refused).sum();
    let tried = usize::try_from(tried).unwrap();
    let last = written.iter().filter_map(|written| written.last_failure).max();
    let recovered = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(taken_over));
    let longest = written.iter().map(|written| written.longest).max().unwrap();
    let outcome = Outcome {
        promise: 6,
        fault: "primary killed under streaming writes".to_owned(),
        batches: tried,
        rows: tried,
        found: tried - refused,
        unavailable: refused,
        wrong,
        longest,
        recovered: Some(recovered),
        notes: vec![format!(
            "one row a write; {refused} said to have failed, or perhaps to have; longest {}",
            ms(longest)
        )],
    };
    outcome.report();
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streaming_writes_survive_their_primary_and_never_go_back() {
    let canary = Canary::start();
    let outcome = on(Scenery::Failover, async |cluster| run(Size::of_this_run(), cluster).await).await;
    assert!(outcome.found > 0 && outcome.unavailable > 0, "{outcome:?}");
    outcome.assert_right_and_recovered(RECOVERED_WITHIN + canary.allowance());
}

//! Promise 8: deadlines are kept whatever happens, and a caller who goes away leaves nothing behind.

use std::time::{Duration, Instant};

use slotwise::devcluster::LocalCluster;
use slotwise::model::EntityId;
use slotwise::store::{ReadFrom, StoreOptions};

use super::load::{Load, Scene};
use super::outcome::{Outcome, ms};
use super::stage::{Scenery, Size, index_of, on, spell};
use super::{LATE_MAX, RECOVERED_WITHIN};
use crate::support::canary::Canary;
use crate::support::features::{names, options};
use crate::support::{SOON, wait_until};

/// What became of batches with random deadlines.
pub(crate) struct Kept {
    pub(crate) outcome: Outcome,
    pub(crate) late: Duration,
}

/// Batches with deadlines of 1 to 200 ms before, while and after a node hangs.
pub(crate) async fn random(size: Size, cluster: &LocalCluster) -> Vec<Kept> {
    let scene = Scene::on(cluster).await;
    let ways = [ReadFrom::Primary, ReadFrom::PrimaryThenReplica, ReadFrom::Nearest];
    let mut loads = Vec::new();
    let mut victim = 0;
    for read_from in ways {
        let store = scene.store(&cluster.urls(), StoreOptions { read_from, ..options() }).await;
        victim = index_of(cluster, &store.topology().shards()[0].primary);
        loads.push(Load::start(&store, &scene, &(1..=200)));
    }
    let stretch = size.pick(Duration::from_millis(500), Duration::from_secs(2));
    spell(stretch).await;
    cluster.pause_node(victim).unwrap();
    spell(2 * stretch).await;
    cluster.resume_node(victim).unwrap();
    spell(stretch).await;
    let mut kept = Vec::new();
    for (load, read_from) in loads.into_iter().zip(ways) {
        let samples = load.stop().await;
        let late = samples.late();
        let outcome = samples
            .outcome(8, format!("deadlines of 1 to 200 ms while a primary hangs, {read_from:?}"))
            .note(format!("latest answer {} after its deadline", ms(late)));
        outcome.report();
        kept.push(Kept { outcome, late });
    }
    kept
}

/// Callers go away while a node hangs; then it comes back.
pub(crate) async fn dropped(size: Size, cluster: &LocalCluster) -> Outcome {
    let scene = Scene::on(cluster).await;
    // Room for a few batches only: what is not given back is missed at once.
    let few = StoreOptions { read_from: ReadFrom::Primary, shard_commands_in_flight_max: 200, ..options() };
    let store = scene.store(&cluster.urls(), few).await;
    let ids: Vec<EntityId> = scene.ids[..300].to_vec();
    let read = |timeout: Duration| store.batch_get_features(ids.clone(), names(&["v"]), Some(timeout));
    assert_eq!(read(Duration::from_secs(1)).await.unwrap().summary().unavailable, 0);
    let victim = index_of(cluster, &store.topology().shards()[2].primary);
    cluster.pause_node(victim).unwrap();
    let callers = size.pick(50, 500);
    for number in 0..callers {
        let patience = Duration::from_millis(number % 20 + 1);
        let given_up = tokio::time::timeout(patience, read(Duration::from_secs(20))).await;
        assert!(given_up.is_err(), "the node hangs");
    }
    cluster.resume_node(victim).unwrap();
    let back = Instant::now();
    let found = || async { read(Duration::from_millis(500)).await.unwrap().summary().unavailable == 0 };
    wait_until("all rows are found", SOON, found).await;
    let recovered = back.elapsed();
    let batch = read(Duration::from_millis(500)).await.unwrap();
    let outcome = Outcome {
        promise: 8,
        fault: format!("{callers} callers go away while a primary hangs"),
        batches: 1,
        rows: ids.len(),
        found: ids.len() - batch.summary().unavailable,
        unavailable: batch.summary().unavailable,
        wrong: 0,
        longest: recovered,
        recovered: Some(recovered),
        notes: vec!["counted is the batch after them".to_owned()],
    };
    outcome.report();
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_of_any_length_are_kept_while_a_node_hangs() {
    let canary = Canary::start();
    let kept = on(Scenery::Steady, async |cluster| random(Size::of_this_run(), cluster).await).await;
    for Kept { outcome, late } in kept {
        assert_eq!(outcome.wrong, 0, "{outcome:?}");
        let allowance = canary.allowance();
        assert!(late <= LATE_MAX + allowance, "{late:?} {allowance:?} {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_go_away_leave_their_places_to_others() {
    let canary = Canary::start();
    let outcome = on(Scenery::Steady, async |cluster| dropped(Size::of_this_run(), cluster).await).await;
    outcome.assert_all_found();
    outcome.assert_right_and_recovered(RECOVERED_WITHIN + canary.allowance());
}

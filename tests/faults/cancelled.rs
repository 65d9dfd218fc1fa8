//! Batches that are given up before they are answered.

use std::time::{Duration, Instant};

use slotwise::store::StoreOptions;

use super::{Scene, cluster};
use crate::support::features::{kind, names, options, store_with};
use crate::support::{SOON, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_batch_gives_its_places_to_later_ones() {
    let cluster = cluster().await;
    let scene = Scene::new(&cluster).await;
    let options = StoreOptions { shard_commands_in_flight_max: 500, ..options() };
    let store = store_with(&cluster, kind(&scene.prefix), options).await;
    let node = cluster.addrs()[0].clone();
    let (away, others) = scene.split(&node);
    cluster.pause_node(0).unwrap();
    for _ in 0..10 {
        let reads: Vec<_> = (0..20)
            .map(|_| {
                let (store, ids) = (store.clone(), scene.ids.clone());
                let long = Some(Duration::from_secs(20));
                tokio::spawn(async move { store.batch_get_features(ids, names(&["v"]), long).await })
            })
            .collect();
        // The places on the stalled shard are taken; the others still answer at once.
        let asked = Instant::now();
        let limit = Some(Duration::from_secs(2));
        let batch = store.batch_get_features(others.clone(), names(&["v"]), limit).await.unwrap();
        assert_eq!(batch.summary().found, others.len());
        assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
        for read in reads {
            read.abort();
            assert!(read.await.unwrap_err().is_cancelled());
        }
    }
    cluster.resume_node(0).unwrap();
    let read = || async {
        let limit = Some(Duration::from_millis(500));
        store.batch_get_features(away.clone(), names(&["v"]), limit).await.unwrap().summary().found
    };
    wait_until("the places are free", SOON, || async { read().await == away.len() }).await;
    for _ in 0..20 {
        assert_eq!(read().await, away.len());
    }
}

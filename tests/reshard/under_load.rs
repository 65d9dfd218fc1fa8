//! Batches in a loop while the real `redis-cli` moves slots.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use slotwise::FeatureStore;
use slotwise::model::{EntityId, RowStatus};

use crate::support::features::{Oracle, assert_transport, feature, ids, kind, names, store, value_of};
use crate::support::slots::{reshard, wait_until_all_know};
use crate::support::{SOON, cluster, unique_prefix, wait_until};

const ENTITIES: usize = 20_000;
const BATCH: usize = 500;
const SLOTS: usize = 1_500;
/// Every so many ids, one has no entity.
const ABSENT_EVERY: usize = 50;

/// Reads batches over all ids until `done`, and at least all of them once; brings how many rows it read.
async fn read_all_the_while(
    store: &FeatureStore,
    ids: &[EntityId],
    done: &AtomicBool,
    stride: usize,
) -> usize {
    let mut rows = 0;
    for round in 0.. {
        // Another mix of ids in every batch, each id once a batch.
        let batch: Vec<EntityId> =
            (0..BATCH).map(|n| ids[(round * BATCH + n) * stride % ids.len()].clone()).collect();
        assert_eq!(batch.iter().collect::<HashSet<_>>().len(), BATCH);
        let timeout = Some(Duration::from_secs(10));
        let answer = store.batch_get_features(batch.clone(), names(&["v"]), timeout).await.unwrap();
        assert_eq!(answer.ids(), batch, "every row once, in the order asked");
        for row in answer.rows() {
            let number: usize = row.id[1..].parse().unwrap();
            let there = !number.is_multiple_of(ABSENT_EVERY);
            let expected = if there { RowStatus::Found } else { RowStatus::Missing };
            assert_eq!(row.status, expected, "{}: {:?}", row.id, row.reason);
            assert_eq!(row.value(0), there.then(|| value_of(row.id)).as_deref().map(str::as_bytes));
        }
        rows += BATCH;
        if done.load(Ordering::Acquire) && rows >= ids.len() {
            break;
        }
    }
    rows
}

/// Writes to one entity after the other until `done`; every write must be taken.
async fn write_all_the_while(store: &FeatureStore, ids: &[EntityId], done: &AtomicBool) -> usize {
    let mut writes = 0;
    while !done.load(Ordering::Acquire) {
        let id = &ids[(writes * 7 + 1) % ids.len()];
        store.update_streaming(id, &[feature("s", writes as u64)], Some(1_000)).await.unwrap();
        writes += 1;
    }
    writes
}

async fn assert_right_while(
    store: &FeatureStore,
    oracle: &Oracle,
    prefix: &str,
    moving: impl Future<Output = ()>,
) {
    let all = ids("u", 0..ENTITIES);
    let there: Vec<EntityId> = all
        .iter()
        .enumerate()
        .filter(|(n, _)| !n.is_multiple_of(ABSENT_EVERY))
        .map(|(_, id)| id.clone())
        .collect();
    oracle.fill(prefix, &there).await;
    let done = AtomicBool::new(false);
    let moving = async {
        moving.await;
        done.store(true, Ordering::Release);
    };
    let readers = [7, 13].map(|stride| read_all_the_while(store, &all, &done, stride));
    let writer = write_all_the_while(store, &there, &done);
    let ((), rows, writes) = tokio::join!(moving, futures::future::join_all(readers), writer);
    assert!(rows.iter().sum::<usize>() >= 2 * ENTITIES && writes > 0, "{rows:?} {writes}");
    // With the slots at rest, nothing is redirected any more, as soon as the last view of the cluster is a new one:
    // every batch that still meets a redirect asks for it.
    let no_key_is_sent_twice = async || {
        let before = oracle.hmgets().await;
        let timeout = Some(Duration::from_secs(10));
        let answer = store.batch_get_features(all.clone(), names(&["v"]), timeout).await.unwrap();
        assert_eq!(answer.summary().found, there.len());
        oracle.hmgets().await - before <= (ENTITIES + ENTITIES / 5) as u64
    };
    wait_until("no key is sent twice", SOON, no_key_is_sent_twice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_is_lost_or_wrong_while_slots_move_between_shards() {
    let (cluster, prefix) = (cluster(3, 0).await, unique_prefix());
    let oracle = Oracle::of(&cluster).await;
    let store = store(&cluster, kind(&prefix)).await;
    assert_right_while(&store, &oracle, &prefix, reshard(oracle.node(0), oracle.node(1), SLOTS)).await;
    cluster.wait_until_agreed(SOON).await.unwrap();
    assert_transport(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_is_lost_or_wrong_while_a_new_node_gets_its_first_slots() {
    let (old, new) = tokio::join!(cluster(3, 0), cluster(1, 0));
    let prefix = unique_prefix();
    let mut oracle = Oracle::of(&old).await;
    let store = store(&old, kind(&prefix)).await;

    // A node that was never in this cluster, without slots, joins; the store is not told.
    let joining = new.client(0).await.unwrap();
    joining.call(&["CLUSTER", "RESET", "HARD"]).await.unwrap();
    let ports = [new.nodes()[0].addr().port, new.nodes()[0].bus_port()].map(|port| port.to_string());
    oracle.node(0).call(&["CLUSTER", "MEET", "127.0.0.1", &ports[0], &ports[1]]).await.unwrap();
    let nodes = [oracle.node(0), oracle.node(1), oracle.node(2), &joining];
    wait_until_all_know(&nodes, 4, SOON).await;
    oracle.add(new.client(0).await.unwrap());

    assert_eq!(store.topology().shards().len(), 3);
    assert_right_while(&store, &oracle, &prefix, reshard(oracle.node(0), &joining, SLOTS)).await;
    assert_eq!(store.topology().shards().len(), 4, "the new node is a shard now");
    assert_eq!(store.count_entities().await.unwrap(), (ENTITIES - ENTITIES / ABSENT_EVERY) as u64);
}

//! Which connections there are, as the nodes see them, and when they end.

use std::sync::Arc;

use futures::future::join_all;
use slotwise::devcluster::LocalCluster;
use slotwise::shard::{LaneTransport, ShardTransport, Target};
use slotwise::slot::Slot;
use slotwise::store::{StoreOptions, Transport};
use tokio::sync::Notify;

use super::peer::{Conn, Peer};
use super::support::features::{LANE, Oracle, assert_filled, ids, kind, names, store_with};
use super::support::slots::MovingSlot;
use super::support::{SOON, cluster, unique_prefix, wait_until};
use super::{at, connect, read, values, values_of};

/// Lanes that one node sees.
async fn lanes_to(cluster: &LocalCluster, index: usize) -> usize {
    let clients = cluster.client(index).await.unwrap().call(&["CLIENT", "LIST"]).await.unwrap();
    clients.as_str().unwrap().matches(LANE).count()
}

#[tokio::test]
async fn every_primary_sees_as_many_lanes_as_configured_and_none_when_the_store_is_dropped() {
    let cluster = cluster(2, 0).await;
    let (prefix, asked) = (unique_prefix(), ids("u", 0..100));
    Oracle::of(&cluster).await.fill(&prefix, &asked).await;
    for per_node in [1, 3] {
        let options = StoreOptions { transport: Transport::Lanes { per_node }, ..StoreOptions::default() };
        let store = store_with(&cluster, kind(&prefix), options).await;
        let read = || store.batch_get_features(asked.clone(), names(&["v"]), None);
        for _ in 0..5 {
            for batch in join_all((0..20).map(|_| read())).await {
                assert_filled(&batch.unwrap());
            }
        }
        for index in 0..2 {
            assert_eq!(lanes_to(&cluster, index).await, per_node, "{per_node} per node");
        }
        drop(store);
        let gone = || async { lanes_to(&cluster, 0).await + lanes_to(&cluster, 1).await == 0 };
        wait_until("no lane is left", SOON, gone).await;
    }
}

#[tokio::test]
async fn a_lane_that_the_node_closes_is_opened_again() {
    let cluster = cluster(1, 0).await;
    let (prefix, asked) = (unique_prefix(), ids("u", 0..100));
    Oracle::of(&cluster).await.fill(&prefix, &asked).await;
    let store = store_with(&cluster, kind(&prefix), StoreOptions::default()).await;
    let node = cluster.client(0).await.unwrap();
    for _ in 0..5 {
        assert_filled(&store.batch_get_features(asked.clone(), names(&["v"]), None).await.unwrap());
        node.call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
    }
    assert_filled(&store.batch_get_features(asked, names(&["v"]), None).await.unwrap());
    assert_eq!(lanes_to(&cluster, 0).await, 1);
}

#[tokio::test]
async fn lanes_to_nodes_that_left_the_topology_end_when_they_have_answered() {
    let answer_now = Arc::new(Notify::new());
    let told = Arc::clone(&answer_now);
    let peer = Peer::start(move |mut conn: Conn| {
        let told = Arc::clone(&told);
        async move {
            conn.log_in().await;
            while let Some(key) = conn.key().await {
                told.notified().await;
                conn.answer(&key).await;
            }
        }
    })
    .await;
    let servers = cluster(2, 0).await;
    let connected = connect(&servers, |_| {}).await;
    let lanes = LaneTransport::new(connected.clone(), 1);
    let (there, gone) = (lanes.topology().shards()[0].clone(), at(&peer.addr));
    let under_way = async {
        let rows = read(&lanes, &gone, &["k"]).await.unwrap();
        assert_eq!(values(&rows), values_of(&["k"]));
    };
    let leaving = async {
        wait_until("the peer was asked", SOON, || async { peer.commands() == 1 }).await;
        let before = connected.topology().since();
        let (from, to) = (servers.client(0).await.unwrap(), servers.client(1).await.unwrap());
        let moving = MovingSlot { slot: Slot::new(0).unwrap(), from: &from, to: &to };
        moving.begin().await;
        moving.end(&[]).await;
        // Whoever plans a read looks at the topology first.
        wait_until("another topology, in which the peer is not", SOON, || async {
            lanes.request_refresh();
            lanes.topology().since() > before
        })
        .await;
        read(&lanes, &Target::Shard(there), &["k"]).await.unwrap();
        assert_eq!(peer.open(), 1, "what is under way goes on");
        answer_now.notify_one();
    };
    tokio::join!(under_way, leaving);
    wait_until("the lane is closed", SOON, || async { peer.open() == 0 }).await;
    assert_eq!(peer.accepted(), 1);
}

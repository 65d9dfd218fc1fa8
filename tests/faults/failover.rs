//! A replica takes over: by order while reads go on, and because its primary is gone.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Scene;
use crate::support::features::assert_filled;
use crate::support::{SOON, cluster, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_takes_over_is_found_without_a_new_store() {
    let mut cluster = cluster(3, 1).await;
    let scene = Scene::new(&cluster).await;
    let (primary, replica) = (cluster.client(0).await.unwrap(), cluster.client(3).await.unwrap());
    let primaries =
        || scene.store.topology().shards().iter().map(|shard| shard.primary.clone()).collect::<Vec<_>>();
    assert!(primaries().contains(primary.addr()) && !primaries().contains(replica.addr()));
    let role = async |word: &str| {
        let role = replica.call(&["ROLE"]).await.unwrap().into_array().unwrap();
        role[0].as_str() == Some(word)
    };
    let synced = || async {
        let info = replica.call(&["INFO", "replication"]).await.unwrap();
        info.as_str().unwrap().contains("master_sync_in_progress:0")
            && scene.replicated(&primary, &replica).await
    };
    wait_until("the replica has every write", SOON, synced).await;

    let done = AtomicBool::new(false);
    let reading = async {
        while !done.load(Ordering::Acquire) {
            assert_filled(&scene.read(5_000).await);
        }
    };
    let taking_over = async {
        replica.call(&["CLUSTER", "FAILOVER"]).await.unwrap();
        wait_until("the replica is the primary", SOON, || role("master")).await;
        wait_until("the store knows", SOON, || async { primaries().contains(replica.addr()) }).await;
        done.store(true, Ordering::Release);
    };
    tokio::join!(reading, taking_over);

    cluster.wait_until_agreed(SOON).await.unwrap();
    cluster.kill_node(3).unwrap();
    wait_until("the first one has taken over again", SOON, || async {
        scene.read(500).await.summary().found == 600
    })
    .await;
    // Rows are found by redirect first; the topology follows.
    let knows = || async { primaries().contains(primary.addr()) && !primaries().contains(replica.addr()) };
    wait_until("the store knows the first one again", SOON, knows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_primary_is_left_for_its_replica_also_by_callers_of_little_patience() {
    let cluster = cluster(3, 1).await;
    let scene = Scene::new(&cluster).await;
    let (primary, replica) = (cluster.client(0).await.unwrap(), cluster.client(3).await.unwrap());
    wait_until("the replica has every write", SOON, || scene.replicated(&primary, &replica)).await;
    cluster.pause_node(0).unwrap();
    let takes_over = || async {
        let role = replica.call(&["ROLE"]).await.unwrap().into_array().unwrap();
        role[0].as_str() == Some("master")
    };
    wait_until("the replica is the primary", SOON, takes_over).await;
    // Nobody waits for as long as it takes to find out that a connection is dead.
    wait_until("rows are found at the replica", SOON, || async {
        scene.read(50).await.summary().found == 600
    })
    .await;
    cluster.resume_node(0).unwrap();
    wait_until("rows are found at once", SOON, || async { scene.read(50).await.summary().found == 600 })
        .await;
}

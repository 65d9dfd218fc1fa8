//! Reads of a replica, over both transports.

use slotwise::shard::{ClusterTransport, KeyFault, LaneTransport, ShardTransport, Target};

use super::support::{SOON, cluster, wait_until};
use super::{at, connect, read, values};

#[tokio::test]
async fn a_replica_answers_from_its_copy_when_it_is_asked_as_one_and_redirects_otherwise() {
    let servers = cluster(3, 1).await;
    let (primary, replica) = (servers.client(0).await.unwrap(), servers.client(3).await.unwrap());
    let node_of = |key: &str| slotwise::slot::Slot::for_key(key.as_bytes());
    let connected = connect(&servers, |_| {}).await;
    let topology = connected.topology();
    let ours = |key: &String| topology.shard_of(node_of(key)).unwrap().primary == *primary.addr();
    let keys: Vec<String> = (0..500).map(|number| format!("k{number}")).filter(ours).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert!(keys.len() > 50);
    for key in &keys {
        primary.call(&["HSET", key, "v", key]).await.unwrap();
    }
    let count =
        async |node: &slotwise::shard::node::NodeClient| node.call(&["DBSIZE"]).await.unwrap().as_i64();
    wait_until("the replica has every key", SOON, || async {
        count(&primary).await == count(&replica).await
    })
    .await;

    let lanes = LaneTransport::new(connected.clone(), 1);
    let driver = ClusterTransport::connect(connected).await.unwrap();
    let expected: Vec<_> = keys.iter().map(|key| Some((*key).to_owned())).collect();
    for transport in [&lanes as &dyn ShardTransport, &driver] {
        let rows = read(transport, &Target::Replica(replica.addr().clone()), &keys).await.unwrap();
        assert_eq!(rows.node, *replica.addr());
        assert_eq!(values(&rows), expected, "{transport:?}");
        // The same node as a primary: it knows better.
        let rows = read(transport, &at(replica.addr()), &keys).await.unwrap();
        let moved = KeyFault::Moved(primary.addr().clone());
        assert!(rows.faults.iter().all(|(_, fault)| *fault == moved), "{:?}", rows.faults);
        assert_eq!(rows.faults.len(), keys.len());
        // Neither spoils the other.
        let rows = read(transport, &Target::Replica(replica.addr().clone()), &keys).await.unwrap();
        assert_eq!(values(&rows), expected, "{transport:?}");
    }
}

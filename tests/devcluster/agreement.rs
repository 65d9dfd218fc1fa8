//! A start returns once every node agrees, and nodes can be killed, paused and brought back.

use slotwise::devcluster::{ClusterSpec, DevClusterError, LocalCluster, NodeRole};
use slotwise::shard::node::{NodeClient, NodeOptions};

use crate::support::certs::Certs;
use crate::support::{SOON, cluster, redis_cli_at, server, shared_cluster, start, unique_prefix, wait_until};

/// What `redis-cli --cluster check` says, asked of every node: an oracle that shares no code with ours.
async fn assert_redis_cli_agrees(cluster: &LocalCluster) {
    for addr in cluster.addrs() {
        let said = redis_cli_at(&addr, &["--cluster", "check", &addr.to_string()]).await;
        assert!(said.contains("[OK] All nodes agree about slots configuration"), "{said}");
        assert!(said.contains("[OK] All 16384 slots covered"), "{said}");
        let info = redis_cli_at(&addr, &["CLUSTER", "INFO"]).await;
        assert!(info.contains("cluster_state:ok"), "{info}");
        assert!(info.contains(&format!("cluster_known_nodes:{}", cluster.nodes().len())), "{info}");
    }
}

#[tokio::test]
async fn every_node_of_one_shard_agrees() {
    let cluster = cluster(1, 0).await;
    assert_eq!(cluster.nodes().len(), 1);
    assert_redis_cli_agrees(&cluster).await;
}

#[tokio::test]
async fn every_node_of_two_shards_with_replicas_and_tls_agrees_and_nothing_speaks_plain_text() {
    let certs = Certs::new();
    let tls = Some(certs.of_nodes(true));
    let cluster = start(ClusterSpec { tls, replicas: 1, ..ClusterSpec::new(server().await, 2) }).await;
    assert!(cluster.urls().starts_with("rediss://127.0.0.1:"), "{}", cluster.urls());
    for (index, addr) in cluster.addrs().iter().enumerate() {
        let info = cluster.client(index).await.unwrap().call(&["INFO", "replication"]).await.unwrap();
        let well = if index < 2 { "connected_slaves:1" } else { "role:slave" };
        assert!(info.as_str().unwrap().contains(well), "{info:?}");
        NodeClient::connect(addr, &NodeOptions::default()).await.unwrap().call(&["PING"]).await.unwrap_err();
    }
    let error = cluster.detach().unwrap_err().to_string();
    assert!(error.contains("TLS"), "{error}");
}

#[tokio::test]
async fn every_node_of_two_shards_with_two_replicas_each_agrees() {
    let cluster = cluster(2, 2).await;
    assert_eq!(cluster.nodes().len(), 6);
    assert_redis_cli_agrees(&cluster).await;
}

#[tokio::test]
async fn replicas_are_linked_when_the_start_returns() {
    let cluster = cluster(3, 1).await;
    assert_redis_cli_agrees(&cluster).await;
    let roles: Vec<_> = cluster.nodes().iter().map(|node| (node.role(), node.shard())).collect();
    let of = |role| (0..3).map(move |shard| (role, shard));
    assert_eq!(roles, of(NodeRole::Primary).chain(of(NodeRole::Replica)).collect::<Vec<_>>());
    for node in cluster.nodes().iter().filter(|node| node.role() == NodeRole::Replica) {
        let info = redis_cli_at(node.addr(), &["INFO", "replication"]).await;
        let primary = cluster.nodes()[node.shard()].addr().port;
        assert!(info.contains("master_link_status:up"), "{info}");
        assert!(info.contains(&format!("master_port:{primary}\r\n")), "{info}");
    }
}

#[tokio::test]
async fn tests_of_one_process_share_a_cluster() {
    let (one, other) = tokio::join!(shared_cluster(), shared_cluster());
    assert!(std::ptr::eq(one, other));
    assert_ne!(unique_prefix(), unique_prefix());
    let urls = one.urls();
    assert_eq!(urls.split(',').filter(|url| url.starts_with("redis://127.0.0.1:")).count(), 3, "{urls}");
}

#[tokio::test]
async fn a_password_is_honoured() {
    let mut spec = ClusterSpec { replicas: 1, ..ClusterSpec::new(server().await, 1) };
    spec.extra_config.push(("requirepass".to_owned(), "not-shown".to_owned()));
    let cluster = start(spec).await;
    assert!(cluster.client(0).await.unwrap().call(&["PING"]).await.is_ok());
    let said = redis_cli_at(&cluster.addrs()[0], &["PING"]).await;
    assert!(said.contains("NOAUTH"), "{said}");
}

#[tokio::test]
async fn a_killed_node_comes_back_and_a_paused_one_goes_on() {
    let mut cluster = cluster(3, 0).await;
    let before = cluster.nodes()[1].pid().unwrap();
    cluster.kill_node(1).unwrap();
    assert!(cluster.kill_node(1).unwrap_err().to_string().contains("not running"));
    assert_eq!(cluster.nodes()[1].pid(), None);
    cluster.restart_node(1).await.unwrap();
    assert_ne!(cluster.nodes()[1].pid(), Some(before));
    assert!(cluster.restart_node(1).await.unwrap_err().to_string().contains("running"));
    cluster.wait_until_agreed(SOON).await.unwrap();

    cluster.pause_node(2).unwrap();
    let first = cluster.client(0).await.unwrap();
    wait_until("the others see the paused node failing", SOON, || async {
        first.call(&["CLUSTER", "NODES"]).await.unwrap().as_str().unwrap().contains("fail")
    })
    .await;
    cluster.resume_node(2).unwrap();
    cluster.wait_until_agreed(SOON).await.unwrap();
    assert!(matches!(cluster.kill_node(3), Err(DevClusterError::NoSuchNode { index: 3, count: 3 })));
}

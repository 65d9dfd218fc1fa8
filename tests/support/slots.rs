//! Slots on their way from one node to another: by hand, step by step, and with the real `redis-cli`.

use std::process::Stdio;
use std::time::Duration;

use slotwise::shard::Reply;
use slotwise::shard::node::NodeClient;
use slotwise::slot::{NodeAddr, Slot};

use super::{redis_cli, wait_until};

/// A node's id in its cluster.
pub(crate) async fn node_id(node: &NodeClient) -> String {
    node.call(&["CLUSTER", "MYID"]).await.unwrap().as_str().unwrap().to_owned()
}

/// The keys of a slot on a node.
pub(crate) async fn keys_in(node: &NodeClient, slot: Slot) -> Vec<Vec<u8>> {
    let slot = slot.number().to_string();
    let keys = node.call(&["CLUSTER", "GETKEYSINSLOT", &slot, "100000"]).await.unwrap().into_array().unwrap();
    keys.iter().map(|key| key.as_bytes().unwrap().to_vec()).collect()
}

/// One slot that is being moved by hand.
pub(crate) struct MovingSlot<'a> {
    pub(crate) slot: Slot,
    pub(crate) from: &'a NodeClient,
    pub(crate) to: &'a NodeClient,
}

impl MovingSlot<'_> {
    async fn set(&self, node: &NodeClient, words: &[&str]) {
        let slot = self.slot.number().to_string();
        let command = [&["CLUSTER", "SETSLOT", &slot], words].concat();
        let reply = node.call(&command).await.unwrap();
        assert_eq!(reply.as_str(), Some("OK"), "{command:?}");
    }

    /// The first step: importing there, migrating here.
    pub(crate) async fn begin(&self) {
        self.set(self.to, &["IMPORTING", &node_id(self.from).await]).await;
        self.set(self.from, &["MIGRATING", &node_id(self.to).await]).await;
    }

    /// Moves some keys.
    pub(crate) async fn migrate(&self, keys: &[Vec<u8>]) {
        let NodeAddr { host, port } = self.to.addr();
        let port = port.to_string();
        for key in keys {
            let command: [&[u8]; 6] = [b"MIGRATE", host.as_bytes(), port.as_bytes(), key, b"0", b"5000"];
            assert_eq!(self.from.call(&command).await.unwrap(), Reply::Text("OK".to_owned()));
        }
    }

    /// The last step: the new owner is told to all nodes, the new one first.
    pub(crate) async fn end(&self, others: &[&NodeClient]) {
        let id = node_id(self.to).await;
        for node in [self.to, self.from].iter().chain(others) {
            self.set(node, &["NODE", &id]).await;
        }
    }
}

/// Moves `slots` slots between two nodes with `redis-cli --cluster reshard`.
pub(crate) async fn reshard(from: &NodeClient, to: &NodeClient, slots: usize) {
    let (from_id, to_id) = (node_id(from).await, node_id(to).await);
    let mut command = tokio::process::Command::new(redis_cli().await);
    command.args(["--cluster", "reshard", &from.addr().to_string(), "--cluster-from", &from_id]);
    command.args(["--cluster-to", &to_id, "--cluster-slots", &slots.to_string(), "--cluster-yes"]);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().rev().take(5).collect::<Vec<_>>().join("\n");
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// Waits until every node knows `count` nodes, none of them in trouble, and says that the cluster is ok.
pub(crate) async fn wait_until_all_know(nodes: &[&NodeClient], count: usize, limit: Duration) {
    let knows = async |node: &NodeClient| {
        let seen = node.call(&["CLUSTER", "NODES"]).await.unwrap();
        let info = node.call(&["CLUSTER", "INFO"]).await.unwrap();
        let seen = seen.as_str().unwrap();
        let well =
            seen.lines().filter(|line| line.contains(" connected") && !line.contains("handshake")).count();
        well == count && info.as_str().unwrap().contains("cluster_state:ok")
    };
    wait_until("every node knows all others", limit, || async {
        for node in nodes {
            if !knows(node).await {
                return false;
            }
        }
        true
    })
    .await;
}

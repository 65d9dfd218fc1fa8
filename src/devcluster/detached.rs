//! How a detached cluster is doing, and how it is stopped.
//!
//! A process is signalled only while it runs in the folder of its node, and asked to end only after it named
//! itself with the number and the run id that were recorded.

use std::path::Path;

use futures::future::join_all;
use nix::sys::signal::Signal;

use super::error::DevClusterError;
use super::form::view;
use super::limits::{KILL_TIMEOUT, SHUTDOWN_TIMEOUT, STATUS_TIMEOUT};
use super::node::{Deadline, NodeRole, identity, send};
use super::state::{ClusterState, NodeState, read_state};
use super::view::{SeenNode, View, agreement};
use crate::shard::node::{NodeClient, NodeError, NodeOptions};
use crate::slot::NodeAddr;

/// How a detached cluster is doing.
#[derive(Debug, Clone)]
pub struct ClusterStatus {
    /// What was started.
    pub state: ClusterState,
    /// Each server, in the order it was started.
    pub nodes: Vec<NodeStatus>,
    /// Why the cluster is not ok; absent where it is.
    pub degraded: Option<String>,
}

/// How one server is doing.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// Where clients reach it.
    pub addr: NodeAddr,
    /// Its process.
    pub pid: u32,
    /// Does the process run?
    pub alive: bool,
    /// What it is now; absent where it does not answer.
    pub role: Option<NodeRole>,
    /// Slots that it owns.
    pub slots: usize,
    /// Keys that it holds.
    pub keys: i64,
}

/// What `down` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downed {
    /// Servers that ended when asked to.
    pub stopped: usize,
    /// Servers that had to be killed.
    pub killed: usize,
    /// Servers that were gone already.
    pub gone: usize,
}

enum Ending {
    Stopped,
    Killed,
    Gone,
}

/// Asks every server of the cluster in `dir`.
pub async fn status(dir: &Path) -> Result<ClusterStatus, DevClusterError> {
    let state = read_state(dir)?.ok_or_else(|| DevClusterError::NoCluster { dir: dir.to_owned() })?;
    let asked = join_all(state.nodes.iter().map(|node| ask(&state, node))).await;
    let mut nodes = Vec::with_capacity(asked.len());
    let mut views = Vec::with_capacity(asked.len());
    let mut degraded = None;
    for (status, answer) in asked {
        match answer {
            Ok(view) => views.push((status.addr.clone(), view)),
            Err(why) => degraded = degraded.or(Some(why)),
        }
        nodes.push(status);
    }
    let degraded = degraded.or_else(|| agreement(&views).err());
    Ok(ClusterStatus { state, nodes, degraded })
}

/// Stops the cluster in `dir` and removes its files. `None` where there is none.
pub async fn down(dir: &Path) -> Result<Option<Downed>, DevClusterError> {
    let Some(state) = read_state(dir)? else {
        return Ok(None);
    };
    let mut done = Downed { stopped: 0, killed: 0, gone: 0 };
    for ending in join_all(state.nodes.iter().map(|node| end(&state, node))).await {
        match ending? {
            Ending::Stopped => done.stopped += 1,
            Ending::Killed => done.killed += 1,
            Ending::Gone => done.gone += 1,
        }
    }
    state.remove_files()?;
    Ok(Some(done))
}

async fn ask(state: &ClusterState, node: &NodeState) -> (NodeStatus, Result<View, String>) {
    let addr = node.addr();
    let alive = state.runs(node);
    let mut status = NodeStatus { addr: addr.clone(), pid: node.pid, alive, role: None, slots: 0, keys: 0 };
    if !alive {
        let why = format!("{addr}: its process {} is gone", node.pid);
        return (status, Err(why));
    }
    match look(&addr, node).await {
        Ok(Some((view, keys))) => {
            let me = view.me().map(|(_, me)| me.clone());
            status.slots = me.as_ref().map_or(0, SeenNode::slot_count);
            status.role = me.map(|me| match me.replica_of {
                Some(_) => NodeRole::Replica,
                None => NodeRole::Primary,
            });
            status.keys = keys;
            (status, Ok(view))
        }
        Ok(None) => (status, Err(format!("{addr}: another server answers on its port"))),
        Err(error) => (status, Err(error.to_string())),
    }
}

async fn look(addr: &NodeAddr, node: &NodeState) -> Result<Option<(View, i64)>, NodeError> {
    let Some(client) = recognised(addr, node).await? else {
        return Ok(None);
    };
    let view = view(&client).await?;
    let keys = client.call(&["DBSIZE"]).await?.as_i64().unwrap_or(0);
    Ok(Some((view, keys)))
}

/// A connection to the node, if it is the server that was recorded.
async fn recognised(addr: &NodeAddr, node: &NodeState) -> Result<Option<NodeClient>, NodeError> {
    let options = NodeOptions {
        connect_timeout: STATUS_TIMEOUT,
        response_timeout: STATUS_TIMEOUT,
        ..NodeOptions::default()
    };
    let (client, who) = identity(addr, &options).await?;
    Ok((who.pid == node.pid && who.run_id == node.run_id).then_some(client))
}

async fn end(state: &ClusterState, node: &NodeState) -> Result<Ending, DevClusterError> {
    if !state.runs(node) {
        return Ok(Ending::Gone);
    }
    if let Ok(Some(client)) = recognised(&node.addr(), node).await {
        // Its answer is the end of the connection. NOW: no waiting for replicas, which end too.
        let _ = client.call(&["SHUTDOWN", "NOSAVE", "NOW"]).await;
        if gone(state, node, Deadline::after(SHUTDOWN_TIMEOUT)).await.is_ok() {
            return Ok(Ending::Stopped);
        }
    }
    if !state.runs(node) {
        return Ok(Ending::Stopped);
    }
    let (port, pid) = (node.port, node.pid);
    send(pid, Signal::SIGKILL).map_err(|reason| DevClusterError::Signal { port, pid, reason })?;
    let limit_s = KILL_TIMEOUT.as_secs();
    gone(state, node, Deadline::after(KILL_TIMEOUT)).await.map_err(|_| DevClusterError::NotGone {
        port,
        pid,
        limit_s,
    })?;
    Ok(Ending::Killed)
}

async fn gone(state: &ClusterState, node: &NodeState, deadline: Deadline) -> Result<(), DevClusterError> {
    while state.runs(node) {
        deadline.pause(|| format!("{}: process {} still runs", node.addr(), node.pid)).await?;
    }
    Ok(())
}

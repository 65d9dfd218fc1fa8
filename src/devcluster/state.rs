//! The state file of a detached cluster: what was started, so that it can be found, asked and stopped later.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::DevClusterError;
use super::folder::{failed, node_folder, remove_tree};
use super::limits::STATE_BYTES_MAX;
use super::node::{LocalNode, NodeRole};
use super::process::runs_in;
use super::server_binary::ServerVersion;
use super::spec::ClusterSpec;
use crate::slot::NodeAddr;

/// Name of the state file in the folder of the cluster.
pub(super) const STATE_FILE: &str = "cluster.json";
/// Changes whenever an older version could misread the file.
const FORMAT: u32 = 1;

/// A detached cluster, as it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterState {
    format: u32,
    /// Primaries.
    pub shards: usize,
    /// Replicas of each.
    pub replicas: usize,
    /// The server it runs.
    pub server: ServerVersion,
    /// Was the folder itself made for it?
    pub(super) dir_made: bool,
    /// The servers, primaries first.
    pub nodes: Vec<NodeState>,
    /// The folder; where the file is, so not in it.
    #[serde(skip)]
    pub(super) dir: PathBuf,
}

/// One server of a detached cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeState {
    /// Port for clients.
    pub port: u16,
    /// Port of the cluster bus.
    pub bus_port: u16,
    /// What it was started as.
    pub role: NodeRole,
    /// The shard it was started for, from 0.
    pub shard: usize,
    /// Its process.
    pub pid: u32,
    /// The id that the server gave itself.
    pub run_id: String,
}

impl NodeState {
    /// Where clients reach it.
    pub fn addr(&self) -> NodeAddr {
        NodeAddr::new("127.0.0.1", self.port)
    }
}

impl ClusterState {
    pub(super) fn of(spec: &ClusterSpec, dir: &Path, dir_made: bool, nodes: &[LocalNode]) -> Self {
        let node = |node: &LocalNode| NodeState {
            port: node.addr().port,
            bus_port: node.bus_port(),
            role: node.role(),
            shard: node.shard(),
            pid: node.pid().unwrap_or(0),
            run_id: node.run_id().to_owned(),
        };
        Self {
            format: FORMAT,
            shards: spec.shards,
            replicas: spec.replicas,
            server: spec.server.version(),
            dir_made,
            nodes: nodes.iter().map(node).collect(),
            dir: dir.to_owned(),
        }
    }

    /// The folder of the cluster.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What `--redis-url` takes.
    pub fn urls(&self) -> String {
        let addrs: Vec<NodeAddr> = self.nodes.iter().map(NodeState::addr).collect();
        super::cluster::urls("redis", addrs.iter())
    }

    /// Does the process that was started for this node still run?
    pub(super) fn runs(&self, node: &NodeState) -> bool {
        runs_in(node.pid, &node_folder(&self.dir, node.port))
    }

    /// How many of the servers run.
    pub fn running(&self) -> usize {
        self.nodes.iter().filter(|node| self.runs(node)).count()
    }

    /// Removes the files of the cluster, none of whose servers runs.
    pub(super) fn remove_files(&self) -> Result<(), DevClusterError> {
        for node in &self.nodes {
            remove_tree(&node_folder(&self.dir, node.port))?;
        }
        remove_tree(&self.dir.join(STATE_FILE))?;
        if self.dir_made {
            // Stays where somebody else put something into it.
            let _ = std::fs::remove_dir(&self.dir);
        }
        Ok(())
    }
}

/// The cluster that was detached in `dir`, whether or not it still runs.
pub fn read_state(dir: &Path) -> Result<Option<ClusterState>, DevClusterError> {
    let path = dir.join(STATE_FILE);
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(&path, "read it")(error)),
    };
    let mut text = String::new();
    file.take(STATE_BYTES_MAX).read_to_string(&mut text).map_err(failed(&path, "read it"))?;
    let wrong = |reason: String| DevClusterError::State { path: path.clone(), reason };
    let mut state: ClusterState = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if state.format != FORMAT {
        return Err(wrong(format!("its format is {}, this one reads {FORMAT}", state.format)));
    }
    state.dir = dir.canonicalize().map_err(failed(dir, "use the folder"))?;
    Ok(Some(state))
}

/// Writes the state file in one step, so that nobody reads half of it.
pub(super) fn write_state(path: &Path, state: &ClusterState) -> Result<(), DevClusterError> {
    let draft = path.with_extension("json.new");
    let text = serde_json::to_string_pretty(state)
        .map_err(|error| DevClusterError::State { path: path.to_owned(), reason: error.to_string() })?;
    let written = std::fs::write(&draft, text + "\n").and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written.map_err(failed(path, "write the state"))
}

/// Clears away a cluster in `dir` whose servers are all gone, such as after a restart of the machine. Says so if
/// any of them runs.
pub fn sweep_stale(dir: &Path) -> Result<bool, DevClusterError> {
    let Some(state) = read_state(dir)? else {
        return Ok(false);
    };
    let running = state.running();
    if running > 0 {
        return Err(DevClusterError::AlreadyUp { dir: dir.to_owned(), running, nodes: state.nodes.len() });
    }
    state.remove_files()?;
    Ok(true)
}

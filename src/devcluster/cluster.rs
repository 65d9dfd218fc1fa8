//! A cluster that its owner holds: it starts as a whole or not at all, and ends with its owner.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::try_join_all;
use nix::sys::signal::Signal;

use super::error::DevClusterError;
use super::folder::ClusterFolder;
use super::form::{all_agree, form};
use super::guard::Guard;
use super::limits::{CALL_TIMEOUT, START_ATTEMPTS_MAX};
use super::node::{Deadline, LocalNode, NodeRole};
use super::ports::{self, NodePorts};
use super::process::{launch, write_config};
use super::spec::{ClusterSpec, ClusterTls};
use super::state::{ClusterState, STATE_FILE, write_state};
use crate::shard::node::{NodeClient, NodeOptions};
use crate::slot::NodeAddr;

/// A local cluster. Dropping it kills its servers and removes what it made; so does the guard process, where
/// the owner is killed or leaves without dropping it.
#[derive(Debug)]
pub struct LocalCluster {
    spec: ClusterSpec,
    // How to reach the servers.
    options: NodeOptions,
    // Primaries first, in the order of their shards.
    nodes: Vec<LocalNode>,
    folder: ClusterFolder,
    guard: Guard,
    over: bool,
}

impl LocalCluster {
    /// Starts the servers, makes one cluster of them and waits until every node agrees that it is ok.
    ///
    /// May be dropped half way: nothing is left then either.
    pub async fn start(spec: ClusterSpec) -> Result<Self, DevClusterError> {
        spec.validate()?;
        if spec.tls.is_some() && !spec.server.has_tls().await {
            return Err(DevClusterError::NoTls { server: spec.server.path().to_owned() });
        }
        let mut attempt = 1;
        loop {
            let ports = match spec.first_port {
                Some(first) => ports::given(first, spec.node_count())?,
                None => ports::free(spec.node_count())?,
            };
            match Box::pin(Self::start_on(spec.clone(), &ports)).await {
                Err(error)
                    if error.is_port_clash() && spec.first_port.is_none() && attempt < START_ATTEMPTS_MAX =>
                {
                    tracing::debug!(%error, attempt, "a free port was taken meanwhile");
                    attempt += 1;
                }
                started => return started,
            }
        }
    }

    async fn start_on(spec: ClusterSpec, ports: &[NodePorts]) -> Result<Self, DevClusterError> {
        let mut cluster = Self::prepare(spec, ports)?;
        let deadline = Deadline::after(cluster.spec.start_timeout);
        for index in 0..cluster.nodes.len() {
            cluster.launch_node(index)?;
        }
        let Self { options, nodes, .. } = &mut cluster;
        let clients = try_join_all(nodes.iter_mut().map(|node| node.answers(options, deadline))).await?;
        form(&mut cluster.nodes, &clients, cluster.spec.shards, deadline).await?;
        Ok(cluster)
    }

    /// Makes the folders and configurations of all nodes. Starts no server.
    fn prepare(spec: ClusterSpec, ports: &[NodePorts]) -> Result<Self, DevClusterError> {
        let options = node_options(&spec)?;
        let shown = spec.dir.clone().unwrap_or_else(std::env::temp_dir);
        let mut guard = Guard::start(&shown)?;
        let folder = match &spec.dir {
            Some(dir) => ClusterFolder::given(dir, &mut guard),
            None => ClusterFolder::temporary(&mut guard),
        };
        let folder = match folder {
            Ok(folder) => folder,
            Err(error) => {
                guard.dismiss();
                return Err(error);
            }
        };
        let mut cluster = Self { spec, options, nodes: Vec::new(), folder, guard, over: false };
        for (index, &ports) in ports.iter().enumerate() {
            let (shards, replicas) = (cluster.spec.shards, cluster.spec.replicas);
            let (role, shard) = match index.checked_sub(shards) {
                None => (NodeRole::Primary, index),
                Some(replica) => (NodeRole::Replica, replica / replicas.max(1)),
            };
            let folder = cluster.folder.make_node(ports.client, &mut cluster.guard)?;
            write_config(&cluster.spec, ports, &folder)?;
            cluster.nodes.push(LocalNode::new(ports, role, shard, folder));
        }
        Ok(cluster)
    }

    /// The servers: primaries first, in the order of their shards.
    pub fn nodes(&self) -> &[LocalNode] {
        &self.nodes
    }

    /// Where clients reach each server, in the order of `nodes`.
    pub fn addrs(&self) -> Vec<NodeAddr> {
        self.nodes.iter().map(|node| node.addr().clone()).collect()
    }

    /// What `--redis-url` takes: `redis://127.0.0.1:7101,redis://127.0.0.1:7102`; with TLS `rediss://…`.
    pub fn urls(&self) -> String {
        let scheme = if self.spec.tls.is_some() { "rediss" } else { "redis" };
        urls(scheme, self.nodes.iter().map(LocalNode::addr))
    }

    /// The folder of the cluster.
    pub fn dir(&self) -> &Path {
        self.folder.dir()
    }

    /// What it was started as.
    pub fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    /// Process number of the guard.
    pub fn guard_pid(&self) -> u32 {
        self.guard.pid()
    }

    /// A plain connection to one server.
    pub async fn client(&self, index: usize) -> Result<NodeClient, DevClusterError> {
        Ok(NodeClient::connect(self.node(index)?.addr(), &self.options).await?)
    }

    /// Kills a server at once, as a crash would. Its folder stays, for `restart_node`.
    pub fn kill_node(&mut self, index: usize) -> Result<(), DevClusterError> {
        let node = self.node_mut(index)?;
        let port = node.addr().port;
        if node.pid().is_none() {
            return Err(DevClusterError::NodeState { port, state: "not running" });
        }
        node.begin_kill();
        node.reap();
        Ok(())
    }

    /// Stops a server's clock: it keeps its connections and answers nothing.
    pub fn pause_node(&self, index: usize) -> Result<(), DevClusterError> {
        self.node(index)?.signal(Signal::SIGSTOP)
    }

    /// Lets a paused server go on.
    pub fn resume_node(&self, index: usize) -> Result<(), DevClusterError> {
        self.node(index)?.signal(Signal::SIGCONT)
    }

    /// Starts a killed server again, on its port and in its folder, and waits until it answers. It has lost its
    /// keys; whether the cluster is whole again is what `wait_until_agreed` waits for.
    pub async fn restart_node(&mut self, index: usize) -> Result<(), DevClusterError> {
        let options = self.options.clone();
        let deadline = Deadline::after(self.spec.start_timeout);
        let node = self.node_mut(index)?;
        let port = node.addr().port;
        if node.check_alive().is_err() {
            node.reap();
        }
        if node.pid().is_some() {
            return Err(DevClusterError::NodeState { port, state: "running" });
        }
        self.launch_node(index)?;
        self.node_mut(index)?.answers(&options, deadline).await?;
        Ok(())
    }

    /// Waits until every server runs, says that the cluster is ok and sees the same owners.
    pub async fn wait_until_agreed(&self, limit: Duration) -> Result<(), DevClusterError> {
        let deadline = Deadline::after(limit);
        let connect = |node: &LocalNode| {
            let addr = node.addr().clone();
            async move { NodeClient::connect(&addr, &self.options).await }
        };
        let clients = loop {
            match try_join_all(self.nodes.iter().map(connect)).await {
                Ok(clients) => break clients,
                Err(error) => deadline.pause(|| error.to_string()).await?,
            }
        };
        all_agree(&clients, deadline, || Ok(())).await
    }

    /// Stops the servers and removes what was made, as dropping does, and says if that failed.
    pub async fn stop(mut self) -> Result<(), DevClusterError> {
        let dir = self.dir().to_owned();
        let stopping = tokio::task::spawn_blocking(move || self.shut_down());
        stopping.await.unwrap_or_else(|error| {
            Err(DevClusterError::Folder { path: dir, action: "stop the cluster", reason: error.into() })
        })
    }

    /// Leaves the cluster running: it outlives this process, with its state in `cluster.json`, until `down`.
    pub fn detach(mut self) -> Result<ClusterState, DevClusterError> {
        if self.spec.password().is_some() || self.spec.tls.is_some() {
            let why =
                "a cluster with a password or TLS can't be detached: its state file would have to hold them";
            return Err(DevClusterError::Spec(why.to_owned()));
        }
        let path: PathBuf = self.dir().join(STATE_FILE);
        self.folder.own_file(&path, &mut self.guard)?;
        let state = ClusterState::of(&self.spec, self.dir(), self.folder.is_made(), &self.nodes);
        write_state(&path, &state)?;
        // From here on it is `down` that cleans up.
        self.guard.dismiss();
        self.over = true;
        self.nodes.iter_mut().for_each(LocalNode::release);
        Ok(state)
    }

    fn node(&self, index: usize) -> Result<&LocalNode, DevClusterError> {
        self.nodes.get(index).ok_or(DevClusterError::NoSuchNode { index, count: self.nodes.len() })
    }

    fn node_mut(&mut self, index: usize) -> Result<&mut LocalNode, DevClusterError> {
        let count = self.nodes.len();
        self.nodes.get_mut(index).ok_or(DevClusterError::NoSuchNode { index, count })
    }

    fn launch_node(&mut self, index: usize) -> Result<(), DevClusterError> {
        let Self { spec, nodes, guard, .. } = self;
        if let Some(node) = nodes.get_mut(index) {
            let child = launch(spec.server.path(), node.addr().port, node.folder(), guard)?;
            node.set_child(child);
        }
        Ok(())
    }

    fn shut_down(&mut self) -> Result<(), DevClusterError> {
        if self.over {
            return Ok(());
        }
        self.over = true;
        // All at once, then wait: the ends overlap.
        self.nodes.iter_mut().for_each(LocalNode::begin_kill);
        self.nodes.iter_mut().for_each(LocalNode::reap);
        let removed = self.folder.remove();
        self.guard.dismiss();
        removed
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        if let Err(error) = self.shut_down() {
            tracing::warn!(%error, "a local cluster left files behind");
        }
    }
}

/// How to reach the servers of a cluster that we start.
fn node_options(spec: &ClusterSpec) -> Result<NodeOptions, DevClusterError> {
    Ok(NodeOptions {
        username: None,
        password: spec.password().map(Into::into),
        tls: spec.tls.as_ref().map(ClusterTls::settings).transpose()?,
        connect_timeout: CALL_TIMEOUT,
        response_timeout: CALL_TIMEOUT,
    })
}

/// One URL a server, with commas between.
pub(super) fn urls<'a>(scheme: &str, addrs: impl Iterator<Item = &'a NodeAddr>) -> String {
    addrs.map(|addr| format!("{scheme}://{addr}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devcluster::ServerBinary;

    #[tokio::test]
    async fn a_port_taken_after_it_was_looked_at_is_told_apart_from_other_deaths() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let free = ports::free(1).unwrap()[0];
        let spec = ClusterSpec::new(ServerBinary::find().await.unwrap(), 1);
        for ports in [NodePorts { client: port, ..free }, NodePorts { bus: port, ..free }] {
            let error = LocalCluster::start_on(spec.clone(), &[ports]).await.unwrap_err();
            assert!(error.is_port_clash(), "{error}");
        }
    }
}

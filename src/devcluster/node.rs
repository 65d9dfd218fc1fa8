//! One server of a local cluster, as its owner sees it.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::error::DevClusterError;
use super::limits::POLL_INTERVAL;
use super::ports::NodePorts;
use super::process::log_tail;
use super::view::info_field;
use crate::shard::node::{NodeClient, NodeError, NodeOptions};
use crate::slot::NodeAddr;

/// What a node was started as; a failover may have changed it since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// Owns slots.
    Primary,
    /// Follows the primary of its shard.
    Replica,
}

/// When to give up, and what to say then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    pub(super) fn after(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, limit }
    }

    /// Waits a moment, or fails with what was waited for.
    pub(super) async fn pause(&self, waiting_for: impl FnOnce() -> String) -> Result<(), DevClusterError> {
        if Instant::now() >= self.at {
            let limit_s = self.limit.as_secs();
            return Err(DevClusterError::NotReady { limit_s, waiting_for: waiting_for() });
        }
        tokio::time::sleep(POLL_INTERVAL).await;
        Ok(())
    }
}

/// One server.
#[derive(Debug)]
pub struct LocalNode {
    addr: NodeAddr,
    bus_port: u16,
    role: NodeRole,
    shard: usize,
    folder: PathBuf,
    child: Option<Child>,
    run_id: String,
}

impl LocalNode {
    pub(super) fn new(ports: NodePorts, role: NodeRole, shard: usize, folder: PathBuf) -> Self {
        let addr = NodeAddr::new("127.0.0.1", ports.client);
        Self { addr, bus_port: ports.bus, role, shard, folder, child: None, run_id: String::new() }
    }

    /// Where clients reach it.
    pub fn addr(&self) -> &NodeAddr {
        &self.addr
    }

    /// Port of the cluster bus.
    pub fn bus_port(&self) -> u16 {
        self.bus_port
    }

    /// What it was started as.
    pub fn role(&self) -> NodeRole {
        self.role
    }

    /// The shard it was started for, from 0.
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// Its folder: configuration, log and `nodes.conf`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The id that the server gave itself when it started.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    pub(super) fn set_child(&mut self, child: Child) {
        self.child = Some(child);
    }

    /// Kills the server, without waiting for its end.
    pub(super) fn begin_kill(&mut self) {
        if let Some(child) = &mut self.child {
            // Fails only for a process that has ended.
            let _ = child.kill();
        }
    }

    /// Waits for a killed server.
    pub(super) fn reap(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// Lets go of the process: it goes on without us.
    pub(super) fn release(&mut self) {
        self.child = None;
    }

    /// Sends a signal to the server.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), DevClusterError> {
        let port = self.addr.port;
        let pid = self.pid().ok_or(DevClusterError::NodeState { port, state: "not running" })?;
        // Our own child, not yet reaped: the number can't have gone to another process.
        send(pid, signal).map_err(|reason| DevClusterError::Signal { port, pid, reason })
    }

    /// Says so if the server has ended.
    pub(super) fn check_alive(&mut self) -> Result<(), DevClusterError> {
        let Some(child) = &mut self.child else {
            return Ok(());
        };
        let status = match child.try_wait() {
            Ok(None) => return Ok(()),
            Ok(Some(status)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let port = self.addr.port;
        Err(DevClusterError::ServerDied { port, status, log_tail: log_tail(&self.folder) })
    }

    /// Waits until the server answers, and makes sure that it is ours that does.
    pub(super) async fn answers(
        &mut self,
        options: &NodeOptions,
        deadline: Deadline,
    ) -> Result<NodeClient, DevClusterError> {
        loop {
            self.check_alive()?;
            let addr = self.addr.clone();
            let mut asking = Box::pin(identity(&addr, options));
            // A stranger that holds the port may never answer; what ends the wait then is our server's death.
            let answer = loop {
                tokio::select! {
                    answer = &mut asking => break answer,
                    () = tokio::time::sleep(POLL_INTERVAL) => self.check_alive()?,
                }
            };
            let why = match answer {
                Ok((client, who)) if Some(who.pid) == self.pid() => {
                    self.run_id = who.run_id;
                    return Ok(client);
                }
                Ok((_, who)) => format!("{addr}: process {} answers instead of ours", who.pid),
                Err(error) => error.to_string(),
            };
            deadline.pause(|| why).await?;
        }
    }
}

/// Who answers on a port.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) pid: u32,
    pub(super) run_id: String,
}

/// Connects, and asks which process it is.
pub(super) async fn identity(
    addr: &NodeAddr,
    options: &NodeOptions,
) -> Result<(NodeClient, Identity), NodeError> {
    let client = NodeClient::connect(addr, options).await?;
    let reply = client.call(&["INFO", "server"]).await?;
    let text = reply.as_str().unwrap_or_default();
    let who = Identity {
        pid: info_field(text, "process_id").and_then(|pid| pid.parse().ok()).unwrap_or(0),
        run_id: info_field(text, "run_id").unwrap_or_default().to_owned(),
    };
    Ok((client, who))
}

/// Sends a signal to a process. The caller has made sure that it is ours.
pub(super) fn send(pid: u32, signal: Signal) -> Result<(), Errno> {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0).ok_or(Errno::EINVAL)?;
    kill(Pid::from_raw(pid), signal)
}

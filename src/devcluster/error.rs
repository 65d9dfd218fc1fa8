//! What can go wrong with a local cluster. Every message names the port, folder or limit concerned.

use std::path::PathBuf;

use super::server_binary::ServerBinaryError;
use crate::shard::node::NodeError;

/// Why a local cluster did not start, or could not be asked or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DevClusterError {
    /// The specification asks for something that can't be.
    #[error("{0}")]
    Spec(String),
    /// No server program that will do.
    #[error(transparent)]
    Server(#[from] ServerBinaryError),
    /// TLS is asked for, and the server can't.
    #[error("the server at {} was built without TLS; `make redis` builds one with it", server.display())]
    NoTls {
        /// The server program.
        server: PathBuf,
    },
    /// A port is in use already.
    #[error("port {port} ({what}) is already taken; nothing was started")]
    PortTaken {
        /// The port.
        port: u16,
        /// What it was for: clients or the cluster bus.
        what: &'static str,
    },
    /// A port can't be used for another reason.
    #[error("port {port} ({what}) can't be used: {reason}; nothing was started")]
    PortUnusable {
        /// The port.
        port: u16,
        /// What it was for: clients or the cluster bus.
        what: &'static str,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// There are not enough free ports.
    #[error("found no {wanted} free ports between {low} and {high}; nothing was started")]
    NoFreePorts {
        /// How many were needed.
        wanted: usize,
        /// First port looked at.
        low: u16,
        /// End of the range.
        high: u16,
    },
    /// A file or folder can't be made, read or removed.
    #[error("{}: can't {action}: {reason}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// A folder that we would make exists already.
    #[error("{}: already exists and is not of a cluster that slotwise knows: another `cluster up` is starting there, or choose another folder", path.display())]
    FolderInUse {
        /// The folder.
        path: PathBuf,
    },
    /// The guard process could not be started or told.
    #[error("the guard process of the cluster in {}: {reason}", dir.display())]
    Guard {
        /// Folder of the cluster.
        dir: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// A server could not be launched.
    #[error("the server for port {port} can't be started: {reason}")]
    Launch {
        /// Its port.
        port: u16,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// A server ended by itself.
    #[error("the server for port {port} ended ({status}) while it started; its log ends: {log_tail}")]
    ServerDied {
        /// Its port.
        port: u16,
        /// How it ended.
        status: String,
        /// Its last words.
        log_tail: String,
    },
    /// The cluster was not ready in time.
    #[error("the cluster was not ready within {limit_s} s: {waiting_for}")]
    NotReady {
        /// How long was waited.
        limit_s: u64,
        /// What was missing at the end.
        waiting_for: String,
    },
    /// A node gave an error.
    #[error("node {0}")]
    Node(#[from] NodeError),
    /// There is no such node.
    #[error("node {index} does not exist: the cluster has {count} nodes")]
    NoSuchNode {
        /// The index asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The node is not in the state that the operation needs.
    #[error("the node on port {port} is {state}")]
    NodeState {
        /// Its port.
        port: u16,
        /// `running` or `not running`.
        state: &'static str,
    },
    /// A signal could not be sent.
    #[error("process {pid} of port {port} can't be signalled: {reason}")]
    Signal {
        /// Its port.
        port: u16,
        /// The process.
        pid: u32,
        /// What the operating system said.
        reason: nix::errno::Errno,
    },
    /// There is no detached cluster in the folder.
    #[error("no cluster in {}", dir.display())]
    NoCluster {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder already belongs to a detached cluster that runs.
    #[error("a cluster is already up in {} ({running} of {nodes} nodes run)", dir.display())]
    AlreadyUp {
        /// The folder.
        dir: PathBuf,
        /// Servers that run.
        running: usize,
        /// Servers that it has.
        nodes: usize,
    },
    /// The state file is not one of ours.
    #[error("{}: not a state file of this version of slotwise: {reason}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A server did not end.
    #[error(
        "process {pid} of port {port} did not end within {limit_s} s of being killed; its files are kept"
    )]
    NotGone {
        /// Its port.
        port: u16,
        /// The process.
        pid: u32,
        /// How long was waited.
        limit_s: u64,
    },
}

impl DevClusterError {
    /// Did somebody else take a port between our look at it and the server's?
    pub(super) fn is_port_clash(&self) -> bool {
        match self {
            Self::ServerDied { log_tail, .. } => log_tail.contains("Address already in use"),
            Self::PortTaken { .. } => true,
            _ => false,
        }
    }
}

//! What a local cluster should be like, and whether it can be.

use std::path::PathBuf;
use std::time::Duration;

use super::error::DevClusterError;
use super::limits::{NODE_TIMEOUT, NODES_MAX, REPLICAS_MAX, SHARDS_MAX, START_TIMEOUT};
use super::ports;
use super::server_binary::ServerBinary;
use crate::shard::tls::{TlsFiles, TlsSettings};

/// Settings that the cluster itself depends on.
const OWN_SETTINGS: [&str; 17] = [
    "port",
    "tls-port",
    "tls-cert-file",
    "tls-key-file",
    "tls-ca-cert-file",
    "tls-auth-clients",
    "tls-cluster",
    "tls-replication",
    "bind",
    "dir",
    "logfile",
    "daemonize",
    "cluster-enabled",
    "cluster-port",
    "cluster-config-file",
    "cluster-node-timeout",
    "cluster-announce-ip",
];

/// What to start.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// Primaries.
    pub shards: usize,
    /// Replicas of each primary.
    pub replicas: usize,
    /// First of consecutive client ports; free ports where absent.
    pub first_port: Option<u16>,
    /// Folder of the cluster; a temporary one where absent, removed at the end.
    pub dir: Option<PathBuf>,
    /// `cluster-node-timeout`: how soon a silent node counts as failing.
    pub node_timeout: Duration,
    /// Time from the first server started until every node agrees.
    pub start_timeout: Duration,
    /// More lines for every node's configuration, name and value. A `requirepass` is honoured.
    pub extra_config: Vec<(String, String)>,
    /// TLS between all nodes and clients, and nothing else; plain text where absent.
    pub tls: Option<ClusterTls>,
    /// The server program.
    pub server: ServerBinary,
}

/// What the nodes of a cluster with TLS show and trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterTls {
    /// The certificate of every node, for 127.0.0.1 and for both ends of a connection (PEM).
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The CA that nodes, and clients that show a certificate, must have theirs from.
    pub ca: PathBuf,
    /// Must clients show a certificate?
    pub client_cert_needed: bool,
}

impl ClusterTls {
    /// For our own connections: as a node would connect.
    pub(super) fn settings(&self) -> Result<TlsSettings, DevClusterError> {
        let [ca, cert, key] = [&self.ca, &self.cert, &self.key].map(|path| Some(path.clone()));
        TlsSettings::new(&TlsFiles { ca, cert, key })
            .map_err(|error| DevClusterError::Spec(error.to_string()))
    }
}

impl ClusterSpec {
    /// Most primaries of one cluster.
    pub const SHARDS_MAX: usize = SHARDS_MAX;
    /// Most replicas of one primary.
    pub const REPLICAS_MAX: usize = REPLICAS_MAX;

    /// `shards` primaries without replicas, on free ports, in a temporary folder.
    pub fn new(server: ServerBinary, shards: usize) -> Self {
        Self {
            shards,
            replicas: 0,
            first_port: None,
            dir: None,
            node_timeout: NODE_TIMEOUT,
            start_timeout: START_TIMEOUT,
            extra_config: Vec::new(),
            tls: None,
            server,
        }
    }

    /// Servers that this will start.
    pub fn node_count(&self) -> usize {
        self.shards.saturating_mul(self.replicas.saturating_add(1))
    }

    /// The password that `extra_config` sets, for our own connections.
    pub(super) fn password(&self) -> Option<&str> {
        self.extra_config
            .iter()
            .rev()
            .find(|(name, _)| name == "requirepass")
            .map(|(_, value)| value.as_str())
    }

    /// Says what is wrong with it, before anything is touched.
    pub fn validate(&self) -> Result<(), DevClusterError> {
        let wrong = |text: String| Err(DevClusterError::Spec(text));
        if self.shards == 0 || self.shards > SHARDS_MAX {
            return wrong(format!("{} shards: it must be 1 to {SHARDS_MAX}", self.shards));
        }
        if self.replicas > REPLICAS_MAX {
            return wrong(format!("{} replicas: it must be 0 to {REPLICAS_MAX}", self.replicas));
        }
        let nodes = self.node_count();
        if nodes > NODES_MAX {
            return wrong(format!(
                "{} shards with {} replicas each are {nodes} servers; the most is {NODES_MAX}",
                self.shards, self.replicas
            ));
        }
        if let Some(first) = self.first_port {
            ports::consecutive(first, nodes)?;
        }
        if self.node_timeout.as_millis() == 0 {
            return wrong("a node timeout of 0 ms: it must be at least 1 ms".to_owned());
        }
        if let Some(dir) = &self.dir
            && (dir.as_os_str().is_empty() || dir.as_os_str().as_encoded_bytes().contains(&b'\n'))
        {
            return wrong(format!("folder {dir:?}: it must have a name of one line"));
        }
        for path in self.tls.iter().flat_map(|tls| [&tls.cert, &tls.key, &tls.ca]) {
            // The servers run in folders of their own, and read a line of words.
            if !path.is_absolute() || path.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_whitespace)
            {
                return wrong(format!("TLS file {path:?}: it must be a full path without spaces"));
            }
        }
        for (name, value) in &self.extra_config {
            if OWN_SETTINGS.contains(&name.to_ascii_lowercase().as_str()) {
                return wrong(format!("setting {name}: the local cluster sets it itself"));
            }
            if name.is_empty() || name.contains(char::is_whitespace) || value.contains(['\r', '\n']) {
                return wrong(format!("setting {name:?}: a name is one word and a value one line"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_is_refused_and_says_why() {
        let good = ClusterSpec::new(ServerBinary::for_tests(), 3);
        assert!(good.validate().is_ok());
        let [cert, key, ca] = ["/tls/cert.pem", "key.pem", "/tls/ca.pem"].map(PathBuf::from);
        let relative = ClusterTls { cert, key, ca, client_cert_needed: false };
        let wrong = [
            (ClusterSpec { shards: 0, ..good.clone() }, "0 shards"),
            (ClusterSpec { shards: 101, ..good.clone() }, "101 shards"),
            (ClusterSpec { replicas: 10, ..good.clone() }, "10 replicas"),
            (ClusterSpec { shards: 100, replicas: 2, ..good.clone() }, "300 servers"),
            (ClusterSpec { first_port: Some(60_000), ..good.clone() }, "first port 60000"),
            (ClusterSpec { first_port: Some(0), ..good.clone() }, "first port 0"),
            (ClusterSpec { node_timeout: Duration::ZERO, ..good.clone() }, "node timeout"),
            (ClusterSpec { dir: Some("a\nb".into()), ..good.clone() }, "one line"),
            (ClusterSpec { tls: Some(relative), ..good.clone() }, "full path"),
            (ClusterSpec { extra_config: vec![("Port".into(), "1".into())], ..good.clone() }, "setting Port"),
            (ClusterSpec { extra_config: vec![("a".into(), "b\nport 1".into())], ..good }, "one line"),
        ];
        for (spec, says) in wrong {
            let error = spec.validate().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}

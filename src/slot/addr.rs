//! The address of a node, as the cluster announces it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Host and port of a node. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeAddr {
    /// Name or IP address, without brackets.
    pub host: Arc<str>,
    /// TCP port for clients.
    pub port: u16,
}

impl NodeAddr {
    /// The address of `host` and `port`.
    pub fn new(host: impl Into<Arc<str>>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddrError(String);

impl fmt::Display for NodeAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not host:port", self.0)
    }
}

impl std::error::Error for NodeAddrError {}

impl FromStr for NodeAddr {
    type Err = NodeAddrError;

    /// Reads `host:port`; the port is what follows the last colon, so that IPv6 works with and without brackets.
    fn from_str(text: &str) -> Result<Self, NodeAddrError> {
        let wrong = || NodeAddrError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self::new(host, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_was_written() {
        for text in ["127.0.0.1:7101", "redis-0.local:6379", "[::1]:7101"] {
            assert_eq!(text.parse::<NodeAddr>().unwrap().to_string(), text);
        }
        assert_eq!("2001:db8::1:6379".parse::<NodeAddr>().unwrap().to_string(), "[2001:db8::1]:6379");
        for wrong in ["", "host", "host:", ":1", "host:70000", "host:x"] {
            assert!(wrong.parse::<NodeAddr>().is_err(), "{wrong}");
        }
    }
}

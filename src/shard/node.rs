//! One plain connection to one node, for the administration of local clusters and for test oracles.
//!
//! It follows no redirect, never reconnects and never waits longer than its options say.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, IntoConnectionInfo, RedisConnectionInfo, RedisError, Value};

use super::reply::Reply;
use super::settings::{address, node_client};
use super::tls::TlsSettings;
use crate::model::limits::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT};
use crate::slot::NodeAddr;

/// How to connect to a node, and how long to wait for it.
#[derive(Clone)]
pub struct NodeOptions {
    /// ACL user; the default user where absent.
    pub username: Option<Arc<str>>,
    /// Password; shown nowhere.
    pub password: Option<Arc<str>>,
    /// TLS, where it is spoken.
    pub tls: Option<TlsSettings>,
    /// Time to open the connection, authentication included.
    pub connect_timeout: Duration,
    /// Time for the node to answer one command.
    pub response_timeout: Duration,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            username: None,
            password: None,
            tls: None,
            connect_timeout: CONNECT_TIMEOUT,
            response_timeout: RESPONSE_TIMEOUT,
        }
    }
}

impl fmt::Debug for NodeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeOptions")
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .finish()
    }
}

/// Why a node gave no answer, or which error it answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// No connection could be opened.
    #[error("{addr}: can't connect: {reason}")]
    Connect {
        /// The node.
        addr: NodeAddr,
        /// What the operating system or the handshake said.
        reason: String,
    },
    /// The node did not answer in time.
    #[error("{addr}: no answer within {limit_ms} ms")]
    Timeout {
        /// The node.
        addr: NodeAddr,
        /// How long was waited, in milliseconds.
        limit_ms: u128,
    },
    /// The connection broke, or carried something that is not RESP.
    #[error("{addr}: connection lost: {reason}")]
    Lost {
        /// The node.
        addr: NodeAddr,
        /// What the client saw.
        reason: String,
    },
    /// The node answered with an error.
    #[error("{addr}: {code} {detail}")]
    Server {
        /// The node.
        addr: NodeAddr,
        /// First word of the error: `MOVED`, `NOAUTH`, `ERR`.
        code: String,
        /// The rest of it.
        detail: String,
    },
}

impl NodeError {
    /// First word of an error that the server answered.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Server { code, .. } => Some(code),
            Self::Connect { .. } | Self::Timeout { .. } | Self::Lost { .. } => None,
        }
    }
}

/// One connection to one node. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct NodeClient {
    addr: NodeAddr,
    connection: MultiplexedConnection,
    response_timeout: Duration,
}

impl fmt::Debug for NodeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeClient").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl NodeClient {
    /// Opens a connection to `addr`.
    pub async fn connect(addr: &NodeAddr, options: &NodeOptions) -> Result<Self, NodeError> {
        let failed = |error: &RedisError| NodeError::Connect { addr: addr.clone(), reason: plain(error) };
        // The wait is ours and covers the handshake too, which the client bounds by its response timeout only.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(Some(options.response_timeout));
        let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(username) = &options.username {
            login = login.set_username(username);
        }
        if let Some(password) = &options.password {
            login = login.set_password(password);
        }
        let info = address(addr, options.tls.is_some())
            .into_connection_info()
            .map_err(|error| failed(&error))?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(login);
        let client = node_client(info, options.tls.as_ref()).map_err(|error| failed(&error))?;
        let opening = Box::pin(client.get_multiplexed_async_connection_with_config(&config));
        let connection = tokio::time::timeout(options.connect_timeout, opening)
            .await
            .map_err(|_| NodeError::Timeout {
                addr: addr.clone(),
                limit_ms: options.connect_timeout.as_millis(),
            })?
            .map_err(|error| failed(&error))?;
        Ok(Self { addr: addr.clone(), connection, response_timeout: options.response_timeout })
    }

    /// The node this is connected to.
    pub fn addr(&self) -> &NodeAddr {
        &self.addr
    }

    /// Sends one command and waits for its reply. An error reply is an `Err`.
    pub async fn call(&self, args: &[impl AsRef<[u8]>]) -> Result<Reply, NodeError> {
        let mut command = redis::Cmd::new();
        for arg in args {
            command.arg(arg.as_ref());
        }
        match self.connection.clone().send_packed_command(&command).await {
            Ok(Value::ServerError(error)) => Err(self.failed(&RedisError::from(error))),
            Ok(value) => Ok(Reply::from(value)),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &RedisError) -> NodeError {
        let addr = self.addr.clone();
        if let Some(code) = error.code() {
            let detail = error.detail().unwrap_or_default().to_owned();
            return NodeError::Server { addr, code: code.to_owned(), detail };
        }
        if error.is_timeout() {
            return NodeError::Timeout { addr, limit_ms: self.response_timeout.as_millis() };
        }
        NodeError::Lost { addr, reason: plain(error) }
    }
}

/// The error in one line, without the name of its category.
fn plain(error: &RedisError) -> String {
    error.to_string().replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let options = NodeOptions { password: Some("hunter2".into()), ..NodeOptions::default() };
        assert!(!format!("{options:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_node() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port());
        drop(listener);
        let error = NodeClient::connect(&addr, &NodeOptions::default()).await.unwrap_err();
        assert!(error.to_string().starts_with(&addr.to_string()), "{error}");
    }

    #[tokio::test]
    async fn a_silent_node_is_given_up_after_the_limit() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port());
        let options = NodeOptions {
            password: Some("never answered".into()),
            connect_timeout: Duration::from_millis(50),
            ..NodeOptions::default()
        };
        let error = NodeClient::connect(&addr, &options).await.unwrap_err();
        assert_eq!(error, NodeError::Timeout { addr, limit_ms: 50 });
    }
}

//! The connection to one node, as `ClusterConnection` drives it.
//!
//! The driver looks for the first redirect among a pipeline's replies, throws all replies away and sends the
//! whole pipeline elsewhere. Here a pipeline's error replies travel in an envelope that the driver looks past, so
//! that every command keeps its own answer; and the node says who it is, because the driver may choose a replica
//! or any other node where the wanted one is not connected.

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::Connect;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, RedisError,
    RedisFuture, ServerErrorKind, Value,
};

use crate::slot::NodeAddr;

/// A command that never leaves the process: answered so that the driver refreshes its topology. The driver has no
/// call for that, but does it for a node that turns out to be a replica.
const REFRESH: &str = "SLOTWISE.REFRESH";
/// The driver sends it to every node once it has a routing strategy. A primary that became a replica would then go on
/// answering reads, with values as old as its copy, and nobody would notice; without it, it says where to go.
const READ_FROM_REPLICA: &str = "READONLY";
/// Wait after a connection that failed: the driver tries again at once, for as long as no node answers.
const CONNECT_FAILURE_PAUSE: Duration = Duration::from_millis(50);

/// One node's connection, and the node's address.
#[derive(Clone)]
pub(super) struct NodeConnection {
    inner: MultiplexedConnection,
    addr: String,
}

/// The command that makes the driver refresh its topology.
pub(super) fn refresh_command() -> Cmd {
    redis::cmd(REFRESH)
}

/// Takes a pipeline's answer apart: who answered, and a value or an error per command.
pub(super) fn open(mut values: Vec<Value>) -> Option<(NodeAddr, Vec<Value>)> {
    let Value::SimpleString(addr) = values.pop()? else { return None };
    let addr = addr.parse().ok()?;
    for value in &mut values {
        if let Value::Attribute { data, .. } = value
            && matches!(**data, Value::ServerError(_))
        {
            *value = std::mem::take(&mut **data);
        }
    }
    Some((addr, values))
}

impl ConnectionLike for NodeConnection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        if is(cmd, READ_FROM_REPLICA) {
            return Box::pin(async { Ok(Value::Okay) });
        }
        if is(cmd, REFRESH) {
            let stale =
                RedisError::from((ErrorKind::Server(ServerErrorKind::ReadOnly), "a refresh was asked for"));
            return Box::pin(async { Err(stale) });
        }
        self.inner.req_packed_command(cmd)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut values = self.inner.send_packed_commands(pipeline, offset, count).await?;
            for value in &mut values {
                if matches!(value, Value::ServerError(_)) {
                    let data = Box::new(std::mem::take(value));
                    *value = Value::Attribute { data, attributes: Vec::new() };
                }
            }
            values.push(Value::SimpleString(self.addr.clone()));
            Ok(values)
        })
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

impl Connect for NodeConnection {
    fn connect_with_config<'a, T>(info: T, config: AsyncConnectionConfig) -> RedisFuture<'a, Self>
    where
        T: IntoConnectionInfo + Send + 'a,
    {
        Box::pin(async move {
            let info = info.into_connection_info()?;
            let addr = match info.addr() {
                ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                    NodeAddr::new(host.as_str(), *port).to_string()
                }
                other => other.to_string(),
            };
            match MultiplexedConnection::connect_with_config(info, config).await {
                Ok(inner) => Ok(Self { inner, addr }),
                Err(error) => {
                    tokio::time::sleep(CONNECT_FAILURE_PAUSE).await;
                    Err(error)
                }
            }
        })
    }
}

fn is(cmd: &Cmd, name: &str) -> bool {
    matches!(cmd.args_iter().next(), Some(redis::Arg::Simple(first)) if first == name.as_bytes())
}

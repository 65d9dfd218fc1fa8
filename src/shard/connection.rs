//! The connection to one node, as `ClusterConnection` drives it.
//!
//! The driver looks for the first redirect among a pipeline's replies, throws all replies away and sends the
//! whole pipeline elsewhere. Here a pipeline's error replies travel in an envelope that the driver looks past, so
//! that every command keeps its own answer; and the node says who it is, because the driver may choose a replica
//! or any other node where the wanted one is not connected.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ahash::AHashMap;
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
/// Shortest time between two failures to connect to one node: where no node answers, the driver tries again at once,
/// for ever. A first failure is told without delay, as the driver serves nobody while it refreshes its topology.
const CONNECT_FAILURE_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Nodes whose last failure is remembered.
const CONNECT_FAILURES_MAX: usize = 1_024;

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
                    if failed_just_now(&addr) {
                        tokio::time::sleep(CONNECT_FAILURE_INTERVAL_MIN).await;
                    }
                    Err(error)
                }
            }
        })
    }
}

/// Notes a failure to connect; true where the one before was a moment ago.
fn failed_just_now(addr: &str) -> bool {
    static LAST_FAILURES: LazyLock<Mutex<AHashMap<String, Instant>>> = LazyLock::new(Mutex::default);
    let mut failures = LAST_FAILURES.lock().unwrap_or_else(PoisonError::into_inner);
    if failures.len() >= CONNECT_FAILURES_MAX {
        failures.retain(|_, last| last.elapsed() < CONNECT_FAILURE_INTERVAL_MIN);
    }
    let last = failures.insert(addr.to_owned(), Instant::now());
    last.is_some_and(|last| last.elapsed() < CONNECT_FAILURE_INTERVAL_MIN)
}

fn is(cmd: &Cmd, name: &str) -> bool {
    matches!(cmd.args_iter().next(), Some(redis::Arg::Simple(first)) if first == name.as_bytes())
}

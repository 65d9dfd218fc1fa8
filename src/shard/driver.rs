//! Reads through `ClusterConnection`: the reference transport, which carries reads of primaries and nothing else.
//!
//! Its driver serves nobody while it waits for a node, to connect or to tell the topology; and it looks for the first
//! redirect among a pipeline's replies, throws all replies away and sends the whole pipeline elsewhere. So what it
//! drives here opens by itself, says at once that it is there, and is asked for the topology with little patience; and
//! a pipeline's error replies travel in an envelope that the driver looks past, so that every command keeps its own
//! answer. A node says who it is, because the driver may choose another one where the wanted one is not connected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::{ClusterConnection, Connect};
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, RedisError,
    RedisFuture, RedisResult, ServerErrorKind, Value,
};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::model::limits::{DRIVER_REFRESH_PAUSE, DRIVER_TOPOLOGY_TIMEOUT};
use crate::slot::{NodeAddr, Shard, Topology};

use super::background::Background;
use super::cluster::{Cluster, ConnectError, Target};
use super::fault::{FaultKind, KeyFault, PipelineFault};
use super::link::NodeLink;
use super::read::{self, InFlight, ShardRead, ShardRows, ShardTransport};

/// A command that never leaves the process: answered so that the driver refreshes its topology. The driver has no
/// call for that, but does it for a node that turns out to be a replica.
const REFRESH: &str = "SLOTWISE.REFRESH";

/// One node's connection, and the node's address.
#[derive(Clone)]
struct NodeConnection {
    link: NodeLink,
    addr: String,
}

impl ConnectionLike for NodeConnection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            if is(cmd, "PING") {
                // Whether the node is there shows when something is read from it.
                return Ok(Value::Okay);
            }
            if is(cmd, REFRESH) {
                let kind = ErrorKind::Server(ServerErrorKind::ReadOnly);
                return Err(RedisError::from((kind, "a refresh was asked for")));
            }
            let asking = async {
                let (number, mut connection) = self.link.open().await.map_err(|fault| not_open(&fault))?;
                let answer = connection.send_packed_command(cmd).await;
                answer.inspect_err(|_| self.link.lost(number))
            };
            let late = |_| Err(RedisError::from((ErrorKind::Io, "no answer in time")));
            timeout(DRIVER_TOPOLOGY_TIMEOUT, asking).await.unwrap_or_else(late)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let (number, mut connection) = self.link.open().await.map_err(|fault| not_open(&fault))?;
            let asked = self.link.asked(number);
            let answer = connection.send_packed_commands(pipeline, offset, count).await;
            asked.answered(&answer);
            let mut values = answer?;
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
        0
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
            let link = NodeLink::new(move |_| {
                let (info, config) = (info.clone(), config.clone());
                Box::pin(async move { MultiplexedConnection::connect_with_config(info, config).await })
            });
            Ok(Self { link, addr })
        })
    }
}

/// The driver passes it on as it is, so that its kind is not lost on the way.
fn not_open(fault: &PipelineFault) -> RedisError {
    let kind = match fault.kind {
        FaultKind::Refused => ErrorKind::AuthenticationFailed,
        FaultKind::Protocol => ErrorKind::Parse,
        FaultKind::Timeout | FaultKind::Connection => ErrorKind::Io,
    };
    RedisError::from((kind, "not connected", fault.reason.to_string()))
}

fn is(cmd: &Cmd, name: &str) -> bool {
    matches!(cmd.args_iter().next(), Some(redis::Arg::Simple(first)) if first == name.as_bytes())
}

/// Takes a pipeline's answer apart: who answered, and a value or an error per command.
fn open(mut values: Vec<Value>) -> Option<(NodeAddr, Vec<Value>)> {
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

/// Reads through `ClusterConnection`.
pub struct ClusterTransport {
    cluster: Arc<Cluster>,
    connection: Arc<ArcSwap<ClusterConnection<NodeConnection>>>,
    /// Version of the topology that was last compared, and the shards that the driver was last told to learn.
    compared: AtomicU64,
    learned: std::sync::Mutex<Arc<Topology>>,
    wanted: Arc<Notify>,
    _refreshing: Background,
    /// True where the driver knows none of the nodes there are: it would go on asking those that are gone.
    astray: Arc<AtomicBool>,
}

impl ClusterTransport {
    /// Reads from the nodes that `cluster` knows. Errors where none of them answers: put a timeout round it.
    pub async fn connect(cluster: Arc<Cluster>) -> Result<Self, ConnectError> {
        let connection = start_driver(&cluster).await.map_err(|error| ConnectError::Unreachable {
            seeds: cluster.settings().seeds_text(),
            why: error.to_string().replace('\n', " "),
        })?;
        let topology = cluster.topology();
        let connection = Arc::new(ArcSwap::from_pointee(connection));
        let (wanted, astray) = (Arc::<Notify>::default(), Arc::<AtomicBool>::default());
        let refreshing = keep_refreshing(
            Arc::clone(&cluster),
            Arc::clone(&connection),
            Arc::clone(&wanted),
            Arc::clone(&astray),
        );
        Ok(Self {
            compared: AtomicU64::new(topology.version()),
            learned: std::sync::Mutex::new(topology),
            connection,
            cluster,
            wanted,
            _refreshing: Background::start(refreshing),
            astray,
        })
    }

    /// Makes the driver learn the topology anew, in the background; not again for a while, as it serves nobody meanwhile.
    /// What it does not know yet is redirected.
    fn refresh_driver(&self) {
        self.wanted.notify_one();
    }

    async fn run(&self, shard: &Shard, pipeline: Pipeline) -> Result<(NodeAddr, Vec<Value>), PipelineFault> {
        let slot = shard
            .any_slot()
            .ok_or_else(|| PipelineFault::not_sent(FaultKind::Connection, "the shard owns no slot"))?;
        let route = Route::new(slot.number(), SlotAddr::Master);
        let count = pipeline.len();
        let mut driver = ClusterConnection::clone(&self.connection.load());
        let values = driver
            .route_pipeline(pipeline, 0, count, SingleNodeRoutingInfo::SpecificNode(route))
            .await
            .map_err(|error| PipelineFault::unanswered(&error))?;
        open(values).ok_or_else(|| PipelineFault::protocol("an answer that does not name its node"))
    }
}

/// Refreshes the driver whenever that is wanted, for as long as it is polled.
async fn keep_refreshing(
    cluster: Arc<Cluster>,
    connection: Arc<ArcSwap<ClusterConnection<NodeConnection>>>,
    wanted: Arc<Notify>,
    astray: Arc<AtomicBool>,
) {
    let limit = cluster.settings().response_timeout;
    loop {
        wanted.notified().await;
        if astray.load(Ordering::Acquire) {
            if let Ok(Ok(new)) = timeout(limit, start_driver(&cluster)).await {
                connection.store(Arc::new(new));
                astray.store(false, Ordering::Release);
            }
        } else {
            let mut driver = ClusterConnection::clone(&connection.load());
            let random = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
            // The answer is an error by design.
            let _ = timeout(limit, driver.route_command(redis::cmd(REFRESH), random)).await;
        }
        sleep(DRIVER_REFRESH_PAUSE).await;
    }
}

/// A driver that begins with the seeds. Errors where none of them answers: put a timeout round it.
async fn start_driver(cluster: &Cluster) -> RedisResult<ClusterConnection<NodeConnection>> {
    cluster.settings().cluster_client()?.get_async_generic_connection::<NodeConnection>().await
}

impl std::fmt::Debug for ClusterTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterTransport").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl ShardTransport for ClusterTransport {
    fn topology(&self) -> Arc<Topology> {
        let topology = self.cluster.topology();
        let version = topology.version();
        if self.compared.fetch_max(version, Ordering::Relaxed) < version {
            let mut learned = self.learned.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if learned.version() < version && learned.shards() != topology.shards() {
                if !learned.shards().iter().any(|shard| topology.has(&shard.primary)) {
                    self.astray.store(true, Ordering::Release);
                }
                self.refresh_driver();
            } else if self.astray.load(Ordering::Acquire) {
                self.refresh_driver();
            }
            *learned = Arc::clone(&topology);
        }
        topology
    }

    fn request_refresh(&self) {
        self.cluster.request_refresh();
    }

    fn read<'a>(
        &'a self,
        read: ShardRead<'a>,
        place: InFlight,
    ) -> BoxFuture<'a, Result<ShardRows, PipelineFault>> {
        Box::pin(async move {
            // The driver does not tell when the answer to a pipeline that was given up has come.
            let _place = place;
            let asking = matches!(read.target, Target::Redirect { asking: true, .. });
            let pipeline = read::pipeline(read, asking);
            let (node, values) = match read.target {
                Target::Shard(shard) => self.run(shard, pipeline).await?,
                target => (target.node().clone(), self.cluster.read(target, &pipeline).await?),
            };
            let rows = read::rows_of_replies(node, values, read, asking)?;
            let planned = matches!(read.target, Target::Shard(_));
            if planned && rows.faults.iter().any(|(_, fault)| matches!(fault, KeyFault::Moved(_))) {
                // The driver's own map may be older than ours.
                self.refresh_driver();
            }
            Ok(rows)
        })
    }
}

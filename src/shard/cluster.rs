//! The cluster through `ClusterConnection`: topology, pipelines to one shard, pipelines to the node that a redirect
//! named. It neither retries nor re-plans; that is decided per key by the caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{Pipeline, Value};
use tokio::time::timeout;

use crate::model::limits::{TOPOLOGY_REFRESH_INTERVAL_MAX, TOPOLOGY_REFRESH_INTERVAL_MIN};
use crate::slot::{NodeAddr, Shard, Topology};

use super::command::Command;
use super::connection::{self, NodeConnection};
use super::fault::{KeyFault, PipelineFault};
use super::redirects::NodeConnections;
use super::reply::Reply;
use super::role::Role;
use super::settings::RedisSettings;
use super::tls;
use super::topology_feed::{TopologyCell, TopologyFeed};

/// Who is to run a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The primary of a shard, as the topology has it.
    Shard(Arc<Shard>),
    /// The node that a redirect named.
    Redirect {
        /// Its address.
        node: NodeAddr,
        /// True after `ASK`: every command is announced with `ASKING`.
        asking: bool,
    },
    /// A replica, which answers from its copy.
    Replica(NodeAddr),
}

impl Target {
    /// The node that should answer.
    pub fn node(&self) -> &NodeAddr {
        match self {
            Self::Shard(shard) => &shard.primary,
            Self::Redirect { node, .. } | Self::Replica(node) => node,
        }
    }
}

/// What a pipeline brought: who answered, and a value or a fault per command.
#[derive(Debug)]
pub struct Answer<T> {
    /// The node that answered; a replica or another node where the wanted one was not connected.
    pub node: NodeAddr,
    /// One per command.
    pub replies: Vec<Result<T, KeyFault>>,
}

/// Why there is no connection to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// None of the addresses leads to a cluster.
    #[error("can't connect to a Redis Cluster at {seeds}: {why}")]
    Unreachable {
        /// The addresses tried.
        seeds: String,
        /// What the last one said.
        why: String,
    },
    /// The servers can't do what slotwise needs.
    #[error("the server at {node} is {found}; slotwise needs {needed}")]
    TooOld {
        /// The first node that is too old.
        node: NodeAddr,
        /// Its flavour and version.
        found: String,
        /// What would do.
        needed: &'static str,
    },
}

/// When the topology may be refreshed next.
struct RefreshPace {
    next: Instant,
    interval: Duration,
}

impl RefreshPace {
    /// A refresh that brought something new may be followed soon; one that did not, later and later.
    fn refreshed(&mut self, changed: bool) {
        self.interval = if changed {
            TOPOLOGY_REFRESH_INTERVAL_MIN
        } else {
            (self.interval * 2).min(TOPOLOGY_REFRESH_INTERVAL_MAX)
        };
        self.next = Instant::now() + self.interval;
    }
}

/// A connection to a whole cluster. Share it in an `Arc`.
pub struct Cluster {
    settings: RedisSettings,
    connection: ClusterConnection<NodeConnection>,
    topology: Arc<TopologyCell>,
    redirects: NodeConnections,
    replicas: NodeConnections,
    pace: tokio::sync::Mutex<RefreshPace>,
    refresh_wanted: AtomicBool,
}

impl Cluster {
    /// Connects to the cluster that the settings' seeds belong to. The driver can hang here for ever: put a timeout
    /// round it.
    pub async fn connect(settings: RedisSettings) -> Result<Arc<Self>, ConnectError> {
        let unreachable = |why: String| {
            let advice = tls::advice(settings.tls.is_some(), &why);
            let advice = advice.map_or_else(String::new, |advice| format!(" ({advice})"));
            ConnectError::Unreachable { seeds: settings.seeds_text(), why: why.replace('\n', " ") + &advice }
        };
        let topology = TopologyCell::new();
        let feed = TopologyFeed(Arc::clone(&topology));
        let client = settings.cluster_client(|builder| builder.read_routing_strategy(feed));
        let client = client.map_err(|error| unreachable(error.to_string()))?;
        let connection = client
            .get_async_generic_connection::<NodeConnection>()
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        Ok(Arc::new(Self {
            settings,
            connection,
            topology,
            redirects: NodeConnections::new(Role::Primary),
            replicas: NodeConnections::new(Role::Replica),
            pace: tokio::sync::Mutex::new(RefreshPace {
                next: Instant::now(),
                interval: TOPOLOGY_REFRESH_INTERVAL_MIN,
            }),
            refresh_wanted: AtomicBool::new(false),
        }))
    }

    /// The settings it was connected with.
    pub fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// The newest snapshot.
    pub fn topology(&self) -> Arc<Topology> {
        self.topology.load()
    }

    /// Asks for a newer topology in the background; at most one such request is under way.
    pub fn request_refresh(self: &Arc<Self>) {
        if self.refresh_wanted.swap(true, Ordering::AcqRel) {
            return;
        }
        let cluster = Arc::clone(self);
        let than = self.topology().version();
        tokio::spawn(async move {
            cluster.refresh(than).await;
            cluster.refresh_wanted.store(false, Ordering::Release);
        });
    }

    /// Waits for a topology newer than version `than`, asking for it where needed; true where there is one. Gives
    /// up after the settings' response timeout. Refreshes are [`TOPOLOGY_REFRESH_INTERVAL_MIN`] to
    /// [`TOPOLOGY_REFRESH_INTERVAL_MAX`] apart.
    pub async fn refresh(&self, than: u64) -> bool {
        let mut pace = self.pace.lock().await;
        let before = self.topology();
        if before.version() > than {
            return true;
        }
        tokio::time::sleep_until(pace.next.into()).await;
        let random = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
        let nudge = async {
            // The answer is an error by design; what counts is the topology that follows.
            let _ = self.connection.clone().route_command(connection::refresh_command(), random).await;
            self.topology.newer_than(than).await;
        };
        let came = timeout(self.settings.response_timeout, nudge).await.is_ok();
        if !came {
            tracing::warn!(version = than, "no newer topology within the response timeout");
        }
        pace.refreshed(came && self.topology().shards() != before.shards());
        came
    }

    /// Sends commands as one pipeline and brings a reply or a fault for each. Cancel-safe for reads.
    pub async fn send(
        &self,
        target: &Target,
        commands: impl IntoIterator<Item = Command>,
    ) -> Result<Answer<Reply>, PipelineFault> {
        let mut pipeline = Pipeline::new();
        let asking = matches!(target, Target::Redirect { asking: true, .. });
        let mut in_transaction = false;
        // Places of the commands' own replies; those to `ASKING` are left out.
        let mut places = Vec::new();
        for command in commands {
            // One `ASKING` holds for a whole transaction; inside it, it would be queued as one more command.
            if asking && !in_transaction {
                pipeline.add_command(redis::cmd("ASKING"));
            }
            in_transaction = asking && (command.is("MULTI") || (in_transaction && !command.is("EXEC")));
            places.push(pipeline.len());
            pipeline.add_command(command.into_inner());
        }
        let sent = pipeline.len();
        let (node, mut values) = self.run(target, pipeline).await?;
        if values.len() != sent {
            return Err(PipelineFault { reason: "wrong number of replies".into(), may_have_run: true });
        }
        let values = places.into_iter().map(|place| std::mem::take(&mut values[place]));
        let sort = |value| match value {
            Value::ServerError(error) => Err(KeyFault::new(&error, &node)),
            value => Ok(Reply::from(value)),
        };
        let replies = values.map(sort).collect();
        Ok(Answer { node, replies })
    }

    /// Sends a pipeline as it is; brings a value or an error value per command, and the node that answered.
    pub(super) async fn run(
        &self,
        target: &Target,
        pipeline: Pipeline,
    ) -> Result<(NodeAddr, Vec<Value>), PipelineFault> {
        match target {
            Target::Redirect { node, .. } => {
                Ok((node.clone(), self.redirects.send(&self.settings, node, &pipeline).await?))
            }
            Target::Replica(node) => {
                Ok((node.clone(), self.replicas.send(&self.settings, node, &pipeline).await?))
            }
            Target::Shard(shard) => {
                let slot =
                    shard.any_slot().ok_or_else(|| PipelineFault::not_sent("the shard owns no slot"))?;
                let route = Route::new(slot.number(), SlotAddr::Master);
                let count = pipeline.len();
                let mut driver = self.connection.clone();
                let values = driver
                    .route_pipeline(pipeline, 0, count, SingleNodeRoutingInfo::SpecificNode(route))
                    .await
                    .map_err(|error| PipelineFault::unanswered(&error))?;
                connection::open(values).ok_or_else(|| PipelineFault {
                    reason: "an answer that does not name its node".into(),
                    may_have_run: true,
                })
            }
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("settings", &self.settings).finish_non_exhaustive()
    }
}

//! The way to a cluster: its topology, and pipelines of commands to a node. It neither retries nor re-plans; that is
//! decided per key by the caller.

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::time::timeout;

use crate::model::limits::PROBE_TIMEOUT;
use crate::slot::{NodeAddr, Shard, Topology};

use super::background::Background;
use super::command::Command;
use super::discovery::Discovery;
use super::fault::{KeyFault, PipelineFault};
use super::links::NodeLinks;
use super::reply::Reply;
use super::role::Role;
use super::settings::RedisSettings;
use super::tls;

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

/// How many replicas have to confirm what a pipeline writes (`WAIT`), and within which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirm {
    /// At least one.
    pub replicas: u8,
    /// Whole milliseconds count; less than the response timeout.
    pub within: Duration,
}

/// What a pipeline brought: who answered, and a value or a fault per command.
#[derive(Debug)]
pub struct Answer<T> {
    /// The node that answered.
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

/// The way to a whole cluster. Share it in an `Arc`.
pub struct Cluster {
    settings: RedisSettings,
    discovery: Arc<Discovery>,
    _looking: Background,
    /// Everything but reads, and what follows a redirect.
    commands: NodeLinks,
    /// Commands that wait for replicas, which hold up what comes after them on their connection.
    confirmed: NodeLinks,
    /// Reads of replicas.
    replicas: NodeLinks,
    /// What nobody depends on: unanswered, it costs no other purpose its connection.
    aside: NodeLinks,
}

impl Cluster {
    /// Finds the cluster that the settings' seeds belong to. Takes a connect and a response timeout at most for every
    /// few seeds: put a timeout round it.
    pub async fn connect(settings: RedisSettings) -> Result<Arc<Self>, ConnectError> {
        let discovery = Arc::new(Discovery::new(&settings));
        if let Err(why) = discovery.look().await {
            let advice = tls::advice(settings.tls.is_some(), &why);
            let advice = advice.map_or_else(String::new, |advice| format!(" ({advice})"));
            let why = why.replace('\n', " ") + &advice;
            return Err(ConnectError::Unreachable { seeds: settings.seeds_text(), why });
        }
        Ok(Arc::new(Self {
            _looking: Background::start({
                let discovery = Arc::clone(&discovery);
                async move { discovery.keep_looking().await }
            }),
            discovery,
            commands: NodeLinks::new(settings.clone(), Role::Primary),
            confirmed: NodeLinks::new(settings.clone(), Role::Primary),
            replicas: NodeLinks::new(settings.clone(), Role::Replica),
            aside: NodeLinks::new(settings.clone(), Role::Primary),
            settings,
        }))
    }

    /// The settings it was connected with.
    pub fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// The newest snapshot.
    pub fn topology(&self) -> Arc<Topology> {
        self.discovery.topology()
    }

    /// Asks for a newer topology in the background.
    pub fn request_refresh(&self) {
        self.discovery.request();
    }

    /// Waits for a topology newer than version `than`, asking for it where needed; true where there is one. Gives
    /// up after the settings' response timeout.
    pub async fn refresh(&self, than: u64) -> bool {
        if self.topology().version() <= than {
            self.discovery.request();
        }
        timeout(self.settings.response_timeout, self.discovery.newer_than(than)).await.is_ok()
    }

    /// Asks a node whether it is there; true where it answers soon, and not that it is loading.
    pub async fn answers(&self, node: &NodeAddr) -> bool {
        self.commands.link(node).ping(PROBE_TIMEOUT.min(self.settings.response_timeout)).await
    }

    /// Asks a node whether it is there, whatever else is asked of it; for whoever watches.
    pub async fn is_there(&self, node: &NodeAddr, within: Duration) -> bool {
        self.discovery.is_there(node, within).await
    }

    /// Sends commands as one pipeline and brings a reply or a fault for each. `confirm`: so many replicas have to
    /// confirm what was written, within a time; the last reply is how many did. Cancel-safe for reads.
    pub async fn send(
        &self,
        target: &Target,
        commands: impl IntoIterator<Item = Command>,
        confirm: Option<Confirm>,
    ) -> Result<Answer<Reply>, PipelineFault> {
        let links = if confirm.is_some() { &self.confirmed } else { &self.commands };
        send_over(links, target, commands, confirm).await
    }

    /// The same for reads that may as well fail, over connections of their own: however a node treats them, neither
    /// writes nor the search for the topology notice.
    pub async fn send_aside(
        &self,
        node: &NodeAddr,
        commands: impl IntoIterator<Item = Command>,
    ) -> Result<Answer<Reply>, PipelineFault> {
        let target = Target::Redirect { node: node.clone(), asking: false };
        send_over(&self.aside, &target, commands, None).await
    }

    /// Sends a pipeline as it is to the node that a read is to go to; brings a value or an error value per command.
    pub(super) async fn read(
        &self,
        target: &Target,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, PipelineFault> {
        let links = if matches!(target, Target::Replica(_)) { &self.replicas } else { &self.commands };
        links.link(target.node()).run(pipeline).await
    }
}

/// Sends commands as one pipeline over one of the links.
async fn send_over(
    links: &NodeLinks,
    target: &Target,
    commands: impl IntoIterator<Item = Command>,
    confirm: Option<Confirm>,
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
    if let Some(Confirm { replicas, within }) = confirm {
        places.push(pipeline.len());
        let within_ms = u64::try_from(within.as_millis().max(1)).unwrap_or(u64::MAX);
        pipeline.add_command(redis::cmd("WAIT").arg(replicas).arg(within_ms).clone());
    }
    let sent = pipeline.len();
    let node = target.node().clone();
    let mut values = links.link(&node).run(&pipeline).await?;
    if values.len() != sent {
        return Err(PipelineFault::protocol("wrong number of replies"));
    }
    let values = places.into_iter().map(|place| std::mem::take(&mut values[place]));
    let sort = |value| match value {
        Value::ServerError(error) => Err(KeyFault::new(&error, &node)),
        value => Ok(Reply::from(value)),
    };
    let replies = values.map(sort).collect();
    Ok(Answer { node, replies })
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("settings", &self.settings).finish_non_exhaustive()
    }
}

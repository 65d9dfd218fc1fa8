//! The feature store: read, write, inspect and move entities. Fan-out over the shards, deadlines, merge, partial
//! answers.

mod admin;
mod cohort_move;
mod cohorts;
mod error;
mod fan_out;
mod gates;
mod health;
mod hedge;
mod inspect;
mod keyed;
mod options;
mod read;
mod read_metrics;
mod read_one;
mod scan;
mod shard_read;
mod spans;
mod streaming;
mod ttl_sample;
mod watch;
mod write;
mod write_metrics;

pub use admin::Readiness;
pub use cohort_move::{MoveDirection, MoveOutcome, MoveReport};
pub use error::{RequestError, StoreError};
pub use inspect::{FieldView, Inspection};
pub use options::{
    CohortMembers, CohortOptions, EntityOptions, HedgeOptions, LoadOptions, ReadFrom, StoreOptions, Transport,
};
pub use write::{LoadReport, RowRejected};

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::timeout;

use crate::model::limits::ADMIN_COMMANDS_IN_FLIGHT_MAX;
use crate::shard::{
    Capabilities, Cluster, ClusterTransport, ConnectError, LaneTransport, RedisSettings, ShardTransport,
};
use crate::slot::{KeyLayout, Topology};

use gates::Gates;
use hedge::HedgeBudget;
use read_metrics::{FeatureMetrics, ReadMetrics};
use ttl_sample::RecentIds;
use write_metrics::WriteMetrics;

/// One kind of entity on one cluster. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct FeatureStore {
    engine: Arc<Engine>,
    kind: Arc<Kind>,
}

/// What all kinds of entity share.
struct Engine {
    cluster: Arc<Cluster>,
    transport: Arc<dyn ShardTransport>,
    capabilities: Capabilities,
    options: StoreOptions,
    kinds: Vec<Arc<Kind>>,
    read_gates: Gates,
    write_gates: Gates,
    /// One pipeline at a time to a node: a second `WAIT` on a connection begins when the first has ended.
    confirm_gates: Gates,
    /// Looks at single keys, which neither wait for writes nor show as such.
    admin_gates: Gates,
    hedge: Option<HedgeBudget>,
    read_metrics: ReadMetrics,
    batch_writes: WriteMetrics,
    streaming_writes: WriteMetrics,
    readiness: tokio::sync::Mutex<Option<(std::time::Instant, Readiness)>>,
    background: cohorts::Background,
}

/// One kind of entity.
struct Kind {
    options: EntityOptions,
    layout: ArcSwap<KeyLayout>,
    features: FeatureMetrics,
    recent: RecentIds,
}

impl FeatureStore {
    /// Connects, checks what the servers can do, and reads the cohorts that are kept in Redis. The store is that
    /// of the first of `entities`; see [`FeatureStore::entity`] for the others.
    ///
    /// Errors where no address answers within the settings' startup timeout, a server is too old, or the entity
    /// kinds do not fit together.
    pub async fn connect(
        settings: RedisSettings,
        entities: Vec<EntityOptions>,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        check_kinds(&entities, &options)?;
        if options.hedge.is_some() && options.read_from == ReadFrom::Primary {
            return Err(StoreError::Options(
                "reads of primaries only can't be hedged: there is no second node to ask".to_owned(),
            ));
        }
        let (cluster, transport, capabilities) = connect(settings, options.transport).await?;
        let kinds = entities.into_iter().map(cohorts::kind).collect::<Result<Vec<_>, _>>()?;
        let first =
            kinds.first().cloned().ok_or_else(|| StoreError::Options("no entity kind is given".into()))?;
        let commands_max = options.shard_commands_in_flight_max;
        let engine = Arc::new_cyclic(|engine| Engine {
            transport,
            cluster,
            capabilities,
            read_gates: Gates::new("read", commands_max),
            write_gates: Gates::new("write", commands_max),
            confirm_gates: Gates::new("confirmed_write", 1),
            admin_gates: Gates::new("admin", ADMIN_COMMANDS_IN_FLIGHT_MAX.min(commands_max)),
            hedge: options.hedge.map(HedgeBudget::new),
            read_metrics: ReadMetrics::new(),
            batch_writes: WriteMetrics::new("batch"),
            streaming_writes: WriteMetrics::new("streaming"),
            readiness: tokio::sync::Mutex::default(),
            background: cohorts::Background::new(engine.clone()),
            options,
            kinds,
        });
        let store = Self { engine, kind: first };
        store.read_cohort_sets_now().await?;
        store.engine.background.keep_reading(&store.engine.kinds);
        Ok(store)
    }

    /// The store of the kind called `name`; with `None`, of the only kind there is.
    pub fn entity(&self, name: Option<&str>) -> Result<Self, RequestError> {
        let kinds = &self.engine.kinds;
        let known = || kinds.iter().map(|kind| kind.options.name.as_str()).collect::<Vec<_>>().join(", ");
        let kind = match name {
            Some(name) => kinds
                .iter()
                .find(|kind| kind.options.name == name)
                .ok_or_else(|| RequestError::UnknownEntity { given: name.to_owned(), known: known() })?,
            None if kinds.len() == 1 => &self.kind,
            None => return Err(RequestError::EntityNotNamed(known())),
        };
        Ok(Self { engine: Arc::clone(&self.engine), kind: Arc::clone(kind) })
    }

    /// The kind's name, prefix, TTLs and cohorts as configured.
    pub fn options(&self) -> &EntityOptions {
        &self.kind.options
    }

    /// Every kind of entity that is configured.
    pub fn entities(&self) -> impl Iterator<Item = &EntityOptions> {
        self.engine.kinds.iter().map(|kind| &kind.options)
    }

    /// The limits of requests.
    pub fn limits(&self) -> &StoreOptions {
        &self.engine.options
    }

    /// How this kind's ids become keys, with the cohorts as they are now.
    pub fn layout(&self) -> Arc<KeyLayout> {
        self.kind.layout.load_full()
    }

    /// The cluster as it was last seen.
    pub fn topology(&self) -> Arc<Topology> {
        self.engine.cluster.topology()
    }

    /// What the servers can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.engine.capabilities
    }

    /// How the cluster is reached.
    pub fn settings(&self) -> &RedisSettings {
        self.engine.cluster.settings()
    }
}

impl std::fmt::Debug for FeatureStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeatureStore")
            .field("entity", &self.kind.options.name)
            .field("cluster", &self.engine.cluster)
            .finish_non_exhaustive()
    }
}

/// Connects and asks what the servers can do, all within the settings' startup timeout.
async fn connect(
    settings: RedisSettings,
    transport: Transport,
) -> Result<(Arc<Cluster>, Arc<dyn ShardTransport>, Capabilities), ConnectError> {
    let (seeds, limit) = (settings.seeds_text(), settings.startup_timeout);
    let connecting = async {
        let cluster = Cluster::connect(settings).await?;
        let capabilities = Capabilities::of(&cluster).await?;
        let transport: Arc<dyn ShardTransport> = match transport {
            Transport::Lanes { per_node } => Arc::new(LaneTransport::new(Arc::clone(&cluster), per_node)),
            Transport::Cluster => Arc::new(ClusterTransport::connect(Arc::clone(&cluster)).await?),
        };
        Ok((cluster, transport, capabilities))
    };
    let late = |_| ConnectError::Unreachable { seeds, why: format!("no answer within {limit:?}") };
    timeout(limit, connecting).await.map_err(late)?
}

impl Engine {
    /// Is the primary the one to ask, and nobody beside it while it answers?
    fn reads_primaries_first(&self) -> bool {
        self.hedge.is_none() && self.options.read_from != ReadFrom::Nearest
    }
}

fn check_kinds(entities: &[EntityOptions], options: &StoreOptions) -> Result<(), StoreError> {
    for (number, kind) in entities.iter().enumerate() {
        check_sets(kind, options.batch_features_max)?;
        if kind.prefix.is_empty() {
            let problem =
                format!("entity {:?} has an empty key prefix, which would take in every key", kind.name);
            return Err(StoreError::Options(problem));
        }
        for other in &entities[..number] {
            if kind.name == other.name {
                return Err(StoreError::Options(format!("entity {:?} is configured twice", kind.name)));
            }
            // Listing, counting and resetting one kind must not meet the keys of another.
            if kind.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&kind.prefix) {
                return Err(StoreError::Options(format!(
                    "the key prefixes {:?} of {:?} and {:?} of {:?} overlap",
                    other.prefix, other.name, kind.prefix, kind.name
                )));
            }
        }
    }
    Ok(())
}

/// A set that no request may read is told now, not by the first request.
fn check_sets(kind: &EntityOptions, features_max: usize) -> Result<(), StoreError> {
    let mut sets = kind.schema.set_names();
    let features = |name: &str| kind.schema.set(name, false).map_or(0, |set| set.len());
    match sets.find(|name| features(name) > features_max) {
        None => Ok(()),
        Some(name) => Err(StoreError::Options(format!(
            "feature set {name:?} of {:?} has {} features, more than the limit of {features_max} for a read",
            kind.name,
            features(name)
        ))),
    }
}

//! What a store is made of: entity kinds with their prefixes, TTLs, schemas and cohorts, and the limits of a request.

use std::time::Duration;

use crate::model::{EntityId, Schema, limits};
use crate::slot::{CohortTag, Shard};

/// Limits and defaults of reads and pipelines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Most ids in one batch.
    pub batch_ids_max: usize,
    /// Most features in one read.
    pub batch_features_max: usize,
    /// Most cells, ids × features, in one batch.
    pub batch_cells_max: usize,
    /// Most keys in one pipeline.
    pub pipeline_commands_max: usize,
    /// Most commands in flight to one shard.
    pub shard_commands_in_flight_max: usize,
    /// How reads reach the shards.
    pub transport: Transport,
    /// Which nodes of a shard may answer a read.
    pub read_from: ReadFrom,
    /// Whether slow reads are sent to a second node; not unless this is given.
    pub hedge: Option<HedgeOptions>,
    /// Deadline of a request that names none.
    pub request_timeout: Duration,
    /// Longest deadline that a request may name.
    pub request_timeout_max: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            batch_ids_max: limits::BATCH_IDS_MAX,
            batch_features_max: limits::BATCH_FEATURES_MAX,
            batch_cells_max: limits::BATCH_CELLS_MAX,
            pipeline_commands_max: limits::PIPELINE_COMMANDS_MAX,
            shard_commands_in_flight_max: limits::SHARD_COMMANDS_IN_FLIGHT_MAX,
            transport: Transport::default(),
            read_from: ReadFrom::default(),
            hedge: None,
            request_timeout: limits::REQUEST_TIMEOUT,
            request_timeout_max: limits::REQUEST_TIMEOUT_MAX,
        }
    }
}

/// How reads reach the shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Over direct connections to the nodes, so many to each.
    Lanes {
        /// At least one.
        per_node: usize,
    },
    /// Through the client crate's `ClusterConnection`.
    Cluster,
}

impl Default for Transport {
    fn default() -> Self {
        Self::Lanes { per_node: limits::LANES_PER_NODE }
    }
}

/// Which nodes of a shard may answer a read. A replica's copy may be older than the primary's: rows that one
/// answered are counted in [`BatchSummary::stale_possible`](crate::model::BatchSummary::stale_possible).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadFrom {
    /// The primary only.
    Primary,
    /// The primary, and a replica while the primary can't be reached.
    #[default]
    PrimaryThenReplica,
    /// Whichever answers fastest.
    Nearest,
}

impl ReadFrom {
    /// Can nobody but the primary of this shard answer?
    pub(super) fn needs_primary(self, shard: &Shard) -> bool {
        self == Self::Primary || shard.replicas.is_empty()
    }
}

/// When a read that is slow is sent to a second node of its shard; the first answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HedgeOptions {
    /// Most keys that are read twice, in percent of all keys read.
    pub budget_percent: u8,
}

impl Default for HedgeOptions {
    fn default() -> Self {
        Self { budget_percent: limits::HEDGE_BUDGET_PERCENT }
    }
}

/// What is said of a bulk load beside its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// Key TTL in seconds; `None`: the kind's default.
    pub ttl_seconds: Option<u64>,
    /// A row counts as written once so many replicas of its shard have confirmed it (`WAIT`).
    pub wait_replicas: u8,
}

/// One entity kind: a name, where its keys lie, how long its features live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityOptions {
    /// Name in requests, such as `user`.
    pub name: String,
    /// Prefix of its keys, such as `fs:user:`.
    pub prefix: String,
    /// Key TTL of batch features, in seconds.
    pub batch_ttl_seconds: u64,
    /// Field TTL of streaming features, in seconds, where the schema gives a feature none of its own.
    pub streaming_ttl_seconds: u64,
    /// What is declared of its features, and its feature sets.
    pub schema: Schema,
    /// Its VIP cohorts.
    pub cohorts: Vec<CohortOptions>,
}

impl EntityOptions {
    /// A kind with the prefix `fs:{name}:`, the default TTLs, no schema and no cohort.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            prefix: format!("fs:{name}:"),
            batch_ttl_seconds: limits::BATCH_TTL_SECONDS,
            streaming_ttl_seconds: limits::STREAMING_TTL_SECONDS,
            schema: Schema::default(),
            cohorts: Vec::new(),
        }
    }
}

impl Default for EntityOptions {
    fn default() -> Self {
        Self::new("user")
    }
}

/// A VIP cohort as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CohortOptions {
    /// Its name.
    pub name: String,
    /// Its hash tags; several spread it over several shards.
    pub tags: Vec<CohortTag>,
    /// Who is in it.
    pub members: CohortMembers,
}

/// Where the members of a cohort come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CohortMembers {
    /// Given once.
    Listed(Vec<EntityId>),
    /// The members of a Redis set on the same cluster, read when connecting and then again and again.
    RedisSet {
        /// The set's key.
        key: String,
        /// Time between two readings.
        refresh: Duration,
    },
}

//! What goes over the wire. Requests are read into these; the answer to a read is written by `encode/` and only
//! described here, which the tests hold it to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::model::{EntityId, FeatureName};

use super::listed::Listed;

/// Body of `POST /v1/features/batch`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchRequest {
    /// The entities, each 1 to 1024 bytes; an id given twice is answered twice.
    #[schema(value_type = Vec<String>, example = json!(["u0001", "u0002"]))]
    pub(super) ids: Listed<EntityId>,
    /// The features to read, each 1 to 1024 bytes. Either these or `feature_set`.
    #[schema(value_type = Option<Vec<String>>, example = json!(["risk_score", "country"]))]
    pub(super) features: Option<Listed<FeatureName>>,
    /// A set of features that the config names.
    pub(super) feature_set: Option<String>,
    /// True to have the schema's defaults in the place of absent values. The status of a row stays what it is.
    #[serde(default)]
    pub(super) defaults: bool,
    /// Deadline of the whole read, counted from the head of the request; rows without an answer by then are `unavailable`.
    #[schema(minimum = 1, example = 50)]
    pub(super) timeout_ms: Option<u64>,
    /// The kind of entity; needed where several are configured.
    pub(super) entity: Option<String>,
}

/// Body of `PUT /v1/features/{id}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteRequest {
    /// Names and values: strings, numbers and booleans.
    #[schema(value_type = BTreeMap<String, Scalar>)]
    pub(super) features: Box<RawValue>,
    /// Field TTL of each feature; the schema's or the kind's streaming TTL where it is left out.
    #[schema(minimum = 1, example = 300)]
    pub(super) ttl_seconds: Option<u64>,
    /// Deadline of the write, counted from the head of the request.
    #[schema(minimum = 1, example = 50)]
    pub(super) timeout_ms: Option<u64>,
    /// The kind of entity; needed where several are configured.
    pub(super) entity: Option<String>,
}

/// A feature's value when it is written.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// Kept as it is.
    Text(String),
    /// Kept in its shortest decimal form.
    Number(f64),
    /// Kept as `true` or `false`.
    Boolean(bool),
}

/// One line of the body of `POST /v1/features/load`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LoadLine {
    /// The entity.
    pub id: String,
    /// Names and values.
    pub features: BTreeMap<String, Scalar>,
}

/// Bytes that Redis holds: a string where they are UTF-8, otherwise an object with their base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum TextOrBytes {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes {
        /// The bytes in base64, with padding.
        base64: String,
    },
}

impl From<Vec<u8>> for TextOrBytes {
    fn from(bytes: Vec<u8>) -> Self {
        use base64::Engine;
        use base64::engine::general_purpose::STANDARD;
        String::from_utf8(bytes)
            .map_or_else(|error| Self::Bytes { base64: STANDARD.encode(error.as_bytes()) }, Self::Text)
    }
}

/// A feature's value as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ValueAnswer {
    /// Of a feature of type `bool`.
    Boolean(bool),
    /// Of a feature of type `int64`, `float64` or `timestamp_ms`.
    #[schema(value_type = f64)]
    Number(Number),
    /// Text that is not of the feature's type.
    Unparsable {
        /// What Redis holds.
        unparsable: TextOrBytes,
    },
    /// Of a feature of type `string`, or of one without a type. A float that is no JSON number is `NaN`, `Infinity` or
    /// `-Infinity`.
    Text(TextOrBytes),
}

/// Answer to a batch read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchAnswer {
    /// The features, in the order of `values`.
    pub features: Vec<String>,
    /// One row per id, in the order of `ids`.
    pub rows: Vec<RowAnswer>,
    /// The rows by status.
    pub summary: SummaryAnswer,
}

/// One entity's features.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RowAnswer {
    /// The entity.
    pub id: String,
    /// Whether all, some or none of the features are there, or the shard could not answer.
    pub status: StatusAnswer,
    /// One value per feature asked for; `null` where absent.
    pub values: Vec<Option<ValueAnswer>>,
    /// Why the row is unavailable, where it is.
    pub error: Option<String>,
}

/// One line of an NDJSON answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RowLine {
    /// The entity.
    pub id: String,
    /// As in [`RowAnswer`].
    pub status: StatusAnswer,
    /// Every feature asked for by name, with its value as in [`RowAnswer`].
    #[schema(value_type = Object)]
    pub features: BTreeMap<String, Option<ValueAnswer>>,
    /// Why the row is unavailable, where it is.
    pub error: Option<String>,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusAnswer {
    /// Every feature is there.
    Found,
    /// Some are.
    Partial,
    /// None is.
    Missing,
    /// The shard could not answer in time.
    Unavailable,
}

/// Rows by status, and what the read took.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SummaryAnswer {
    /// Rows with every feature.
    pub found: usize,
    /// Rows with some.
    pub partial: usize,
    /// Rows with none.
    pub missing: usize,
    /// Rows whose shard could not answer.
    pub unavailable: usize,
    /// Shards that were asked.
    pub shards: usize,
    /// Time that the read took.
    pub elapsed_ms: f64,
    /// Rows that a replica answered, from a copy that may be older; only there where there are any.
    pub stale_possible: Option<usize>,
    /// Values that are not of their feature's type; only there where there are any.
    pub unparsable: Option<usize>,
}

/// Answer to a streaming write.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WriteAnswer {
    /// Features written.
    pub written: usize,
    /// The field TTL that each of them got; the shortest, where the schema gives them different ones.
    pub ttl_seconds: u64,
}

/// Answer to a bulk load.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LoadAnswer {
    /// Rows whose values and key TTL are in place.
    pub written: u64,
    /// Rows that are not, by line; the first ones where there are very many.
    pub rejected: Vec<RejectedRow>,
    /// How many were rejected, named or not.
    pub rejected_count: u64,
}

/// A row that was not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RejectedRow {
    /// Its line in the body, from 1.
    pub line: u64,
    /// Why.
    pub error: String,
}

/// Answer to an inspection: everything that Redis holds of an entity.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EntityAnswer {
    /// The entity.
    pub id: String,
    /// Its Redis key.
    pub key: TextOrBytes,
    /// The key's slot.
    pub slot: u16,
    /// Address of the primary that owns the slot; `null` where none is known.
    pub shard: Option<String>,
    /// False where there is no such key.
    pub exists: bool,
    /// The key's TTL: -1 for none, -2 where there is no such key.
    pub key_ttl_seconds: i64,
    /// Every field, by name.
    pub fields: Vec<FieldAnswer>,
}

/// One field of an entity.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FieldAnswer {
    /// Its name.
    pub name: TextOrBytes,
    /// Its value.
    pub value: TextOrBytes,
    /// Its own TTL; -1 where it lives as long as the key.
    pub ttl_seconds: i64,
}

/// The cluster as the engine sees it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ClusterAnswer {
    /// Flavour and version of the servers, such as `redis 8.0.2`.
    pub server: String,
    /// Version of the topology; grows by one with every refresh.
    pub version: u64,
    /// Time since it was learned.
    pub age_seconds: f64,
    /// Slots that have an owner, of 16384.
    pub slots_covered: usize,
    /// The shards, by their first slot.
    pub shards: Vec<ShardAnswer>,
    /// The kinds of entity that are served.
    pub entities: Vec<EntityKindAnswer>,
}

/// One shard.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ShardAnswer {
    /// Address of the node that takes writes.
    pub primary: String,
    /// Addresses of the nodes that hold a copy.
    pub replicas: Vec<String>,
    /// Slot ranges, first and last.
    pub slots: Vec<[u16; 2]>,
    /// How many slots it owns.
    pub slot_count: usize,
}

/// One kind of entity.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EntityKindAnswer {
    /// Its name in requests.
    pub name: String,
    /// The prefix of its keys.
    pub prefix: String,
    /// Key TTL of batch features.
    pub batch_ttl_seconds: u64,
    /// Field TTL of streaming features.
    pub streaming_ttl_seconds: u64,
    /// Its named feature sets.
    pub feature_sets: Vec<String>,
    /// Its VIP cohorts.
    pub cohorts: Vec<CohortAnswer>,
}

/// One VIP cohort.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CohortAnswer {
    /// Its name.
    pub name: String,
    /// Its hash tags.
    pub tags: Vec<String>,
    /// How many members it has now.
    pub members: usize,
}

/// Answer of `GET /healthz`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthAnswer {
    /// Always `ok`.
    pub status: String,
}

/// Answer of `GET /readyz`, with 200 or 503.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ReadyAnswer {
    /// True where every slot has a node of which its rows can be read.
    pub ready: bool,
    /// What is wrong, per shard.
    pub problems: Vec<String>,
}

/// Every error.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorAnswer {
    /// What went wrong.
    pub error: ErrorDetail,
    /// The id of the request, as in the header `x-request-id`.
    pub request_id: String,
}

/// What went wrong.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// A short name, for programs.
    pub code: String,
    /// What to change, for people.
    pub message: String,
    /// A bulk load that broke off: rows that were written before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
    /// A bulk load that broke off: rows that were rejected before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_count: Option<u64>,
}

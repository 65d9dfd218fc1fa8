//! What a caller of the store can get wrong, and what a store can fail at.
//!
//! [`RequestError`]: the request is at fault; nothing was sent. [`StoreError`]: anything else, with the request
//! error inside where that was it. Rows of a batch read have no error type: they have a status.

use crate::model::{EntityIdError, FeatureName, FeatureNameError, SchemaViolation, UnavailableReason};
use crate::shard::ConnectError;
use crate::slot::{KeyError, PlanError};

/// A request that can't be served as it is. Names the field and the limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No feature is asked for.
    #[error("features: the list is empty; name at least one feature")]
    NoFeatures,
    /// Too many features.
    #[error("features: {given} are more than the limit of {max}")]
    TooManyFeatures {
        /// How many were given.
        given: usize,
        /// How many are allowed.
        max: usize,
    },
    /// Too many ids.
    #[error("ids: {given} are more than the limit of {max}")]
    TooManyIds {
        /// How many were given.
        given: usize,
        /// How many are allowed.
        max: usize,
    },
    /// Too many cells.
    #[error("ids × features: {given} cells are more than the limit of {max}; ask in smaller batches")]
    TooManyCells {
        /// How many were asked for.
        given: usize,
        /// How many are allowed.
        max: usize,
    },
    /// A deadline of nothing, or beyond the limit.
    #[error("timeout_ms: {given_ms} is not between 1 and {max_ms}")]
    Timeout {
        /// The deadline asked for, in milliseconds.
        given_ms: u128,
        /// The longest one allowed.
        max_ms: u128,
    },
    /// More replicas are to confirm a load than a shard has.
    #[error("wait_replicas: {asked} are more than the {has} replicas of the shard of {primary}")]
    TooFewReplicas {
        /// How many were asked for.
        asked: u8,
        /// How many there are.
        has: usize,
        /// The shard's primary.
        primary: String,
    },
    /// A TTL of nothing, or beyond what Redis takes.
    #[error("ttl_seconds: {given} is not between 1 and {max}")]
    Ttl {
        /// The TTL asked for, in seconds.
        given: u64,
        /// The longest one allowed.
        max: u64,
    },
    /// An id has no key.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// An id is no id.
    #[error("{0}")]
    Id(#[from] EntityIdError),
    /// A feature name is no name.
    #[error("{0}")]
    Feature(#[from] FeatureNameError),
    /// A value is too large.
    #[error("feature {feature:?}: the value has {bytes} bytes, the limit is {max}")]
    ValueTooLarge {
        /// The feature.
        feature: String,
        /// The value's length.
        bytes: usize,
        /// The longest one allowed.
        max: usize,
    },
    /// A write that the schema does not allow.
    #[error(transparent)]
    Schema(#[from] SchemaViolation),
    /// The feature set is not configured.
    #[error("feature_set: {given:?} is not configured; there is {}", if known.is_empty() { "none" } else { known })]
    UnknownFeatureSet {
        /// The name asked for.
        given: String,
        /// The names there are.
        known: String,
    },
    /// A feature is named twice in one request.
    #[error("features: {0:?} is given twice")]
    FeatureTwice(String),
    /// The kind of entity is not configured.
    #[error("entity: {given:?} is not configured; there is {known}")]
    UnknownEntity {
        /// The name asked for.
        given: String,
        /// The names there are.
        known: String,
    },
    /// Several kinds are configured and none is named.
    #[error(
        "entity: several kinds are configured; name one of {0} (--entity on the command line, entity in a request)"
    )]
    EntityNotNamed(String),
    /// The cohort is not configured.
    #[error("cohort {given:?} is not configured; there is {}", if known.is_empty() { "none" } else { known })]
    UnknownCohort {
        /// The name asked for.
        given: String,
        /// The names there are.
        known: String,
    },
}

/// Each name once: a second value would overwrite the first, in Redis or in an answer that names its cells.
pub(super) fn check_each_once<'n>(
    names: impl IntoIterator<Item = &'n FeatureName>,
) -> Result<(), RequestError> {
    let mut names: Vec<&FeatureName> = names.into_iter().collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(twice) => Err(RequestError::FeatureTwice(twice[0].to_string())),
    }
}

impl From<KeyError> for RequestError {
    fn from(error: KeyError) -> Self {
        Self::Plan(PlanError::Key { index: 0, error })
    }
}

/// Why the store could not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The request is at fault.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// There is no connection to the cluster.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The configuration does not fit together.
    #[error("{0}")]
    Options(String),
    /// A shard could not answer in time, or answered with an error.
    #[error(transparent)]
    Unavailable(#[from] UnavailableReason),
    /// A shard answered in a way that breaks the store's promise.
    #[error("{0}")]
    Broken(String),
}

impl StoreError {
    pub(super) fn unexpected(command: &str) -> Self {
        Self::Broken(format!("the server answered {command} in another shape than documented"))
    }
}

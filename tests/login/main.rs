//! Who may talk to a cluster, and how: TLS, passwords, ACL users.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../support/mod.rs"]
pub(crate) mod support;

mod acl;
mod password;
mod tls;
mod tls_refused;

use std::time::{Duration, Instant};

use slotwise::FeatureStore;
use slotwise::shard::RedisSettings;
use slotwise::store::{EntityOptions, StoreError};

use crate::support::features::{kind, options};

/// Longest time until a login that can't work is reported.
const REPORTED_WITHIN: Duration = Duration::from_secs(5);

/// A store of one kind, as every test here opens one.
async fn open(settings: RedisSettings, prefix: &str) -> Result<FeatureStore, StoreError> {
    open_kind(settings, kind(prefix)).await
}

/// The same for a kind with more to it than a prefix.
async fn open_kind(settings: RedisSettings, kind: EntityOptions) -> Result<FeatureStore, StoreError> {
    Box::pin(FeatureStore::connect(settings, vec![kind], options())).await
}

/// Why a store can't be opened: in time, in one line, and naming a node.
async fn refused(settings: RedisSettings) -> String {
    let (begun, seeds) = (Instant::now(), settings.seeds.clone());
    let error = open(settings, "p:").await.unwrap_err();
    assert!(begun.elapsed() < REPORTED_WITHIN, "{:?}", begun.elapsed());
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(seeds.iter().any(|seed| text.contains(&seed.to_string())), "{text}");
    text
}

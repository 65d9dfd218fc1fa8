//! A stand-in for a streaming pipeline: every tick, new streaming features for a few users, each under its TTL.

use std::time::Duration;

use rand::seq::IndexedRandom;
use tokio::time::MissedTickBehavior;

use crate::model::EntityId;
use crate::store::FeatureStore;

use super::synthetic::{streaming_features, synthetic_rng};

/// Most users that a stream picks from.
pub const STREAM_USERS_MAX: usize = 500;
/// Seed of the stream's picks and values.
pub const STREAM_SEED: u64 = 1337;

/// How a stream runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// Time between two ticks.
    pub tick: Duration,
    /// Users that are written per tick, without repetition.
    pub users_per_tick: usize,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { tick: Duration::from_secs(1), users_per_tick: 5 }
    }
}

/// Writes streaming features, tick after tick, until the future is dropped. A tick that fails is logged; the next
/// one follows all the same. Picks from the first [`STREAM_USERS_MAX`] of `users`.
pub async fn stream_features(store: &FeatureStore, users: &[EntityId], options: StreamOptions) {
    let pool = &users[..users.len().min(STREAM_USERS_MAX)];
    let mut rng = synthetic_rng(STREAM_SEED);
    let mut ticks = tokio::time::interval(options.tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let picked: Vec<&EntityId> = pool.sample(&mut rng, options.users_per_tick).collect();
        for id in picked {
            let features = streaming_features(&mut rng, now_ms);
            if let Err(error) = store.update_streaming(id, &features, None).await {
                tracing::warn!(%error, "streaming write failed");
            }
        }
    }
}

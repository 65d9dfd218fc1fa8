//! How long features have left: every now and then, the TTLs of a few entities that were just read.
//!
//! Invariants: a read that is not sampled costs one relaxed load; a sample costs the cluster two commands for each of
//! [`TTL_SAMPLE_IDS_MAX`] entities of a kind at most, and nobody waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ahash::AHashMap;
use futures::future::join_all;
use metrics::Histogram;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::metrics::{self as declared, gauge, histogram};
use crate::model::limits::{
    FEATURES_SHOWN_MAX, TTL_SAMPLE_IDS_MAX, TTL_SAMPLE_IDS_PER_READ_MAX, TTL_SAMPLE_ROWS_LOOKED_MAX,
    TTL_SAMPLE_TIMEOUT,
};
use crate::model::{EntityId, FeatureBatch, FeatureClass, FeatureName, FeatureSpec, RowStatus};
use crate::shard::Reply;
use crate::slot::{NodeAddr, Slot};

use super::inspect::{field_ttls_of, httl, key_ttl_of, ttl};
use super::watch::features_shown;
use super::{EntityOptions, FeatureStore};

/// A few ids of one kind that were just read, for as long as somebody wants any.
#[derive(Default)]
pub(super) struct RecentIds {
    wanted: AtomicBool,
    ids: Mutex<Vec<EntityId>>,
}

impl RecentIds {
    /// Takes a few of the ids of which something was found, where any are wanted.
    pub(super) fn offer(&self, batch: &FeatureBatch) {
        if self.wanted.load(Ordering::Relaxed) {
            self.take(batch);
        }
    }

    #[cold]
    fn take(&self, batch: &FeatureBatch) {
        // Whoever finds it taken has other things to do.
        let Ok(mut ids) = self.ids.try_lock() else { return };
        let step = (batch.len() / TTL_SAMPLE_ROWS_LOOKED_MAX).max(1);
        let rows = (rand::random_range(0..step)..batch.len()).step_by(step).filter_map(|row| batch.row(row));
        let found =
            rows.take(TTL_SAMPLE_ROWS_LOOKED_MAX).filter(|row| is_there(row.status)).map(|row| row.id);
        for id in found.take(TTL_SAMPLE_IDS_PER_READ_MAX) {
            if ids.len() < TTL_SAMPLE_IDS_MAX && !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        if ids.len() >= TTL_SAMPLE_IDS_MAX {
            self.wanted.store(false, Ordering::Relaxed);
        }
    }

    /// The ids that came since the last time; from now on others are wanted.
    fn drain(&self) -> Vec<EntityId> {
        let ids = std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner));
        self.wanted.store(true, Ordering::Relaxed);
        ids
    }
}

fn is_there(status: RowStatus) -> bool {
    matches!(status, RowStatus::Found | RowStatus::Partial)
}

/// One kind's features, the first by name, and what is recorded of each.
struct Sampled {
    store: FeatureStore,
    names: Vec<FeatureName>,
    features: Vec<SampledFeature>,
}

struct SampledFeature {
    class: FeatureClass,
    /// What it is written with.
    ttl: Duration,
    /// Time left, and its share; looked up when there is something to record.
    left: OnceLock<[Histogram; 2]>,
}

impl FeatureStore {
    /// Shows the TTL that every feature of the schema is written with, and, with an interval, asks again and again for
    /// the TTLs of a few entities that were just read, for as long as it is polled. For a server: one of these to a
    /// process.
    pub async fn keep_sampling_ttls(&self, every: Option<Duration>) {
        let kinds: Vec<Sampled> = self.entities().filter_map(|kind| self.sampled(kind)).collect();
        let Some(every) = every.filter(|every| !every.is_zero() && !kinds.is_empty()) else { return };
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            join_all(kinds.iter().map(Sampled::sample)).await;
        }
    }

    /// What is sampled of a kind; nothing where its schema names no features.
    fn sampled(&self, kind: &EntityOptions) -> Option<Sampled> {
        let store = self.entity(Some(&kind.name)).ok()?;
        let specs = features_shown(&kind.schema);
        if specs.len() < kind.schema.features().count() {
            tracing::warn!(entity = kind.name, max = FEATURES_SHOWN_MAX, "metrics do not show all features");
        }
        let feature = |spec: &&FeatureSpec| {
            let ttl = Duration::from_secs(match spec.class {
                FeatureClass::Batch => kind.batch_ttl_seconds,
                FeatureClass::Streaming => store.streaming_ttl_seconds(&spec.name),
            });
            gauge(&declared::FEATURE_TTL, [&kind.name, spec.name.as_str()]).set(ttl);
            SampledFeature { class: spec.class, ttl, left: OnceLock::new() }
        };
        let features: Vec<_> = specs.iter().map(feature).collect();
        let names = specs.iter().map(|spec| spec.name.clone()).collect();
        (!features.is_empty()).then(|| Sampled { store, names, features })
    }
}

impl Sampled {
    /// Asks for the TTLs of the ids that came since the last time.
    async fn sample(&self) {
        let layout = self.store.layout();
        let topology = self.store.topology();
        let mut by_node: AHashMap<&NodeAddr, Vec<Vec<u8>>> = AHashMap::new();
        for id in self.store.kind.recent.drain() {
            let Ok(key) = layout.key(&id) else { continue };
            if let Some(shard) = topology.shard_of(Slot::for_key(&key)) {
                by_node.entry(&shard.primary).or_default().push(key);
            }
        }
        join_all(by_node.into_iter().map(|(node, keys)| self.ask(node, keys))).await;
    }

    /// One pipeline, past gates and retries and over connections of its own: a sample that fails is no loss, and must
    /// cost nobody anything.
    async fn ask(&self, node: &NodeAddr, keys: Vec<Vec<u8>>) {
        let commands: Vec<_> = keys.iter().flat_map(|key| [ttl(key), httl(key, &self.names)]).collect();
        let asking = self.store.engine.cluster.send_aside(node, commands);
        let answer = match timeout(TTL_SAMPLE_TIMEOUT, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => return tracing::debug!(%node, %why, "no sample of TTLs"),
            Err(_) => return tracing::debug!(%node, why = "no answer", "no sample of TTLs"),
        };
        let mut replies = answer.replies.into_iter();
        while let (Some(key), Some(fields)) = (replies.next(), replies.next()) {
            match (key, fields) {
                (Ok(key), Ok(fields)) => self.record(&key, fields),
                // As where the slot has moved.
                _ => tracing::debug!(%node, why = "refused", "no sample of TTLs"),
            }
        }
    }

    fn record(&self, key: &Reply, fields: Reply) {
        let Ok(key) = key_ttl_of(Some(key)) else { return };
        let Ok(fields) = field_ttls_of(Some(fields), self.names.len()) else { return };
        for ((name, feature), field) in self.names.iter().zip(&self.features).zip(fields) {
            if let Some(left) = left(feature.class, key, field) {
                feature.record(left, [&self.store.options().name, name.as_str()]);
            }
        }
    }
}

impl SampledFeature {
    fn record(&self, left: Duration, labels: [&str; 2]) {
        let both = [&declared::FEATURE_TTL_LEFT, &declared::FEATURE_TTL_LEFT_RATIO];
        let [time, ratio] = self.left.get_or_init(|| both.map(|metric| histogram(metric, labels)));
        time.record(left);
        if !self.ttl.is_zero() {
            ratio.record(left.div_duration_f64(self.ttl));
        }
    }
}

/// The time that a field has left; nothing where there is no such field, or nothing that ends it.
fn left(class: FeatureClass, key_ttl: i64, field_ttl: i64) -> Option<Duration> {
    const ABSENT: i64 = -2;
    let seconds = match class {
        _ if field_ttl == ABSENT => return None,
        FeatureClass::Batch => key_ttl,
        FeatureClass::Streaming => field_ttl,
    };
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{FeatureBatchBuilder, Projection, ReplyBlock, Span, UnavailableReason};

    /// A batch of so many ids, of which the odd ones are there.
    fn batch(ids: usize) -> FeatureBatch {
        let name = FeatureName::new("f").unwrap();
        let mut batch = FeatureBatchBuilder::new(ids, Arc::new(Projection::untyped(vec![name])));
        let cell = |number: usize| if number % 2 == 1 { Span::new(0, 1).unwrap() } else { Span::ABSENT };
        let block = ReplyBlock { bytes: "x".into(), spans: (0..ids).map(cell).collect() };
        let block = batch.add_block(block, false);
        for key in 0..u32::try_from(ids).unwrap() {
            batch.place(key, block, key);
        }
        let id = |number| EntityId::new(format!("u{number}")).unwrap();
        let ids: Arc<[EntityId]> = (0..ids).map(id).collect();
        batch.finish(ids, None, 1, &UnavailableReason::SlotUncovered)
    }

    #[test]
    fn a_few_ids_that_were_found_are_kept_while_any_are_wanted() {
        let recent = RecentIds::default();
        recent.offer(&batch(10));
        assert!(recent.drain().is_empty(), "nobody wanted any");
        recent.offer(&batch(2));
        recent.offer(&batch(1));
        assert_eq!(recent.drain(), [EntityId::new("u1").unwrap()]);
        for _ in 0..1_000 {
            recent.offer(&batch(999));
        }
        let ids = recent.drain();
        assert_eq!(ids.len(), TTL_SAMPLE_IDS_MAX);
        assert!(ids.iter().all(|id| id.as_str()[1..].parse::<usize>().unwrap() % 2 == 1), "{ids:?}");
        recent.offer(&batch(999));
        assert!(recent.drain().len() <= TTL_SAMPLE_IDS_PER_READ_MAX);
    }

    #[test]
    fn the_time_left_is_of_the_field_or_of_the_key_by_how_it_is_written() {
        let seconds = |class, key, field| left(class, key, field).map(|left| left.as_secs());
        let (batch, streaming) = (FeatureClass::Batch, FeatureClass::Streaming);
        assert_eq!(seconds(batch, 600, -1), Some(600));
        assert_eq!(seconds(streaming, 600, 60), Some(60));
        assert_eq!(seconds(streaming, 600, 0), Some(0));
        for (class, key, field) in
            [(batch, 600, -2), (batch, -1, -1), (batch, -2, -2), (streaming, 600, -2), (streaming, 600, -1)]
        {
            assert_eq!(seconds(class, key, field), None, "{class} {key} {field}");
        }
    }
}

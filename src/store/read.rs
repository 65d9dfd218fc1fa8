//! Batch reads: plan, fan out, merge into one [`FeatureBatch`].

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug_span, instrument};

use crate::model::limits::PIPELINE_BYTES_MAX;
use crate::model::{EntityId, FeatureBatch, FeatureBatchBuilder, FeatureName, Projection, UnavailableReason};
use crate::slot::KeySet;

use super::FeatureStore;
use super::error::{RequestError, check_each_once};
use super::fan_out::{FanOut, Settled};
use super::read_metrics::{Phases, ReadKind};
use super::read_one::OneRead;
use super::shard_read::{Read, ReadRows};

impl FeatureStore {
    /// Reads `features` of one entity; the batch has one row. See [`FeatureStore::batch_get_features`].
    pub async fn get_features(
        &self,
        id: EntityId,
        features: impl Into<Arc<[FeatureName]>>,
        timeout: Option<Duration>,
    ) -> Result<FeatureBatch, RequestError> {
        self.get_projection(id, self.projection(features, false)?, timeout).await
    }

    /// Reads what the projection says of one entity, as [`FeatureStore::get_features`] does.
    pub async fn get_projection(
        &self,
        id: EntityId,
        projection: Arc<Projection>,
        timeout: Option<Duration>,
    ) -> Result<FeatureBatch, RequestError> {
        self.read(ReadKind::Single, Arc::new([id]), projection, timeout).await
    }

    /// Reads `features` of every id: one row per id, in the order of `ids`, each with a status. An id given twice
    /// is read once and answered twice.
    ///
    /// `timeout` bounds the whole call (`None`: the store's default); rows that have no answer by then are
    /// [`RowStatus::Unavailable`](crate::model::RowStatus::Unavailable), with a reason. Errors only where the request
    /// itself is at fault; then nothing was sent.
    pub async fn batch_get_features(
        &self,
        ids: impl Into<Arc<[EntityId]>>,
        features: impl Into<Arc<[FeatureName]>>,
        timeout: Option<Duration>,
    ) -> Result<FeatureBatch, RequestError> {
        self.batch_get_projection(ids, self.projection(features, false)?, timeout).await
    }

    /// Reads what the projection says of every id, as [`FeatureStore::batch_get_features`] does. The projection is one
    /// of [`FeatureStore::projection`] or [`FeatureStore::feature_set`], and may be read by as often as wanted; of one
    /// made by hand, each feature has to be there once.
    pub async fn batch_get_projection(
        &self,
        ids: impl Into<Arc<[EntityId]>>,
        projection: Arc<Projection>,
        timeout: Option<Duration>,
    ) -> Result<FeatureBatch, RequestError> {
        self.read(ReadKind::Batch, ids.into(), projection, timeout).await
    }

    #[instrument(level = "debug", skip_all, fields(features = projection.len()))]
    async fn read(
        &self,
        kind: ReadKind,
        ids: Arc<[EntityId]>,
        projection: Arc<Projection>,
        timeout: Option<Duration>,
    ) -> Result<FeatureBatch, RequestError> {
        let started = Instant::now();
        self.check_size(ids.len(), projection.len())?;
        debug_assert_eq!(check_each_once(projection.names()), Ok(()));
        let deadline = started + self.timeout(timeout)?;
        let under_way = self.engine.read_metrics.begin(kind);
        let result = self.read_any(ids, projection, started, deadline).await;
        under_way.over();
        let (batch, phases) = result?;
        self.record_read(kind, &batch, started.elapsed(), phases);
        Ok(batch)
    }

    /// The short way where it does, or else the long one.
    async fn read_any(
        &self,
        ids: Arc<[EntityId]>,
        projection: Arc<Projection>,
        started: Instant,
        deadline: Instant,
    ) -> Result<(FeatureBatch, Option<Phases>), RequestError> {
        let mut primary_is_late = false;
        if let [id] = &*ids
            && self.engine.reads_primaries_first()
        {
            match self.read_one(id, &ids, &projection, deadline).await? {
                OneRead::Answered(batch) => return Ok((batch, None)),
                OneRead::Late => primary_is_late = true,
                OneRead::Other => {}
            }
        }
        self.read_all(ids, projection, started, deadline, primary_is_late).await
    }

    /// The long way: plan, fan out, merge.
    async fn read_all(
        &self,
        ids: Arc<[EntityId]>,
        projection: Arc<Projection>,
        started: Instant,
        deadline: Instant,
        primary_is_late: bool,
    ) -> Result<(FeatureBatch, Option<Phases>), RequestError> {
        let engine = &*self.engine;
        let keys = KeySet::new(&ids, &self.kind.layout.load())?;
        let operation = Read {
            transport: &*engine.transport,
            cluster: &engine.cluster,
            read_from: engine.options.read_from,
            hedge: engine.hedge.as_ref(),
            keys: &keys,
            features: projection.names(),
            deadline: deadline.into_std(),
            primary_is_late,
        };
        let fan_out = FanOut {
            operation: &operation,
            transport: &*engine.transport,
            gates: &engine.read_gates,
            keys: &keys,
            chunk_keys_max: self.chunk_keys_max(&projection),
            deadline,
            longest_wait: AtomicU64::new(0),
        };
        let mut batch = FeatureBatchBuilder::new(keys.len(), Arc::clone(&projection));
        let mut merging = Duration::ZERO;
        let ran = fan_out.run(|settled| merging += merge(&mut batch, settled)).await;
        let merged = Instant::now();
        let late = UnavailableReason::DeadlineExceeded(None);
        let batch = debug_span!("merge", shards = ran.shards)
            .in_scope(|| batch.finish(ids, keys.key_of_id(), ran.shards, &late));
        let merge = merging + merged.elapsed();
        Ok((batch, Some(Phases { plan: ran.planned - started, queue: ran.queued, merge })))
    }

    /// What a read of these features asks for: with the types that the schema gives them, and with its defaults where
    /// `with_defaults`. A feature that the schema does not know is read as it is.
    pub fn projection(
        &self,
        features: impl Into<Arc<[FeatureName]>>,
        with_defaults: bool,
    ) -> Result<Arc<Projection>, RequestError> {
        let features = features.into();
        self.check_size(0, features.len())?;
        check_each_once(&*features)?;
        Ok(Arc::new(self.kind.options.schema.projection(features, with_defaults)))
    }

    /// The feature set called `name`, which was resolved when the schema was made.
    pub fn feature_set(&self, name: &str, with_defaults: bool) -> Result<Arc<Projection>, RequestError> {
        let schema = &self.kind.options.schema;
        schema.set(name, with_defaults).cloned().ok_or_else(|| RequestError::UnknownFeatureSet {
            given: name.to_owned(),
            known: schema.set_names().collect::<Vec<_>>().join(", "),
        })
    }

    fn check_size(&self, ids: usize, features: usize) -> Result<(), RequestError> {
        let options = &self.engine.options;
        if features == 0 {
            return Err(RequestError::NoFeatures);
        }
        if features > options.batch_features_max {
            return Err(RequestError::TooManyFeatures { given: features, max: options.batch_features_max });
        }
        if ids > options.batch_ids_max {
            return Err(RequestError::TooManyIds { given: ids, max: options.batch_ids_max });
        }
        let cells = ids.saturating_mul(features);
        if cells > options.batch_cells_max {
            return Err(RequestError::TooManyCells { given: cells, max: options.batch_cells_max });
        }
        Ok(())
    }

    /// Keys of one pipeline: as many as the limit says, fewer where the names are very long.
    fn chunk_keys_max(&self, projection: &Projection) -> usize {
        let names: usize = projection.names().iter().map(|name| name.len()).sum();
        self.engine.options.pipeline_commands_max.min((PIPELINE_BYTES_MAX / names.max(1)).max(1))
    }

    /// The deadline asked for, or the default one. Errors beyond the store's limit.
    pub(super) fn timeout(&self, timeout: Option<Duration>) -> Result<Duration, RequestError> {
        let options = &self.engine.options;
        let timeout = timeout.unwrap_or(options.request_timeout);
        if timeout.is_zero() || timeout > options.request_timeout_max {
            let max_ms = options.request_timeout_max.as_millis();
            return Err(RequestError::Timeout { given_ms: timeout.as_millis(), max_ms });
        }
        Ok(timeout)
    }
}

/// Returns how long it took; keys that failed take no time worth a look at the clock for each.
#[instrument(level = "debug", skip_all)]
fn merge(batch: &mut FeatureBatchBuilder, settled: Settled<'_, ReadRows>) -> Duration {
    match settled {
        Settled::Failed { keys, reason } => {
            batch.fail(keys.iter().copied(), &reason);
            Duration::ZERO
        }
        Settled::Answered { keys, output, except } => {
            let begun = std::time::Instant::now();
            let block = batch.add_block(output.block, output.stale);
            let mut except = except.iter().copied().peekable();
            let (places, confirmed) = output.confirmed.unwrap_or_default();
            let confirmed = (!places.is_empty()).then(|| batch.add_block(confirmed, false));
            let mut places = (0u32..).zip(places).peekable();
            for (row, key) in (0u32..).zip(keys) {
                let of_primary = places.next_if(|(_, place)| *place == row as usize);
                if except.next_if_eq(&(row as usize)).is_some() {
                    continue;
                }
                match (of_primary, confirmed) {
                    (Some((row, _)), Some(confirmed)) => batch.place(*key, confirmed, row),
                    _ => batch.place(*key, block, row),
                }
            }
            begun.elapsed()
        }
    }
}

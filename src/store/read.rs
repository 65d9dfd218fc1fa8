//! Batch reads: plan, fan out, merge into one [`FeatureBatch`].

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics;
use crate::model::limits::PIPELINE_BYTES_MAX;
use crate::model::{
    EntityId, FeatureBatch, FeatureBatchBuilder, FeatureName, Projection, RowStatus, UnavailableReason,
};
use crate::slot::KeySet;

use super::FeatureStore;
use super::error::{RequestError, check_each_once};
use super::fan_out::{FanOut, Settled};
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
        self.batch_get_features([id], features, timeout).await
    }

    /// Reads `features` of every id: one row per id, in the order of `ids`, each with a status. An id given twice
    /// is read once and answered twice.
    ///
    /// `timeout` bounds the whole call (`None`: the store's default); rows that have no answer by then are
    /// [`RowStatus::Unavailable`], with a reason. Errors only where the request itself is at fault; then nothing
    /// was sent.
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
        let started = Instant::now();
        let ids = ids.into();
        self.check_size(ids.len(), projection.len())?;
        debug_assert_eq!(check_each_once(projection.names()), Ok(()));
        let deadline = started + self.timeout(timeout)?;
        let engine = &*self.engine;
        let mut primary_is_late = false;
        if let [id] = &*ids
            && engine.reads_primaries_first()
        {
            match self.read_one(id, &ids, &projection, deadline).await? {
                OneRead::Answered(batch) => {
                    engine.read_metrics.record(&batch, started.elapsed());
                    return Ok(batch);
                }
                OneRead::Late => primary_is_late = true,
                OneRead::Other => {}
            }
        }
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
        };
        let mut batch = FeatureBatchBuilder::new(keys.len(), Arc::clone(&projection));
        let shards = fan_out.run(|settled| merge(&mut batch, settled)).await;
        let batch = batch.finish(ids, keys.key_of_id(), shards, &UnavailableReason::DeadlineExceeded(None));
        engine.read_metrics.record(&batch, started.elapsed());
        Ok(batch)
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

fn merge(batch: &mut FeatureBatchBuilder, settled: Settled<'_, ReadRows>) {
    match settled {
        Settled::Failed { keys, reason } => batch.fail(keys.iter().copied(), &reason),
        Settled::Answered { keys, output, except } => {
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
        }
    }
}

/// What is counted per batch; looked up once.
pub(super) struct ReadMetrics {
    duration: ::metrics::Histogram,
    recent: ::metrics::Histogram,
    entities: ::metrics::Histogram,
    rows: [::metrics::Counter; 4],
    stale: ::metrics::Counter,
}

impl ReadMetrics {
    pub(super) fn new() -> Self {
        Self {
            duration: metrics::histogram(&metrics::READ_DURATION, ["batch"]),
            recent: metrics::histogram(&metrics::READ_DURATION_RECENT, ["batch"]),
            entities: metrics::histogram(&metrics::READ_ENTITIES, ["batch"]),
            rows: RowStatus::ALL.map(|status| metrics::counter(&metrics::ROWS, [status.as_str()])),
            stale: metrics::counter(&metrics::ROWS_STALE, []),
        }
    }

    fn record(&self, batch: &FeatureBatch, elapsed: Duration) {
        self.duration.record(elapsed.as_secs_f64());
        self.recent.record(elapsed.as_secs_f64());
        self.entities.record(batch.len() as f64);
        for status in RowStatus::ALL {
            let rows = batch.summary().of(status) as u64;
            if rows > 0 {
                self.rows[status.index()].increment(rows);
            }
        }
        if batch.summary().stale_possible > 0 {
            self.stale.increment(batch.summary().stale_possible as u64);
        }
        if batch.summary().unavailable > 0 {
            for reason in batch.rows().filter_map(|row| row.reason) {
                metrics::counter(&metrics::ROWS_UNAVAILABLE, [reason.kind()]).increment(1);
            }
        }
    }
}

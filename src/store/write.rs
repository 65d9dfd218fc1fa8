//! Writes of batch features, under the key's TTL; `streaming` has those under a TTL of their own.
//!
//! Invariant: every row is reported as written or rejected.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use futures::{FutureExt, Stream, StreamExt};
use tracing::instrument;

use crate::model::limits::{
    FEATURE_VALUE_BYTES_MAX, FEATURES_PER_WRITE_MAX, LOAD_BYTES_PER_BATCH, LOAD_LATE_BATCHES_MAX,
    LOAD_ROWS_PER_BATCH, TTL_SECONDS_MAX, WAIT_REPLICAS_TIMEOUT, WRITE_TIMEOUT,
    WRITE_TIMEOUT_AFTER_LATE_ONES,
};
use crate::model::{
    EntityId, FeatureClass, FeatureName, FeatureRow, FeatureValue, Schema, UnavailableReason,
};
use crate::shard::{Command, Confirm, Reply};
use crate::slot::{KeyNumber, KeySet, Shard, Topology};

use super::FeatureStore;
use super::error::{RequestError, StoreError, check_each_once};
use super::fan_out::Effect;
use super::keyed::{Commands, KeyReplies};
use super::options::LoadOptions;
use super::write_metrics::WriteOutcome;

/// Writes the values of one row, then the key's TTL: all of it or, at a key that is no hash, nothing. As two commands,
/// the second would give a TTL to the key of somebody else that the first has just refused. ARGV: the TTL, a condition
/// for it or nothing, then names and values.
const ROW_SCRIPT: &str = r"
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
if ARGV[2] == '' then return redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return redis.call('EXPIRE', KEYS[1], ARGV[1], ARGV[2])
";

/// Why a row was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRejected {
    reason: String,
    /// Its shard had not answered when the batch's time was over.
    late: bool,
    outcome: WriteOutcome,
}

impl RowRejected {
    fn because(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), late: false, outcome: WriteOutcome::Rejected }
    }
}

impl From<&UnavailableReason> for RowRejected {
    fn from(reason: &UnavailableReason) -> Self {
        let late = matches!(
            reason,
            UnavailableReason::DeadlineExceeded(Some(_)) | UnavailableReason::OutcomeUnknown(_)
        );
        Self { late, outcome: reason.into(), ..Self::because(reason) }
    }
}

impl fmt::Display for RowRejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// How one batch of a load is written.
struct LoadBatch<'a> {
    ttl_seconds: u64,
    confirm: Option<Confirm>,
    patience: Duration,
    /// Is made true when any of it is sent.
    sent: &'a AtomicBool,
}

/// How a bulk load went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Rows whose values and TTL are in place.
    pub written: u64,
    /// Rows that are not; each was reported with its reason.
    pub rejected: u64,
}

impl FeatureStore {
    /// Writes rows of any number, in bounded memory: the values, then the key's TTL of `ttl_seconds` (`None`: the
    /// kind's default). `on_row` hears of every row, in order, once it is decided. Rows of the same id are applied
    /// in order. With `wait_replicas`, a row is written once so many replicas have it too; a row that the primary has
    /// and they have not is rejected, and says so. Errors where a shard has fewer replicas than that, and only where `ttl_seconds` is out of range; then nothing was written.
    pub async fn bulk_load<R, S, F>(
        &self,
        rows: S,
        options: LoadOptions,
        mut on_row: F,
    ) -> Result<LoadReport, RequestError>
    where
        R: AsRef<FeatureRow> + Sync,
        S: Stream<Item = R>,
        F: FnMut(R, Result<(), RowRejected>),
    {
        let ttl_seconds = check_ttl(options.ttl_seconds.unwrap_or(self.kind.options.batch_ttl_seconds))?;
        self.check_replicas(options.wait_replicas).await?;
        let within = WAIT_REPLICAS_TIMEOUT.min(self.settings().response_timeout / 2);
        let confirm =
            (options.wait_replicas > 0).then_some(Confirm { replicas: options.wait_replicas, within });
        let mut report = LoadReport::default();
        let mut rows = std::pin::pin!(rows.fuse());
        let mut late_in_a_row = 0;
        // One batch after the other: two at once could apply two rows of one id in the wrong order.
        while let Some(batch) = next_batch(rows.as_mut()).await {
            // A shard that no failover has brought back is not waited for as long again by every batch.
            let patience = if late_in_a_row < LOAD_LATE_BATCHES_MAX {
                WRITE_TIMEOUT
            } else {
                WRITE_TIMEOUT_AFTER_LATE_ONES
            };
            let begun = Instant::now();
            let counted = self.engine.batch_writes.begin(batch.len());
            let how = LoadBatch { ttl_seconds, confirm, patience, sent: &counted.sent };
            let results = self.load_batch(&batch, how).await;
            let outcome = |result: &Result<(), RowRejected>| {
                result.as_ref().map_or_else(|rejected| rejected.outcome, |()| WriteOutcome::Written)
            };
            counted.became(results.iter().map(outcome));
            self.engine.batch_writes.took(begun.elapsed());
            let late = results.iter().any(|result| result.as_ref().is_err_and(|rejected| rejected.late));
            late_in_a_row = if late { late_in_a_row + 1 } else { 0 };
            for (row, result) in batch.into_iter().zip(results) {
                match result {
                    Ok(()) => report.written += 1,
                    Err(_) => report.rejected += 1,
                }
                on_row(row, result);
            }
        }
        Ok(report)
    }

    /// Errors where a shard has too few replicas, also at a second look: all rows would be written, and none confirmed.
    async fn check_replicas(&self, asked: u8) -> Result<(), RequestError> {
        let lacking = |topology: &Topology| {
            let lacks = |shard: &&Arc<Shard>| shard.replicas.len() < usize::from(asked);
            topology.shards().iter().find(lacks).cloned()
        };
        let topology = self.topology();
        if lacking(&topology).is_none() {
            return Ok(());
        }
        self.engine.cluster.refresh(topology.version()).await;
        lacking(&self.topology()).map_or(Ok(()), |shard| {
            let (has, primary) = (shard.replicas.len(), shard.primary.to_string());
            Err(RequestError::TooFewReplicas { asked, has, primary })
        })
    }

    #[instrument(name = "write", level = "debug", skip_all, fields(kind = "batch", rows = rows.len()))]
    async fn load_batch<R: AsRef<FeatureRow> + Sync>(
        &self,
        rows: &[R],
        LoadBatch { ttl_seconds, confirm, patience, sent }: LoadBatch<'_>,
    ) -> Vec<Result<(), RowRejected>> {
        let (layout, schema) = (self.kind.layout.load_full(), &self.kind.options.schema);
        let mut results: Vec<Result<(), RowRejected>> = Vec::with_capacity(rows.len());
        let (mut given, mut places) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for (place, row) in rows.iter().enumerate() {
            let row = row.as_ref();
            let checked = check_features(schema, FeatureClass::Batch, &row.features);
            let key = checked.and_then(|()| Ok(layout.key(&row.id)?));
            results.push(key.map_err(RowRejected::because).map(|key| {
                given.push(key);
                places.push(place);
            }));
        }
        let keys = match KeySet::of_keys(&given) {
            Ok(keys) => keys,
            Err(error) => return vec![Err(RowRejected::because(error)); rows.len()],
        };
        // Rows of the same id, in order, are one key's commands.
        let mut rows_of_key: Vec<Vec<usize>> = vec![Vec::new(); keys.len()];
        for (number, place) in places.iter().enumerate() {
            let key = keys.key_of_id().map_or(number, |key_of_id| key_of_id[number] as usize);
            rows_of_key[key].push(*place);
        }
        let commands_of = |key: KeyNumber| {
            let write =
                |place: &usize| batch_write(keys.key(key), &rows[*place].as_ref().features, ttl_seconds, "");
            rows_of_key[key as usize].iter().map(write).collect()
        };
        let count = |key: KeyNumber| rows_of_key[key as usize].len();
        let (effect, sent) = (Effect::SameTwice, Some(sent));
        let commands = Commands { of: &commands_of, count: &count, effect, confirm, sent };
        let answers = self.engine.run_commands(&keys, commands, patience).await;
        for (rows, answer) in rows_of_key.iter().zip(answers) {
            for (number, place) in rows.iter().enumerate() {
                results[*place] = row_result(&answer, number);
            }
        }
        results
    }

    /// Writes one batch feature of one entity; an entity that is new gets the kind's key TTL.
    #[instrument(name = "write", level = "debug", skip_all, fields(kind = "batch", rows = 1))]
    pub async fn update_batch_feature(
        &self,
        id: &EntityId,
        feature: &FeatureName,
        value: FeatureValue,
    ) -> Result<(), StoreError> {
        let counted = self.engine.batch_writes.begin(1);
        let result = self.write_batch_feature(id, feature, value, &counted.sent).await;
        counted.became([WriteOutcome::from(&result)]);
        result
    }

    async fn write_batch_feature(
        &self,
        id: &EntityId,
        feature: &FeatureName,
        value: FeatureValue,
        sent: &AtomicBool,
    ) -> Result<(), StoreError> {
        let key = self.kind.layout.load().key(id).map_err(RequestError::from)?;
        let features = [(feature.clone(), value)];
        check_features(&self.kind.options.schema, FeatureClass::Batch, &features)?;
        let ttl = self.kind.options.batch_ttl_seconds;
        self.engine
            .run_key_noting(
                &key,
                vec![batch_write(&key, &features, ttl, "NX")],
                Effect::Once,
                self.engine.options.request_timeout,
                Some(sent),
            )
            .await?;
        Ok(())
    }
}

/// The next rows that are ready, at least one, within the limits of a batch; `None` at the end.
async fn next_batch<R: AsRef<FeatureRow>>(mut rows: Pin<&mut impl Stream<Item = R>>) -> Option<Vec<R>> {
    let first = rows.next().await?;
    let mut bytes = first.as_ref().size_bytes();
    let mut batch = vec![first];
    while batch.len() < LOAD_ROWS_PER_BATCH && bytes < LOAD_BYTES_PER_BATCH {
        let Some(Some(row)) = rows.next().now_or_never() else { break };
        bytes += row.as_ref().size_bytes();
        batch.push(row);
    }
    Some(batch)
}

/// A TTL that Redis takes, in seconds.
pub(super) fn check_ttl(ttl_seconds: u64) -> Result<u64, RequestError> {
    if (1..=TTL_SECONDS_MAX).contains(&ttl_seconds) {
        Ok(ttl_seconds)
    } else {
        Err(RequestError::Ttl { given: ttl_seconds, max: TTL_SECONDS_MAX })
    }
}

/// A write within the limits that the schema allows.
pub(super) fn check_features(
    schema: &Schema,
    class: FeatureClass,
    features: &[(FeatureName, FeatureValue)],
) -> Result<(), RequestError> {
    if features.is_empty() {
        return Err(RequestError::NoFeatures);
    }
    if features.len() > FEATURES_PER_WRITE_MAX {
        return Err(RequestError::TooManyFeatures { given: features.len(), max: FEATURES_PER_WRITE_MAX });
    }
    check_each_once(features.iter().map(|(name, _)| name))?;
    match features.iter().find(|(_, value)| value.as_bytes().len() > FEATURE_VALUE_BYTES_MAX) {
        None => Ok(schema.check_write(class, features)?),
        Some((name, value)) => Err(RequestError::ValueTooLarge {
            feature: name.to_string(),
            bytes: value.as_bytes().len(),
            max: FEATURE_VALUE_BYTES_MAX,
        }),
    }
}

/// Name, value, name, value, … as every command that writes fields takes them.
pub(super) fn pairs<'f>(
    features: impl IntoIterator<Item = &'f (FeatureName, FeatureValue)>,
) -> impl Iterator<Item = &'f [u8]> {
    features.into_iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()])
}

fn batch_write(
    key: &[u8],
    features: &[(FeatureName, FeatureValue)],
    ttl_seconds: u64,
    condition: &str,
) -> Command {
    Command::script(ROW_SCRIPT, key).number(ttl_seconds).arg(condition).args(pairs(features))
}

/// What became of the row of that number among its key's rows.
fn row_result(answer: &KeyReplies, number: usize) -> Result<(), RowRejected> {
    let replies = answer.as_ref().map_err(RowRejected::from)?;
    match replies.get(number).and_then(Reply::as_i64) {
        Some(1) => Ok(()),
        _ => Err(RowRejected {
            outcome: WriteOutcome::Unknown,
            ..RowRejected::because("the values were written, but the key did not get its TTL")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_its_ttl_is_neither_written_nor_rejected() {
        let answer = Ok(vec![Reply::Int(1), Reply::Int(0)]);
        assert_eq!(row_result(&answer, 0), Ok(()));
        assert_eq!(row_result(&answer, 1).map_err(|row| row.outcome), Err(WriteOutcome::Unknown));
    }

    #[test]
    fn a_ttl_of_nothing_or_beyond_what_redis_takes_is_refused() {
        assert!(check_ttl(0).is_err() && check_ttl(TTL_SECONDS_MAX + 1).is_err());
        assert!(check_ttl(1).is_ok() && check_ttl(TTL_SECONDS_MAX).is_ok());
    }
}

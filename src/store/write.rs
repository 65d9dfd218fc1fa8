//! Writes: batch features under the key's TTL, streaming features each under their own.
//!
//! Invariants: every row is reported as written or rejected; a streaming value is never written without its TTL.

use std::fmt;
use std::pin::Pin;

use futures::{FutureExt, Stream, StreamExt};

use crate::metrics;
use crate::model::limits::{
    FEATURE_VALUE_BYTES_MAX, FEATURES_PER_WRITE_MAX, LOAD_BYTES_PER_BATCH, LOAD_ROWS_PER_BATCH,
    TTL_SECONDS_MAX, WRITE_TIMEOUT,
};
use crate::model::{EntityId, FeatureName, FeatureRow, FeatureValue};
use crate::shard::{Command, Reply, StreamingWrite};
use crate::slot::{KeyNumber, KeySet};

use super::FeatureStore;
use super::error::{RequestError, StoreError, check_each_once};
use super::fan_out::Effect;
use super::keyed::KeyReplies;

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
pub struct RowRejected(pub String);

impl fmt::Display for RowRejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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
    /// in order. Errors only where `ttl_seconds` is out of range; then nothing was written.
    pub async fn bulk_load<R, S, F>(
        &self,
        rows: S,
        ttl_seconds: Option<u64>,
        mut on_row: F,
    ) -> Result<LoadReport, RequestError>
    where
        R: AsRef<FeatureRow> + Sync,
        S: Stream<Item = R>,
        F: FnMut(R, Result<(), RowRejected>),
    {
        let ttl_seconds = check_ttl(ttl_seconds.unwrap_or(self.kind.options.batch_ttl_seconds))?;
        let mut report = LoadReport::default();
        let mut rows = std::pin::pin!(rows.fuse());
        // One batch after the other: two at once could apply two rows of one id in the wrong order.
        while let Some(batch) = next_batch(rows.as_mut()).await {
            let results = self.load_batch(&batch, ttl_seconds).await;
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

    async fn load_batch<R: AsRef<FeatureRow> + Sync>(
        &self,
        rows: &[R],
        ttl_seconds: u64,
    ) -> Vec<Result<(), RowRejected>> {
        let layout = self.kind.layout.load_full();
        let mut results: Vec<Result<(), RowRejected>> = Vec::with_capacity(rows.len());
        let (mut given, mut places) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for (place, row) in rows.iter().enumerate() {
            let row = row.as_ref();
            let key = check_features(&row.features).and_then(|()| Ok(layout.key(&row.id)?));
            results.push(key.map_err(|error| RowRejected(error.to_string())).map(|key| {
                given.push(key);
                places.push(place);
            }));
        }
        let keys = match KeySet::of_keys(&given) {
            Ok(keys) => keys,
            Err(error) => return vec![Err(RowRejected(error.to_string())); rows.len()],
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
        let answers =
            self.engine.run_commands(&keys, &commands_of, 1, Effect::SameTwice, WRITE_TIMEOUT).await;
        for (rows, answer) in rows_of_key.iter().zip(answers) {
            for (number, place) in rows.iter().enumerate() {
                results[*place] = row_result(&answer, number);
            }
        }
        let written = results.iter().filter(|result| result.is_ok()).count() as u64;
        metrics::writes("batch", written, results.len() as u64 - written);
        results
    }

    /// Writes one batch feature of one entity; an entity that is new gets the kind's key TTL.
    pub async fn update_batch_feature(
        &self,
        id: &EntityId,
        feature: &FeatureName,
        value: FeatureValue,
    ) -> Result<(), StoreError> {
        let key = self.kind.layout.load().key(id).map_err(RequestError::from)?;
        let features = [(feature.clone(), value)];
        check_features(&features)?;
        let ttl = self.kind.options.batch_ttl_seconds;
        self.engine
            .run_key(
                &key,
                vec![batch_write(&key, &features, ttl, "NX")],
                Effect::Once,
                self.engine.options.request_timeout,
            )
            .await?;
        Ok(())
    }

    /// Writes streaming features of one entity, each under a field TTL of `ttl_seconds` (`None`: the kind's
    /// default), in one atomic step. Errors where a single field did not get its TTL, and where the connection
    /// failed in the middle: that write is never sent twice, as it could then undo a newer one. Takes the store's
    /// request timeout at most, like the other calls for one entity.
    pub async fn update_streaming(
        &self,
        id: &EntityId,
        features: &[(FeatureName, FeatureValue)],
        ttl_seconds: Option<u64>,
    ) -> Result<(), StoreError> {
        let ttl_seconds = check_ttl(ttl_seconds.unwrap_or(self.kind.options.streaming_ttl_seconds))?;
        check_features(features)?;
        let key = self.kind.layout.load().key(id).map_err(RequestError::from)?;
        let way = self.engine.capabilities.streaming_write;
        let commands = streaming_write(way, &key, features, ttl_seconds);
        let timeout = self.engine.options.request_timeout;
        let answer = self.engine.run_key(&key, commands, Effect::Once, timeout).await;
        let result = match answer {
            Err(reason) => Err(StoreError::from(reason)),
            Ok(replies) if every_ttl_is_set(way, &replies, features.len()) => Ok(()),
            Ok(replies) => Err(StoreError::Broken(format!(
                "not every field of {id:?} got its TTL; the server answered {replies:?}"
            ))),
        };
        metrics::writes("streaming", u64::from(result.is_ok()), u64::from(result.is_err()));
        result
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

fn check_features(features: &[(FeatureName, FeatureValue)]) -> Result<(), RequestError> {
    if features.is_empty() {
        return Err(RequestError::NoFeatures);
    }
    if features.len() > FEATURES_PER_WRITE_MAX {
        return Err(RequestError::TooManyFeatures { given: features.len(), max: FEATURES_PER_WRITE_MAX });
    }
    check_each_once(features.iter().map(|(name, _)| name))?;
    match features.iter().find(|(_, value)| value.as_bytes().len() > FEATURE_VALUE_BYTES_MAX) {
        None => Ok(()),
        Some((name, value)) => Err(RequestError::ValueTooLarge {
            feature: name.to_string(),
            bytes: value.as_bytes().len(),
            max: FEATURE_VALUE_BYTES_MAX,
        }),
    }
}

/// Name, value, name, value, … as every command that writes fields takes them.
fn pairs(features: &[(FeatureName, FeatureValue)]) -> impl Iterator<Item = &[u8]> {
    features.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()])
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
    let replies = answer.as_ref().map_err(|reason| RowRejected(reason.to_string()))?;
    match replies.get(number).and_then(Reply::as_i64) {
        Some(1) => Ok(()),
        _ => Err(RowRejected("the values were written, but the key did not get its TTL".to_owned())),
    }
}

fn streaming_write(
    way: StreamingWrite,
    key: &[u8],
    features: &[(FeatureName, FeatureValue)],
    ttl_seconds: u64,
) -> Vec<Command> {
    let count = features.len() as u64;
    match way {
        StreamingWrite::Hsetex => {
            let command =
                Command::new("HSETEX").arg(key).arg("EX").number(ttl_seconds).arg("FIELDS").number(count);
            vec![command.args(pairs(features))]
        }
        StreamingWrite::Transaction => {
            let names = features.iter().map(|(name, _)| name.as_bytes());
            let expire = Command::new("HEXPIRE").arg(key).number(ttl_seconds).arg("FIELDS").number(count);
            let set = Command::new("HSET").arg(key).args(pairs(features));
            vec![Command::new("MULTI"), set, expire.args(names), Command::new("EXEC")]
        }
    }
}

/// Codes of `HEXPIRE`: 1 set, 2 deleted as the time has passed, 0 condition not met, −2 no such field. Source: its
/// documentation. `HSETEX` answers 1 where all fields were set.
fn every_ttl_is_set(way: StreamingWrite, replies: &[Reply], count: usize) -> bool {
    match (way, replies) {
        (StreamingWrite::Hsetex, [code]) => code.as_i64() == Some(1),
        (StreamingWrite::Transaction, [_, _, _, Reply::Array(results)]) => match &results[..] {
            [set, Reply::Array(codes)] => {
                set.as_i64().is_some()
                    && codes.len() == count
                    && codes.iter().all(|code| code.as_i64() == Some(1))
            }
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_without_its_ttl_is_a_failure() {
        let codes = |codes: &[i64]| Reply::Array(codes.iter().map(|code| Reply::Int(*code)).collect());
        let exec = |results: Vec<Reply>| {
            let queued = || Reply::Text("QUEUED".into());
            vec![Reply::Text("OK".into()), queued(), queued(), Reply::Array(results)]
        };
        let way = StreamingWrite::Transaction;
        assert!(every_ttl_is_set(way, &exec(vec![Reply::Int(2), codes(&[1, 1])]), 2));
        for bad in [&[1, 2][..], &[1, 0], &[-2, 1], &[1], &[]] {
            assert!(!every_ttl_is_set(way, &exec(vec![Reply::Int(2), codes(bad)]), 2), "{bad:?}");
        }
        assert!(!every_ttl_is_set(way, &exec(vec![Reply::Error("WRONGTYPE".into()), codes(&[1, 1])]), 2));
        assert!(!every_ttl_is_set(way, &[Reply::Nil], 2));
        assert!(every_ttl_is_set(StreamingWrite::Hsetex, &[Reply::Int(1)], 2));
        assert!(!every_ttl_is_set(StreamingWrite::Hsetex, &[Reply::Int(0)], 2));
    }

    #[test]
    fn a_ttl_of_nothing_or_beyond_what_redis_takes_is_refused() {
        assert!(check_ttl(0).is_err() && check_ttl(TTL_SECONDS_MAX + 1).is_err());
        assert!(check_ttl(1).is_ok() && check_ttl(TTL_SECONDS_MAX).is_ok());
    }
}

//! Writes of streaming features, each under a TTL of its own.
//!
//! Invariant: a streaming value is never written without its TTL, whatever fails; all features of a write or none.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tracing::instrument;

use crate::model::{EntityId, FeatureClass, FeatureName, FeatureValue, UnavailableReason};
use crate::shard::{Command, Reply, StreamingWrite};

use super::FeatureStore;
use super::error::{RequestError, StoreError};
use super::fan_out::Effect;
use super::write::{check_features, check_ttl, pairs};
use super::write_metrics::WriteOutcome;

/// Features that get the same TTL.
struct TtlGroup<'a> {
    ttl_seconds: u64,
    features: Vec<&'a (FeatureName, FeatureValue)>,
}

impl FeatureStore {
    /// Writes streaming features of one entity, each under a field TTL of `ttl_seconds` (`None`: the one of
    /// [`FeatureStore::streaming_ttl_seconds`]), in one atomic step. Errors where a single field did not get its TTL,
    /// and where the connection failed in the middle: that write is never sent twice, as it could then undo a newer
    /// one. Takes the store's request timeout at most, like the other calls for one entity.
    pub async fn update_streaming(
        &self,
        id: &EntityId,
        features: &[(FeatureName, FeatureValue)],
        ttl_seconds: Option<u64>,
    ) -> Result<(), StoreError> {
        self.update_streaming_within(id, features, ttl_seconds, None).await
    }

    /// The same within `timeout` (`None`: the store's default).
    #[instrument(name = "write", level = "debug", skip_all, fields(kind = "streaming", rows = 1))]
    pub async fn update_streaming_within(
        &self,
        id: &EntityId,
        features: &[(FeatureName, FeatureValue)],
        ttl_seconds: Option<u64>,
        timeout: Option<Duration>,
    ) -> Result<(), StoreError> {
        let begun = Instant::now();
        let metrics = &self.engine.streaming_writes;
        let counted = metrics.begin(1);
        let result = self.write_streaming(id, features, ttl_seconds, timeout, &counted.sent).await;
        counted.became([WriteOutcome::from(&result)]);
        metrics.took(begun.elapsed());
        result
    }

    async fn write_streaming(
        &self,
        id: &EntityId,
        features: &[(FeatureName, FeatureValue)],
        ttl_seconds: Option<u64>,
        timeout: Option<Duration>,
        sent: &AtomicBool,
    ) -> Result<(), StoreError> {
        let timeout = self.timeout(timeout)?;
        let options = &self.kind.options;
        check_features(&options.schema, FeatureClass::Streaming, features)?;
        let ttl_of = |name: &FeatureName| ttl_seconds.unwrap_or_else(|| self.streaming_ttl_seconds(name));
        let groups = by_ttl(features, ttl_of);
        for group in &groups {
            check_ttl(group.ttl_seconds)?;
        }
        let key = self.kind.layout.load().key(id).map_err(RequestError::from)?;
        let way = self.engine.capabilities.streaming_write;
        let commands = streaming_write(way, &key, &groups);
        let answer = self.engine.run_key_noting(&key, commands, Effect::Once, timeout, Some(sent)).await;
        match answer {
            Err(reason) => Err(StoreError::from(reason)),
            Ok(replies) if every_ttl_is_set(way, &replies, &groups) => Ok(()),
            Ok(replies) => Err(match refused_whole(&replies) {
                Some(error) => UnavailableReason::Refused(error.into()).into(),
                None => StoreError::Broken(format!(
                    "not every field of {id:?} got its TTL; the server answered {replies:?}"
                )),
            }),
        }
    }

    /// The field TTL of a streaming feature that is written without one: the schema's, or else the kind's.
    pub fn streaming_ttl_seconds(&self, feature: &FeatureName) -> u64 {
        let declared = self.kind.options.schema.feature(feature).and_then(|feature| feature.ttl_seconds);
        declared.unwrap_or(self.kind.options.streaming_ttl_seconds)
    }
}

/// The features by TTL, in the order of the first of each.
fn by_ttl(
    features: &[(FeatureName, FeatureValue)],
    ttl_of: impl Fn(&FeatureName) -> u64,
) -> Vec<TtlGroup<'_>> {
    let mut groups: Vec<TtlGroup<'_>> = Vec::new();
    for feature in features {
        let ttl_seconds = ttl_of(&feature.0);
        match groups.iter_mut().find(|group| group.ttl_seconds == ttl_seconds) {
            Some(group) => group.features.push(feature),
            None => groups.push(TtlGroup { ttl_seconds, features: vec![feature] }),
        }
    }
    groups
}

/// One `HSETEX` sets one TTL. Several of them, or `HSET` and `HEXPIRE`, are one step as a transaction.
fn streaming_write(way: StreamingWrite, key: &[u8], groups: &[TtlGroup<'_>]) -> Vec<Command> {
    let expiring = |command: Command, group: &TtlGroup<'_>| {
        command.number(group.ttl_seconds).arg("FIELDS").number(group.features.len() as u64)
    };
    let hsetex = |group: &TtlGroup<'_>| {
        let command = Command::new("HSETEX").arg(key).arg("EX");
        expiring(command, group).args(pairs(group.features.iter().copied()))
    };
    let hexpire = |group: &TtlGroup<'_>| {
        let names = group.features.iter().map(|(name, _)| name.as_bytes());
        expiring(Command::new("HEXPIRE").arg(key), group).args(names)
    };
    let mut commands = vec![Command::new("MULTI")];
    match (way, groups) {
        (StreamingWrite::Hsetex, [only]) => return vec![hsetex(only)],
        (StreamingWrite::Hsetex, _) => commands.extend(groups.iter().map(hsetex)),
        (StreamingWrite::Transaction, _) => {
            let all = groups.iter().flat_map(|group| group.features.iter().copied());
            commands.push(Command::new("HSET").arg(key).args(pairs(all)));
            commands.extend(groups.iter().map(hexpire));
        }
    }
    commands.push(Command::new("EXEC"));
    commands
}

/// Codes of `HEXPIRE`: 1 set, 2 deleted as the time has passed, 0 condition not met, −2 no such field. Source: its
/// documentation. `HSETEX` answers 1 where all fields were set.
fn every_ttl_is_set(way: StreamingWrite, replies: &[Reply], groups: &[TtlGroup<'_>]) -> bool {
    let is_one = |reply: &Reply| reply.as_i64() == Some(1);
    match (way, groups, replies) {
        (StreamingWrite::Hsetex, [_], [code]) => is_one(code),
        (StreamingWrite::Hsetex, [_], _) => false,
        (StreamingWrite::Hsetex, _, [.., Reply::Array(codes)]) => {
            codes.len() == groups.len() && codes.iter().all(is_one)
        }
        (StreamingWrite::Transaction, _, [.., Reply::Array(results)]) => match &results[..] {
            [set, expired @ ..] if set.as_i64().is_some() && expired.len() == groups.len() => {
                expired.iter().zip(groups).all(|(reply, group)| match reply {
                    Reply::Array(codes) => codes.len() == group.features.len() && codes.iter().all(is_one),
                    _ => false,
                })
            }
            _ => false,
        },
        _ => false,
    }
}

/// The error of a transaction of which every command failed: nothing of it took effect.
fn refused_whole(replies: &[Reply]) -> Option<&str> {
    let Some(Reply::Array(results)) = replies.last() else { return None };
    let mut errors = results.iter().map(|reply| match reply {
        Reply::Error(error) => Some(&**error),
        _ => None,
    });
    let first = errors.next()??;
    errors.all(|error| error.is_some()).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(name: &str) -> (FeatureName, FeatureValue) {
        (FeatureName::new(name).unwrap(), "1".into())
    }

    fn codes(codes: &[i64]) -> Reply {
        Reply::Array(codes.iter().map(|code| Reply::Int(*code)).collect())
    }

    /// What a transaction of so many commands answers.
    fn exec(results: Vec<Reply>) -> Vec<Reply> {
        let mut replies = vec![Reply::Text("OK".into())];
        replies.extend(results.iter().map(|_| Reply::Text("QUEUED".into())));
        replies.push(Reply::Array(results));
        replies
    }

    #[test]
    fn one_field_without_its_ttl_is_a_failure() {
        let features = [feature("a"), feature("b")];
        let one = by_ttl(&features, |_| 60);
        let way = StreamingWrite::Transaction;
        assert!(every_ttl_is_set(way, &exec(vec![Reply::Int(2), codes(&[1, 1])]), &one));
        for bad in [&[1, 2][..], &[1, 0], &[-2, 1], &[1], &[]] {
            assert!(!every_ttl_is_set(way, &exec(vec![Reply::Int(2), codes(bad)]), &one), "{bad:?}");
        }
        let refused = exec(vec![Reply::Error("WRONGTYPE".into()), codes(&[1, 1])]);
        assert!(!every_ttl_is_set(way, &refused, &one));
        assert_eq!(refused_whole(&refused), None, "it took effect in part");
        let error = || Reply::Error("WRONGTYPE".into());
        assert_eq!(refused_whole(&exec(vec![error(), error()])), Some("WRONGTYPE"));
        assert_eq!(refused_whole(&exec(vec![])), None);
        assert!(!every_ttl_is_set(way, &[Reply::Nil], &one));
        assert!(every_ttl_is_set(StreamingWrite::Hsetex, &[Reply::Int(1)], &one));
        assert!(!every_ttl_is_set(StreamingWrite::Hsetex, &[Reply::Int(0)], &one));
        assert!(!every_ttl_is_set(StreamingWrite::Hsetex, &exec(vec![Reply::Int(1)]), &one));
    }

    #[test]
    fn with_several_ttls_each_group_has_to_be_set() {
        let features = [feature("a"), feature("b"), feature("c")];
        let groups = by_ttl(&features, |name| if name.as_str() == "b" { 5 } else { 60 });
        let names = |group: &TtlGroup<'_>| group.features.iter().map(|(name, _)| name.to_string()).collect();
        let grouped: Vec<(u64, Vec<String>)> =
            groups.iter().map(|group| (group.ttl_seconds, names(group))).collect();
        assert_eq!(grouped, [(60, vec!["a".into(), "c".into()]), (5, vec!["b".into()])]);

        let (hsetex, pair) = (StreamingWrite::Hsetex, StreamingWrite::Transaction);
        for (way, count) in [(hsetex, 4), (pair, 5)] {
            assert_eq!(streaming_write(way, b"k", &groups).len(), count, "{way:?}");
        }
        assert!(every_ttl_is_set(hsetex, &exec(vec![Reply::Int(1), Reply::Int(1)]), &groups));
        for bad in [&[1, 0][..], &[1], &[]] {
            let results = bad.iter().map(|code| Reply::Int(*code)).collect();
            assert!(!every_ttl_is_set(hsetex, &exec(results), &groups), "{bad:?}");
        }
        assert!(every_ttl_is_set(pair, &exec(vec![Reply::Int(3), codes(&[1, 1]), codes(&[1])]), &groups));
        assert!(!every_ttl_is_set(pair, &exec(vec![Reply::Int(3), codes(&[1, 1])]), &groups));
        assert!(!every_ttl_is_set(pair, &exec(vec![Reply::Int(3), codes(&[1, 1]), codes(&[2])]), &groups));
    }
}

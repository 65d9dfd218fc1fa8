//! Bringing entities that exist already under their cohort's key, and back.
//!
//! Each entity is copied with its TTLs as absolute times, and the source is removed only while it still is what was
//! copied: whenever this stops, every value is at one of the two keys, and running it again goes on from there.

use futures::stream::{self, StreamExt};

use crate::model::limits::{ADMIN_TIMEOUT, COHORT_MOVE_ATTEMPTS_MAX};
use crate::model::{EntityId, UnavailableReason};
use crate::shard::{Command, Reply};

use super::error::{RequestError, StoreError};
use super::keyed::Repeat;
use super::{Engine, FeatureStore};

/// Entities that are moved at the same time.
const MOVES_AT_ONCE: usize = 16;

/// Which way a cohort's entities are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveDirection {
    /// From the plain key to the cohort's.
    IntoCohort,
    /// From the cohort's key to the plain one.
    OutOfCohort,
}

/// What became of one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoveOutcome {
    /// Moved, with its TTLs.
    Moved,
    /// There was something at the target already: fields that it lacked were added, its own were kept as the newer.
    Merged,
    /// It was at the target already, and only there.
    AlreadyThere,
    /// It is at neither key.
    Absent,
    /// It is still at its source, and perhaps at the target too.
    Failed(String),
}

/// How a cohort's move went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MoveReport {
    /// Entities moved.
    pub moved: u64,
    /// Entities merged into what was at the target.
    pub merged: u64,
    /// Entities that were at the target already.
    pub already_there: u64,
    /// Entities that are at neither key.
    pub absent: u64,
    /// Entities that could not be moved.
    pub failed: u64,
}

/// Puts a copy at the target, where nothing is there or it is the copy that we left. Gives back how the target looks
/// then, or nothing where something else is there.
const PLACE_SCRIPT: &str = r"
if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('DUMP', KEYS[1]) ~= ARGV[3] then return false end
if ARGV[2] == '0' then
  redis.call('RESTORE', KEYS[1], 0, ARGV[1], 'REPLACE')
else
  redis.call('RESTORE', KEYS[1], ARGV[2], ARGV[1], 'REPLACE', 'ABSTTL')
end
return redis.call('DUMP', KEYS[1])
";

/// Adds the fields that the target lacks, with their expiry, and the key's expiry where it has none.
const MERGE_SCRIPT: &str = r"
for i = 2, #ARGV, 3 do
  if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 and tonumber(ARGV[i + 2]) > 0 then
    redis.call('HPEXPIREAT', KEYS[1], ARGV[i + 2], 'FIELDS', 1, ARGV[i])
  end
end
if tonumber(ARGV[1]) > 0 then redis.call('PEXPIREAT', KEYS[1], ARGV[1], 'NX') end
return 1
";

/// Removes the source, if it still is what was copied.
const REMOVE_SCRIPT: &str = r"
if redis.call('DUMP', KEYS[1]) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end
return 0
";

impl FeatureStore {
    /// Moves every member of `cohort` in `direction`; `on_member` hears of each. Errors where there is no such
    /// cohort. Writers that still use the other layout are noticed, not locked out: stop or switch them first.
    pub async fn move_cohort(
        &self,
        cohort: &str,
        direction: MoveDirection,
        mut on_member: impl FnMut(&EntityId, &MoveOutcome),
    ) -> Result<MoveReport, RequestError> {
        let layout = self.layout();
        let cohorts = layout.cohorts().cohorts();
        let known = || cohorts.iter().map(|cohort| cohort.name.as_str()).collect::<Vec<_>>().join(", ");
        let cohort = cohorts
            .iter()
            .find(|candidate| candidate.name == cohort)
            .ok_or_else(|| RequestError::UnknownCohort { given: cohort.to_owned(), known: known() })?;
        let moves = cohort.members.iter().filter_map(|id| {
            let tag = layout.cohorts().tag_of(id).filter(|tag| cohort.tags.contains(tag))?;
            let (plain, tagged) = (layout.plain_key(id), layout.tagged_key(tag, id));
            let (source, target) = match direction {
                MoveDirection::IntoCohort => (plain, tagged),
                MoveDirection::OutOfCohort => (tagged, plain),
            };
            let engine = &self.engine;
            Some(async move { (id, engine.move_key(&source, &target).await) })
        });
        let mut moves = stream::iter(moves).buffer_unordered(MOVES_AT_ONCE);
        let mut report = MoveReport::default();
        while let Some((id, outcome)) = moves.next().await {
            let outcome = outcome.unwrap_or_else(|error| MoveOutcome::Failed(error.to_string()));
            *match outcome {
                MoveOutcome::Moved => &mut report.moved,
                MoveOutcome::Merged => &mut report.merged,
                MoveOutcome::AlreadyThere => &mut report.already_there,
                MoveOutcome::Absent => &mut report.absent,
                MoveOutcome::Failed(_) => &mut report.failed,
            } += 1;
            on_member(id, &outcome);
        }
        Ok(report)
    }
}

impl Engine {
    async fn move_key(&self, source: &[u8], target: &[u8]) -> Result<MoveOutcome, StoreError> {
        let mut placed: Vec<u8> = Vec::new();
        let mut merged = false;
        for attempt in 0..COHORT_MOVE_ATTEMPTS_MAX {
            let Some((payload, expires_ms)) = self.dump(source).await? else {
                return Ok(if attempt > 0 {
                    // The source ran out of time between copy and removal; so will the copy.
                    MoveOutcome::Moved
                } else if self.number(target, Command::new("EXISTS").arg(target)).await? == 1 {
                    MoveOutcome::AlreadyThere
                } else {
                    MoveOutcome::Absent
                });
            };
            let place = script(PLACE_SCRIPT, target).arg(&payload).arg(expires_ms.to_string()).arg(&placed);
            match self.one(target, place).await? {
                Reply::Bytes(now) => placed = now,
                _ => {
                    self.merge(source, target).await?;
                    merged = true;
                }
            }
            if self.number(source, script(REMOVE_SCRIPT, source).arg(&payload)).await? == 1 {
                return Ok(if merged { MoveOutcome::Merged } else { MoveOutcome::Moved });
            }
        }
        Ok(MoveOutcome::Failed("a writer keeps changing it under its old key".to_owned()))
    }

    /// The value of a key and when it expires: milliseconds since 1970, 0 for never.
    async fn dump(&self, key: &[u8]) -> Result<Option<(Vec<u8>, u64)>, StoreError> {
        let commands = vec![
            Command::new("MULTI"),
            Command::new("DUMP").arg(key),
            Command::new("PEXPIRETIME").arg(key),
            Command::new("EXEC"),
        ];
        let mut replies = self.run_key(key, commands, Repeat::Yes, ADMIN_TIMEOUT).await?;
        let results = replies.pop().and_then(Reply::into_array).unwrap_or_default();
        match &results[..] {
            [Reply::Nil, _] => Ok(None),
            [Reply::Bytes(payload), expires] => {
                let expires = expires.as_i64().ok_or_else(|| broken("PEXPIRETIME"))?;
                Ok(Some((payload.clone(), u64::try_from(expires).unwrap_or(0))))
            }
            _ => Err(broken("DUMP")),
        }
    }

    async fn merge(&self, source: &[u8], target: &[u8]) -> Result<(), StoreError> {
        let (expires_ms, fields) = self.read_whole(source, "PEXPIRETIME", "HPEXPIRETIME").await?;
        if fields.is_empty() {
            return Ok(());
        }
        let mut merge = script(MERGE_SCRIPT, target).arg(expires_ms.to_string());
        for field in &fields {
            merge = merge.arg(&field.name).arg(&field.value).arg(field.ttl_seconds.to_string());
        }
        self.one(target, merge).await?;
        Ok(())
    }

    async fn one(&self, key: &[u8], command: Command) -> Result<Reply, UnavailableReason> {
        let mut replies = self.run_key(key, vec![command], Repeat::Yes, ADMIN_TIMEOUT).await?;
        Ok(replies.pop().unwrap_or(Reply::Nil))
    }

    async fn number(&self, key: &[u8], command: Command) -> Result<i64, StoreError> {
        self.one(key, command).await?.as_i64().ok_or_else(|| broken("a script"))
    }
}

fn script(text: &str, key: &[u8]) -> Command {
    Command::new("EVAL").arg(text).arg("1").arg(key)
}

fn broken(command: &str) -> StoreError {
    StoreError::Broken(format!("the server answered {command} in another shape than documented"))
}

//! Bringing entities that exist already under their cohort's key, and back.
//!
//! Each entity is copied with its TTLs as absolute times, and the source is removed only while it still is what was
//! copied: whenever this stops, every value is at one of the two keys, and running it again goes on from there.
//! Fields that the target has of its own are taken for the newer ones. Those that were copied a moment ago are not:
//! where the source has changed since, they follow it, and they are taken back where the move is given up.

use ahash::AHashMap;
use futures::stream::{self, StreamExt};

use crate::model::limits::{ADMIN_TIMEOUT, COHORT_MOVE_ATTEMPTS_MAX};
use crate::model::{EntityId, UnavailableReason};
use crate::shard::{Command, Reply};

use super::error::{RequestError, StoreError};
use super::fan_out::Effect;
use super::inspect::FieldView;
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

/// Adds the source's fields that the target lacks, lets those follow that are our own earlier copies, and sets the
/// key's expiry where it has none or ours. Answers 1 where the target has a field of its own, 0 otherwise.
/// ARGV: the source's expiry, now and as copied before; then per field what to do with it, its name, value, expiry,
/// and the value as copied before. Times are milliseconds since 1970, below 1 for never.
const COPY_SCRIPT: &str = r"
local before = #redis.call('HKEYS', KEYS[1])
local expiry = redis.call('PEXPIRETIME', KEYS[1])
local ours = 0
for i = 3, #ARGV, 5 do
  local what, name, value, expires = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local held = redis.call('HGET', KEYS[1], name)
  local copied = held and what ~= 'new' and held == ARGV[i + 4]
  if copied or (held and held == value) then ours = ours + 1 end
  if what == 'gone' then
    if copied then redis.call('HDEL', KEYS[1], name) end
  elseif copied or not held then
    redis.call('HSET', KEYS[1], name, value)
    if tonumber(expires) > 0 then redis.call('HPEXPIREAT', KEYS[1], expires, 'FIELDS', 1, name) end
  end
end
if before == 0 or expiry == tonumber(ARGV[2]) then
  if tonumber(ARGV[1]) > 0 then redis.call('PEXPIREAT', KEYS[1], ARGV[1]) else redis.call('PERSIST', KEYS[1]) end
elseif tonumber(ARGV[1]) > 0 then
  redis.call('PEXPIREAT', KEYS[1], ARGV[1], 'NX')
end
return ours < before and 1 or 0
";

/// Removes the source, if it still is what was copied: its expiry, then name, value and expiry of every field.
const REMOVE_SCRIPT: &str = r"
if redis.call('PEXPIRETIME', KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end
if #redis.call('HKEYS', KEYS[1]) * 3 + 1 ~= #ARGV then return 0 end
for i = 2, #ARGV, 3 do
  if redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[i + 1] then return 0 end
  if redis.call('HPEXPIRETIME', KEYS[1], 'FIELDS', 1, ARGV[i])[1] ~= tonumber(ARGV[i + 2]) then return 0 end
end
return redis.call('UNLINK', KEYS[1])
";

/// A key as it was at one moment; times in milliseconds since 1970, below 1 for never.
struct Snapshot {
    expires_ms: i64,
    fields: Vec<FieldView>,
}

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
        let mut copied: Option<Snapshot> = None;
        let mut merged = false;
        for _ in 0..COHORT_MOVE_ATTEMPTS_MAX {
            let Some(now) = self.snapshot(source).await? else {
                return Ok(match copied {
                    // The source ran out of time between copy and removal; so will the copy.
                    Some(_) if merged => MoveOutcome::Merged,
                    Some(_) => MoveOutcome::Moved,
                    None if self.number(target, Command::new("EXISTS").arg(target)).await? == 1 => {
                        MoveOutcome::AlreadyThere
                    }
                    None => MoveOutcome::Absent,
                });
            };
            merged |= self.number(target, copy(target, Some(&now), copied.as_ref())).await? == 1;
            if self.number(source, remove(source, &now)).await? == 1 {
                return Ok(if merged { MoveOutcome::Merged } else { MoveOutcome::Moved });
            }
            copied = Some(now);
        }
        // Left there, the copy would pass for newer than what the writer goes on writing.
        self.number(target, copy(target, None, copied.as_ref())).await?;
        Ok(MoveOutcome::Failed("a writer keeps changing it under its old key".to_owned()))
    }

    async fn snapshot(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        let (expires_ms, fields) =
            self.read_whole(key, "PEXPIRETIME", "HPEXPIRETIME", self.options.request_timeout).await?;
        Ok((!fields.is_empty()).then_some(Snapshot { expires_ms, fields }))
    }

    async fn one(&self, key: &[u8], command: Command) -> Result<Reply, UnavailableReason> {
        let mut replies = self.run_key(key, vec![command], Effect::SameTwice, ADMIN_TIMEOUT).await?;
        Ok(replies.pop().unwrap_or(Reply::Nil))
    }

    async fn number(&self, key: &[u8], command: Command) -> Result<i64, StoreError> {
        self.one(key, command).await?.as_i64().ok_or_else(|| StoreError::unexpected("a script"))
    }
}

/// The command that makes the target follow from `copied` to `now`.
fn copy(target: &[u8], now: Option<&Snapshot>, copied: Option<&Snapshot>) -> Command {
    let expiry = |snapshot: Option<&Snapshot>| snapshot.map(|s| s.expires_ms.to_string()).unwrap_or_default();
    let expires = if now.is_some() { expiry(now) } else { expiry(copied) };
    let mut command = Command::script(COPY_SCRIPT, target).arg(expires).arg(expiry(copied));
    let mut before: AHashMap<&[u8], &[u8]> = AHashMap::new();
    before.extend(copied.iter().flat_map(|s| &s.fields).map(|field| (&*field.name, &*field.value)));
    for FieldView { name, value, ttl_seconds: expires_ms } in now.iter().flat_map(|s| &s.fields) {
        let copied = before.remove(name.as_slice());
        command = command.arg(if copied.is_some() { "again" } else { "new" }).arg(name).arg(value);
        command = command.arg(expires_ms.to_string()).arg(copied.unwrap_or_default());
    }
    for (name, copied) in before {
        command = command.arg("gone").arg(name).arg("").arg("0").arg(copied);
    }
    command
}

fn remove(source: &[u8], copied: &Snapshot) -> Command {
    let mut command = Command::script(REMOVE_SCRIPT, source).arg(copied.expires_ms.to_string());
    for FieldView { name, value, ttl_seconds: expires_ms } in &copied.fields {
        command = command.arg(name).arg(value).arg(expires_ms.to_string());
    }
    command
}

//! What became of a row, and of a whole batch. Invariant: a shard that failed is never a missing entity.

use std::fmt;
use std::sync::Arc;

/// What became of one row of a batch read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowStatus {
    /// Every requested feature is present.
    Found,
    /// Some requested features are present.
    Partial,
    /// None of the requested features is present. Redis does not tell an absent entity from one that has
    /// none of the asked fields.
    Missing,
    /// The shard could not answer in time; the batch says why.
    Unavailable,
}

impl RowStatus {
    /// Every status, in the order of [`RowStatus::index`].
    pub const ALL: [Self; 4] = [Self::Found, Self::Partial, Self::Missing, Self::Unavailable];

    /// The status of a row that was read with `present` of `requested` features.
    pub fn of_counts(present: usize, requested: usize) -> Self {
        match present {
            0 => Self::Missing,
            _ if present == requested => Self::Found,
            _ => Self::Partial,
        }
    }

    /// The name in answers, files and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Partial => "partial",
            Self::Missing => "missing",
            Self::Unavailable => "unavailable",
        }
    }

    /// The place in [`RowStatus::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for RowStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a row is [`RowStatus::Unavailable`]. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UnavailableReason {
    /// The request's deadline passed. Holds what the shard last said, where it said anything.
    DeadlineExceeded(Option<Arc<str>>),
    /// No shard owns the key's slot in the newest topology.
    SlotUncovered,
    /// The key was sent [`KEY_ATTEMPTS_MAX`](super::limits::KEY_ATTEMPTS_MAX) times; holds the last answer.
    AttemptsExhausted(Arc<str>),
    /// The server answered this key with an error that sending again does not mend, such as `WRONGTYPE`.
    Refused(Arc<str>),
    /// The connection failed while a write was on its way: it may or may not have been applied, and sending it
    /// again could put an older value over a newer one.
    OutcomeUnknown(Arc<str>),
    /// The shard's primary, which it names, has not answered for a while, and enough commands wait for it already.
    ShardAway(Arc<str>),
    /// The primary has applied a write, but not as many replicas as asked for have confirmed it.
    Unconfirmed(Arc<str>),
}

impl std::error::Error for UnavailableReason {}

impl UnavailableReason {
    /// The names of all kinds of reason, for metrics.
    pub const KINDS: [&str; 7] = [
        "deadline_exceeded",
        "slot_uncovered",
        "attempts_exhausted",
        "refused",
        "outcome_unknown",
        "shard_away",
        "unconfirmed",
    ];

    /// The place of its kind in [`UnavailableReason::KINDS`].
    pub fn kind_index(&self) -> usize {
        match self {
            Self::DeadlineExceeded(_) => 0,
            Self::SlotUncovered => 1,
            Self::AttemptsExhausted(_) => 2,
            Self::Refused(_) => 3,
            Self::OutcomeUnknown(_) => 4,
            Self::ShardAway(_) => 5,
            Self::Unconfirmed(_) => 6,
        }
    }

    /// A short name from a closed set, for metrics.
    pub fn kind(&self) -> &'static str {
        Self::KINDS[self.kind_index()]
    }
}

impl fmt::Display for UnavailableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeadlineExceeded(None) => f.write_str("deadline exceeded"),
            Self::DeadlineExceeded(Some(last)) => write!(f, "deadline exceeded; last: {last}"),
            Self::SlotUncovered => f.write_str("no shard owns the slot"),
            Self::AttemptsExhausted(last) => write!(f, "gave up after many attempts; last: {last}"),
            Self::Refused(answer) => write!(f, "refused by the server: {answer}"),
            Self::OutcomeUnknown(fault) => write!(f, "may or may not have been written: {fault}"),
            Self::ShardAway(node) => write!(f, "no answer from {node} for a while; not waited for"),
            Self::Unconfirmed(replicas) => write!(f, "written, but not safe yet: {replicas}"),
        }
    }
}

/// The rows of a batch by status, and how many shards were asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchSummary {
    /// Rows with every requested feature.
    pub found: usize,
    /// Rows with some of them.
    pub partial: usize,
    /// Rows with none of them.
    pub missing: usize,
    /// Rows whose shard could not answer.
    pub unavailable: usize,
    /// Shards that were asked.
    pub shards: usize,
    /// Rows that a replica answered, from a copy that may be older than what the primary has.
    pub stale_possible: usize,
}

impl BatchSummary {
    /// Rows of one status.
    pub fn of(&self, status: RowStatus) -> usize {
        match status {
            RowStatus::Found => self.found,
            RowStatus::Partial => self.partial,
            RowStatus::Missing => self.missing,
            RowStatus::Unavailable => self.unavailable,
        }
    }

    /// Counts one more row.
    pub fn count(&mut self, status: RowStatus) {
        match status {
            RowStatus::Found => self.found += 1,
            RowStatus::Partial => self.partial += 1,
            RowStatus::Missing => self.missing += 1,
            RowStatus::Unavailable => self.unavailable += 1,
        }
    }

    /// Adds another batch's rows; `shards` becomes the larger of the two.
    pub fn add(&mut self, other: &Self) {
        self.found += other.found;
        self.partial += other.partial;
        self.missing += other.missing;
        self.unavailable += other.unavailable;
        self.shards = self.shards.max(other.shards);
        self.stale_possible += other.stale_possible;
    }

    /// All rows.
    pub fn rows(&self) -> usize {
        self.found + self.partial + self.missing + self.unavailable
    }
}

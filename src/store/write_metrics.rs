//! What is counted of writes: rows by outcome, and how long a write takes.

use std::time::Duration;

use metrics::{Counter, Histogram};

use crate::metrics::{self as declared, counter, histogram};
use crate::model::UnavailableReason;

use super::error::StoreError;

/// What is counted of writes of one kind; looked up once.
pub(super) struct WriteMetrics {
    outcomes: [Counter; 3],
    duration: Histogram,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    Written,
    /// Never sent, or refused by the server.
    Rejected,
    /// It may have been written, or is not safe yet.
    Unknown,
}

impl WriteMetrics {
    /// `kind`: `batch` or `streaming`.
    pub(super) fn new(kind: &'static str) -> Self {
        let outcome = |outcome| counter(&declared::WRITES, [kind, outcome]);
        Self {
            outcomes: ["written", "rejected", "unknown"].map(outcome),
            duration: histogram(&declared::WRITE_DURATION, [kind]),
        }
    }

    /// Counts rows.
    pub(super) fn rows(&self, outcomes: impl IntoIterator<Item = WriteOutcome>) {
        let mut rows = [0; 3];
        outcomes.into_iter().for_each(|outcome| rows[outcome as usize] += 1);
        for (counter, rows) in self.outcomes.iter().zip(rows) {
            if rows > 0 {
                counter.increment(rows);
            }
        }
    }

    /// A write is over.
    pub(super) fn took(&self, time: Duration) {
        self.duration.record(time);
    }
}

impl From<&UnavailableReason> for WriteOutcome {
    fn from(reason: &UnavailableReason) -> Self {
        match reason {
            UnavailableReason::OutcomeUnknown(_) | UnavailableReason::Unconfirmed(_) => Self::Unknown,
            UnavailableReason::DeadlineExceeded(_)
            | UnavailableReason::SlotUncovered
            | UnavailableReason::AttemptsExhausted(_)
            | UnavailableReason::Refused(_)
            | UnavailableReason::ShardAway(_) => Self::Rejected,
        }
    }
}

impl From<&Result<(), StoreError>> for WriteOutcome {
    fn from(result: &Result<(), StoreError>) -> Self {
        match result {
            Ok(()) => Self::Written,
            Err(StoreError::Unavailable(reason)) => reason.into(),
            Err(_) => Self::Rejected,
        }
    }
}

//! What is counted of writes: rows by outcome, and how long a write takes.

use std::sync::atomic::{AtomicBool, Ordering};
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
    /// It may have been written, in part or in whole, or is not safe yet.
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

    /// So many rows are about to be written.
    pub(super) fn begin(&self, rows: usize) -> RowsUnderWay<'_> {
        RowsUnderWay { metrics: self, rows: rows as u64, sent: AtomicBool::new(false) }
    }
}

/// Rows whose outcome is not known yet; counted when dropped, where nobody waited for it.
pub(super) struct RowsUnderWay<'a> {
    metrics: &'a WriteMetrics,
    rows: u64,
    /// True once any of it was sent.
    pub(super) sent: AtomicBool,
}

impl RowsUnderWay<'_> {
    /// This became of them.
    pub(super) fn became(mut self, outcomes: impl IntoIterator<Item = WriteOutcome>) {
        self.rows = 0;
        self.metrics.rows(outcomes);
    }
}

impl Drop for RowsUnderWay<'_> {
    fn drop(&mut self) {
        if self.rows > 0 {
            let sent = self.sent.load(Ordering::Relaxed);
            let outcome = if sent { WriteOutcome::Unknown } else { WriteOutcome::Rejected };
            self.metrics.outcomes[outcome as usize].increment(self.rows);
        }
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
            // It was sent, and not all of it took effect.
            Err(StoreError::Broken(_)) => Self::Unknown,
            Err(_) => Self::Rejected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_took_effect_in_part_is_neither_written_nor_rejected() {
        let broken = Err(StoreError::Broken("no TTL".into()));
        assert_eq!(WriteOutcome::from(&broken), WriteOutcome::Unknown);
        let refused = Err(StoreError::from(UnavailableReason::Refused("WRONGTYPE".into())));
        assert_eq!(WriteOutcome::from(&refused), WriteOutcome::Rejected);
        assert_eq!(WriteOutcome::from(&Ok(())), WriteOutcome::Written);
    }
}

//! How many reads may be sent to a second node: a share of all, so that hedging never doubles the load of a cluster
//! that is slow because it is busy.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::metrics;
use crate::model::limits::HEDGE_BURST_KEYS;

use super::options::HedgeOptions;

/// Keys that may be read twice. Counted in hundredths of a key.
pub(super) struct HedgeBudget {
    percent: i64,
    hundredths: AtomicI64,
    hedged: ::metrics::Counter,
}

impl HedgeBudget {
    pub(super) fn new(options: HedgeOptions) -> Self {
        Self {
            percent: i64::from(options.budget_percent),
            hundredths: AtomicI64::new(0),
            hedged: metrics::counter(&metrics::HEDGED_KEYS, []),
        }
    }

    /// So many keys are read.
    pub(super) fn earn(&self, keys: usize) {
        let max = hundredths(HEDGE_BURST_KEYS);
        let earned = i64::try_from(keys).unwrap_or(i64::MAX).saturating_mul(self.percent);
        let _ = self.hundredths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |had| {
            Some(had.saturating_add(earned).min(max))
        });
    }

    /// May so many keys be read twice? Then they are counted.
    pub(super) fn take(&self, keys: usize) -> bool {
        let cost = hundredths(keys);
        let taken = self
            .hundredths
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |had| (had >= cost).then_some(had - cost));
        if taken.is_ok() {
            self.hedged.increment(keys as u64);
        }
        taken.is_ok()
    }
}

fn hundredths(keys: usize) -> i64 {
    i64::try_from(keys).unwrap_or(i64::MAX).saturating_mul(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_twice_than_its_share() {
        let budget = HedgeBudget::new(HedgeOptions { budget_percent: 5 });
        assert!(!budget.take(1), "nothing was read yet");
        let mut twice = 0;
        for _ in 0..10_000 {
            budget.earn(10);
            twice += if budget.take(10) { 10 } else { 0 };
        }
        assert_eq!(twice, 5_000);
        (0..1_000).for_each(|_| budget.earn(1_000));
        assert!(budget.take(HEDGE_BURST_KEYS) && !budget.take(1), "a quiet time earns a bounded burst");
    }
}

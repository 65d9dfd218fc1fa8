//! What reads learn of a node: whether it can be reached, when it answered last, and how long it takes.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::model::limits::{
    AWAY_AFTER, HEDGE_MEDIANS_MAX, HEDGE_QUANTILE, HEDGE_SAMPLES_MIN, REDIRECTS_REMEMBERED,
    SUSPECT_PROBE_INTERVAL, SUSPECT_SILENCE_MIN,
};

/// Pipelines of like size are compared: up to 7 keys, up to 63, up to 511, more.
const SIZES: usize = 4;
/// Durations are counted in buckets, four to an octave, from 16 µs to 16 s.
const BUCKETS: usize = 80;
const BUCKETS_PER_OCTAVE: f64 = 4.0;
const FIRST_BUCKET_MICROS: f64 = 16.0;
/// Durations after which all counts are halved, so that the newer ones count for more.
const SAMPLES_MAX: u32 = 1_024;
/// Share of an answer in the average: one part of so many.
const AVERAGE_PARTS: u64 = 8;

/// One node's health. All of it is approximate: nobody waits for anybody here.
#[derive(Debug)]
pub(super) struct Health {
    begun: Instant,
    probing: AtomicBool,
    /// Since when it is a suspect, when somebody began to wait in vain, when it answered and was probed last: in
    /// microseconds since it is known; 0: not at all.
    suspect_since: AtomicU64,
    silent_since: AtomicU64,
    answered_at: AtomicU64,
    probed_at: AtomicU64,
    /// When a key of it was last sent elsewhere.
    redirected_at: AtomicU64,
    sizes: [Latency; SIZES],
}

/// How long pipelines of one size take.
#[derive(Debug)]
struct Latency {
    average_micros: AtomicU64,
    samples: AtomicU32,
    buckets: [AtomicU32; BUCKETS],
}

impl Default for Latency {
    fn default() -> Self {
        let buckets = [const { AtomicU32::new(0) }; BUCKETS];
        Self { average_micros: AtomicU64::new(0), samples: AtomicU32::new(0), buckets }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            probing: AtomicBool::new(false),
            suspect_since: AtomicU64::new(0),
            silent_since: AtomicU64::new(0),
            answered_at: AtomicU64::new(0),
            probed_at: AtomicU64::new(0),
            redirected_at: AtomicU64::new(0),
            sizes: std::array::from_fn(|_| Latency::default()),
        }
    }
}

impl Health {
    /// A pipeline of so many keys was answered.
    pub(super) fn answered(&self, keys: usize, took: Duration) {
        self.clear();
        self.answered_at.store(self.now(), Ordering::Relaxed);
        self.sizes[size(keys)].note(took);
    }

    /// A pipeline of so many keys was given up after a while: it would have taken longer than that.
    pub(super) fn given_up(&self, keys: usize, after: Duration) {
        let latency = &self.sizes[size(keys)];
        if after.as_micros() > u128::from(latency.average_micros.load(Ordering::Relaxed)) {
            latency.note(after);
        }
    }

    /// The node can't be reached.
    pub(super) fn fault(&self) {
        // Since the first time.
        let _ = self.suspect_since.compare_exchange(0, self.now(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Somebody has been waiting in vain since `asked`. Suspicious only after a while, which several callers of little
    /// patience may spend one after the other, and where nobody had an answer meanwhile.
    pub(super) fn silent_since(&self, asked: Instant) {
        let (now, asked) = (self.now(), self.at(asked));
        if self.answered_at.load(Ordering::Relaxed) >= asked {
            return;
        }
        let first = self.silent_since.compare_exchange(0, asked, Ordering::Relaxed, Ordering::Relaxed);
        let first = first.map_or_else(|earlier| earlier, |_| asked);
        if now.saturating_sub(first) >= in_micros(SUSPECT_SILENCE_MIN) {
            self.fault();
        }
    }

    /// A key was sent elsewhere: slots are on their way.
    pub(super) fn redirected(&self) {
        self.redirected_at.store(self.now(), Ordering::Relaxed);
    }

    /// Have slots been on their way lately?
    pub(super) fn was_redirected_lately(&self) -> bool {
        let at = self.redirected_at.load(Ordering::Relaxed);
        at != 0 && self.now().saturating_sub(at) < in_micros(REDIRECTS_REMEMBERED)
    }

    /// Is another node to be preferred?
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect_since.load(Ordering::Relaxed) != 0
    }

    /// Has it been a suspect for so long that it is not worth everybody's waiting?
    pub(super) fn is_away(&self) -> bool {
        let since = self.suspect_since.load(Ordering::Relaxed);
        since != 0 && self.now().saturating_sub(since) >= in_micros(AWAY_AFTER)
    }

    /// At least one.
    fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> u64 {
        in_micros(instant.saturating_duration_since(self.begun)).max(1)
    }

    fn clear(&self) {
        self.suspect_since.store(0, Ordering::Relaxed);
        self.silent_since.store(0, Ordering::Relaxed);
    }

    /// True where it is time to ask a suspect whether it is back; whoever is told so calls [`Health::probed`].
    pub(super) fn probe_is_due(&self) -> bool {
        let (now, last) = (self.now(), self.probed_at.load(Ordering::Relaxed));
        let interval = in_micros(SUSPECT_PROBE_INTERVAL);
        let due = self.is_suspect() && (last == 0 || now.saturating_sub(last) >= interval);
        if !due || self.probing.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.probed_at.store(now, Ordering::Relaxed);
        true
    }

    /// What came of a probe.
    pub(super) fn probed(&self, answers: bool) {
        if answers {
            self.clear();
        }
        self.probing.store(false, Ordering::Release);
    }

    /// How long it usually takes for so many keys, in microseconds; 0 where that is not known.
    pub(super) fn average_micros(&self, keys: usize) -> u64 {
        self.sizes[size(keys)].average_micros.load(Ordering::Relaxed)
    }

    /// How long an answer to so many keys may take before it is taken for a slow one; nothing before enough of them were
    /// seen. That is what most of the recent ones took, but no more than a few times the usual: a node that falters often
    /// must not make its own slowness the rule.
    pub(super) fn slow_after(&self, keys: usize) -> Option<Duration> {
        let latency = &self.sizes[size(keys)];
        let usual = latency.quantile(0.5)?.saturating_mul(HEDGE_MEDIANS_MAX);
        Some(latency.quantile(HEDGE_QUANTILE)?.min(usual))
    }
}

impl Latency {
    fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let average = match self.average_micros.load(Ordering::Relaxed) {
            0 => micros,
            average => average - average / AVERAGE_PARTS + micros / AVERAGE_PARTS,
        };
        self.average_micros.store(average.max(1), Ordering::Relaxed);
        self.buckets[bucket(micros)].fetch_add(1, Ordering::Relaxed);
        if self.samples.fetch_add(1, Ordering::Relaxed) >= SAMPLES_MAX {
            let mut left = 0;
            for count in &self.buckets {
                let half = count.load(Ordering::Relaxed) / 2;
                count.store(half, Ordering::Relaxed);
                left += half;
            }
            self.samples.store(left, Ordering::Relaxed);
        }
    }

    fn quantile(&self, share: f64) -> Option<Duration> {
        let counts: [u32; BUCKETS] =
            std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed));
        let total: u32 = counts.iter().sum();
        if total < HEDGE_SAMPLES_MIN {
            return None;
        }
        let mut wanted = f64::from(total) * share;
        let bucket = counts.iter().position(|count| {
            wanted -= f64::from(*count);
            wanted <= 0.0
        });
        let end = i32::try_from(bucket.unwrap_or(BUCKETS - 1) + 1).unwrap_or(i32::MAX);
        let micros = FIRST_BUCKET_MICROS * 2f64.powf(f64::from(end) / BUCKETS_PER_OCTAVE);
        Some(Duration::from_secs_f64(micros / 1e6))
    }
}

fn size(keys: usize) -> usize {
    (keys.max(1).ilog2() as usize / 3).min(SIZES - 1)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped"
)]
fn bucket(micros: u64) -> usize {
    let octaves = (micros as f64 / FIRST_BUCKET_MICROS).log2().max(0.0);
    ((octaves * BUCKETS_PER_OCTAVE) as usize).min(BUCKETS - 1)
}

fn in_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn within(value: Option<Duration>, low: Duration, high: Duration) {
        let value = value.unwrap();
        assert!(low <= value && value <= high, "{value:?}");
    }

    #[test]
    fn what_is_slow_is_learned_of_the_recent_pipelines_of_like_size() {
        let health = Health::default();
        for _ in 0..HEDGE_SAMPLES_MIN - 1 {
            health.answered(1, MS);
        }
        assert_eq!(health.slow_after(1), None, "too few to learn from");
        for _ in 0..2_000 {
            health.answered(1, MS);
            health.answered(500, 20 * MS);
        }
        within(health.slow_after(7), MS, 5 * MS / 4);
        within(health.slow_after(64), 20 * MS, 25 * MS);
        for _ in 0..10_000 {
            health.answered(1, 4 * MS);
        }
        within(health.slow_after(1), 4 * MS, 5 * MS);
        assert!(health.average_micros(1).abs_diff(4_000) < 100, "{}", health.average_micros(1));
        assert_eq!(health.average_micros(1_000), 0);
    }

    #[test]
    fn a_node_that_falters_often_does_not_make_that_the_rule() {
        let health = Health::default();
        for number in 0..1_000 {
            health.answered(1, if number % 10 == 0 { 30 * MS } else { MS });
        }
        within(health.slow_after(1), 4 * MS, 5 * MS);
    }

    #[test]
    fn every_duration_has_a_bucket() {
        assert_eq!((bucket(0), bucket(16), bucket(32)), (0, 0, 4));
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_suspect_is_probed_now_and_then_and_cleared_by_any_answer() {
        let health = Health::default();
        assert!(!health.probe_is_due());
        health.fault();
        assert!(health.is_suspect() && health.probe_is_due());
        assert!(!health.probe_is_due(), "one at a time");
        health.probed(false);
        assert!(health.is_suspect() && !health.probe_is_due(), "not so soon");
        health.answered(1, MS);
        assert!(!health.is_suspect());
    }

    #[test]
    fn silence_is_suspicious_after_a_while_and_only_where_nobody_had_an_answer() {
        let health = Health::default();
        let asked = Instant::now();
        health.silent_since(asked);
        assert!(!health.is_suspect(), "so short a silence says nothing");
        health.answered(1, MS);
        health.silent_since(asked);
        assert!(!health.is_suspect(), "somebody had an answer");
        std::thread::park_timeout(2 * SUSPECT_SILENCE_MIN);
        let asked = Instant::now();
        health.silent_since(asked);
        assert!(!health.is_suspect());
        std::thread::park_timeout(2 * SUSPECT_SILENCE_MIN);
        health.silent_since(asked);
        assert!(health.is_suspect());
    }
}

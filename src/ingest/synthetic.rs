//! Synthetic users and streaming events, for demos, tests and load.
//!
//! Invariant: a seed gives the same rows on every platform and with every version of the libraries. So the
//! bits come from ChaCha8, which is specified, and are turned into values here and not by a library.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{RowSource, SourceError, SourceItem};
use crate::model::{EntityId, FeatureName, FeatureRow, FeatureValue};

/// The seed where none is asked for.
pub const SYNTHETIC_SEED: u64 = 42;

/// The batch features of a synthetic user, in the order of its row.
pub const BATCH_FEATURES: [&str; 6] = [
    "country_iso",
    "risk_segment",
    "account_age_days",
    "tx_count_7d",
    "avg_amount_30d",
    "chargeback_count_180d",
];

/// The streaming features of a synthetic event, in the order of [`streaming_features`].
pub const STREAMING_FEATURES: [&str; 5] =
    ["last_login_ts", "last_device_id", "tx_count_5m", "failed_logins_15m", "session_country"];

const COUNTRIES: [&str; 10] = ["US", "GB", "DE", "FR", "ES", "IN", "BR", "JP", "CA", "AU"];
const DEVICES: [&str; 7] =
    ["ios-9f02", "ios-3c71", "android-51be", "android-8d40", "web-chrome", "web-firefox", "web-safari"];
/// What may come, with its weight.
const RISK_SEGMENTS: [(&str, u64); 3] = [("low", 70), ("medium", 25), ("high", 5)];
const CHARGEBACKS: [(u64, u64); 4] = [(0, 85), (1, 10), (2, 4), (3, 1)];
const FAILED_LOGINS: [(u64, u64); 4] = [(0, 70), (1, 20), (2, 8), (5, 2)];

/// The generator behind everything synthetic.
pub type SyntheticRng = ChaCha8Rng;

/// A generator for `seed`.
pub fn synthetic_rng(seed: u64) -> SyntheticRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    ChaCha8Rng::from_seed(bytes)
}

/// Users `u0001`, `u0002`, … with their [`BATCH_FEATURES`], made one by one. Row `k` depends on the seed alone,
/// not on how many are asked for.
#[derive(Debug, Clone)]
pub struct SyntheticUsers {
    rng: SyntheticRng,
    names: Vec<FeatureName>,
    made: u64,
    count: u64,
}

impl SyntheticUsers {
    /// The first `count` users of `seed`.
    pub fn new(count: u64, seed: u64) -> Self {
        Self { rng: synthetic_rng(seed), names: names(&BATCH_FEATURES), made: 0, count }
    }
}

impl Iterator for SyntheticUsers {
    type Item = FeatureRow;

    fn next(&mut self) -> Option<FeatureRow> {
        if self.made == self.count {
            return None;
        }
        self.made += 1;
        let id = EntityId::new(format!("u{:04}", self.made)).ok()?;
        let rng = &mut self.rng;
        let values: [FeatureValue; BATCH_FEATURES.len()] = [
            choose(rng, &COUNTRIES).into(),
            choose_weighted(rng, &RISK_SEGMENTS).into(),
            between(rng, 7, 2400).into(),
            between(rng, 0, 80).into(),
            amount(between(rng, 500, 35_000)).into(),
            choose_weighted(rng, &CHARGEBACKS).into(),
        ];
        Some(FeatureRow { id, features: self.names.iter().cloned().zip(values).collect() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.count - self.made).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

/// [`SyntheticUsers`] as a source; the number of the user stands for the line.
#[derive(Debug)]
pub struct SyntheticSource {
    name: Arc<str>,
    users: SyntheticUsers,
}

impl SyntheticSource {
    /// The first `count` users of `seed`.
    pub fn new(count: u64, seed: u64) -> Self {
        Self { name: "synthetic".into(), users: SyntheticUsers::new(count, seed) }
    }
}

impl Iterator for SyntheticSource {
    type Item = Result<SourceItem, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.users.next()?;
        Some(Ok(SourceItem::Row { line: self.users.made, row }))
    }
}

impl RowSource for SyntheticSource {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn bytes_read(&self) -> u64 {
        0
    }
}

/// The [`STREAMING_FEATURES`] of one user for one tick at `now_ms`, in milliseconds since 1970.
pub fn streaming_features(rng: &mut SyntheticRng, now_ms: u64) -> Vec<(FeatureName, FeatureValue)> {
    let values: [FeatureValue; STREAMING_FEATURES.len()] = [
        now_ms.into(),
        choose(rng, &DEVICES).into(),
        between(rng, 0, 12).into(),
        choose_weighted(rng, &FAILED_LOGINS).into(),
        choose(rng, &COUNTRIES).into(),
    ];
    names(&STREAMING_FEATURES).into_iter().zip(values).collect()
}

fn names(texts: &[&str]) -> Vec<FeatureName> {
    // All of them are names, as a test says.
    texts.iter().filter_map(|text| FeatureName::new(*text).ok()).collect()
}

/// Cents as an amount; exact to the cent, as the shortest decimal of the nearest float.
#[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^53 cents")]
fn amount(cents: u64) -> f64 {
    cents as f64 / 100.0
}

/// A number below `bound`, all as likely (to within `bound` / 2^64).
fn below(rng: &mut SyntheticRng, bound: u64) -> u64 {
    let scaled = (u128::from(rng.next_u64()) * u128::from(bound)) >> 64;
    u64::try_from(scaled).unwrap_or_default()
}

fn between(rng: &mut SyntheticRng, first: u64, last: u64) -> u64 {
    first + below(rng, last - first + 1)
}

fn choose<T: Copy>(rng: &mut SyntheticRng, from: &[T]) -> T {
    let index = below(rng, from.len() as u64);
    from[usize::try_from(index).unwrap_or_default()]
}

fn choose_weighted<T: Copy>(rng: &mut SyntheticRng, from: &[(T, u64)]) -> T {
    let mut left = below(rng, from.iter().map(|(_, weight)| weight).sum());
    for (value, weight) in from {
        if left < *weight {
            return *value;
        }
        left -= weight;
    }
    from[0].0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn texts(features: &[(FeatureName, FeatureValue)]) -> Vec<String> {
        features.iter().map(|(_, value)| String::from_utf8(value.as_bytes().to_vec()).unwrap()).collect()
    }

    /// How often each value of each feature comes.
    fn counts<const N: usize>(
        rows: impl Iterator<Item = Vec<(FeatureName, FeatureValue)>>,
    ) -> [BTreeMap<String, f64>; N] {
        let mut counts = [const { BTreeMap::new() }; N];
        for row in rows {
            for (count, text) in counts.iter_mut().zip(texts(&row)) {
                *count.entry(text).or_default() += 1.0;
            }
        }
        counts
    }

    fn assert_shares(counts: &BTreeMap<String, f64>, expected: &[(&str, f64)]) {
        let total: f64 = counts.values().sum();
        assert_eq!(counts.len(), expected.len(), "{counts:?}");
        for (value, share) in expected {
            let seen = counts[*value] / total;
            assert!((seen - share).abs() < 0.012, "{value}: {seen} instead of {share}");
        }
    }

    /// Uniform between two numbers: both ends in reach, mean in the middle.
    fn assert_uniform(counts: &BTreeMap<String, f64>, first: f64, last: f64) {
        let numbers: Vec<(f64, f64)> = counts.iter().map(|(text, n)| (text.parse().unwrap(), *n)).collect();
        let total: f64 = numbers.iter().map(|(_, n)| n).sum();
        let mean = numbers.iter().map(|(number, n)| number * n).sum::<f64>() / total;
        let width = last - first;
        assert!(numbers.iter().all(|(number, _)| (first..=last).contains(number)));
        assert!(numbers.iter().any(|(number, _)| number - first < 0.01 * width));
        assert!(numbers.iter().any(|(number, _)| last - number < 0.01 * width));
        assert!((mean - (first + last) / 2.0).abs() < 0.02 * width, "mean {mean}");
    }

    #[test]
    fn the_first_users_of_the_default_seed_never_change() {
        let rows: Vec<String> =
            SyntheticUsers::new(2, SYNTHETIC_SEED).map(|row| super::super::to_ndjson(&row)).collect();
        insta::assert_snapshot!(rows.join("\n"), @r#"
        {"id":"u0001","features":{"country_iso":"FR","risk_segment":"low","account_age_days":"1188","tx_count_7d":"29","avg_amount_30d":"289.86","chargeback_count_180d":"0"}}
        {"id":"u0002","features":{"country_iso":"ES","risk_segment":"low","account_age_days":"1124","tx_count_7d":"64","avg_amount_30d":"210.17","chargeback_count_180d":"0"}}
        "#);
        let event = streaming_features(&mut synthetic_rng(1337), 1_700_000_000_000);
        insta::assert_snapshot!(format!("{event:?}"), @r#"[("last_login_ts", b"1700000000000"), ("last_device_id", b"web-safari"), ("tx_count_5m", b"3"), ("failed_logins_15m", b"0"), ("session_country", b"IN")]"#);
    }

    #[test]
    fn the_first_rows_do_not_depend_on_how_many_follow() {
        let few: Vec<_> = SyntheticUsers::new(50, 7).collect();
        assert!(SyntheticUsers::new(5_000, 7).take(50).eq(few.iter().cloned()));
        assert!(SyntheticUsers::new(50, 8).ne(few));
    }

    #[test]
    fn ids_count_from_1_with_at_least_four_digits() {
        let ids: Vec<String> = SyntheticUsers::new(10_001, 1).map(|row| row.id.to_string()).collect();
        assert_eq!(
            (ids[0].as_str(), ids[9_998].as_str(), ids[10_000].as_str()),
            ("u0001", "u9999", "u10001")
        );
        assert_eq!(SyntheticUsers::new(10_001, 1).size_hint(), (10_001, Some(10_001)));
        assert_eq!(SyntheticUsers::new(0, 1).count(), 0);
    }

    #[test]
    fn batch_features_have_the_distributions_of_the_demos() {
        let rows = SyntheticUsers::new(20_000, SYNTHETIC_SEED);
        assert!(
            rows.clone().all(|row| { row.features.iter().map(|(name, _)| name.as_str()).eq(BATCH_FEATURES) })
        );
        let [country, risk, age, tx, amount, chargebacks] = counts(rows.map(|row| row.features));
        assert_shares(&country, &COUNTRIES.map(|country| (country, 0.1)));
        assert_shares(&risk, &[("low", 0.70), ("medium", 0.25), ("high", 0.05)]);
        assert_uniform(&age, 7.0, 2400.0);
        assert_uniform(&tx, 0.0, 80.0);
        assert_uniform(&amount, 5.0, 350.0);
        assert!(
            amount
                .keys()
                .all(|text| { text.split_once('.').is_none_or(|(_, decimals)| decimals.len() <= 2) })
        );
        assert_shares(&chargebacks, &[("0", 0.85), ("1", 0.10), ("2", 0.04), ("3", 0.01)]);
    }

    #[test]
    fn streaming_features_have_the_distributions_of_the_demos() {
        let mut rng = synthetic_rng(1337);
        let ticks = (0..20_000).map(|_| streaming_features(&mut rng, 9));
        let [login, device, tx, failed, country] = counts(ticks);
        assert_shares(&login, &[("9", 1.0)]);
        assert_shares(&device, &DEVICES.map(|device| (device, 1.0 / 7.0)));
        assert_eq!(tx.len(), 13);
        assert_uniform(&tx, 0.0, 12.0);
        assert_shares(&failed, &[("0", 0.70), ("1", 0.20), ("2", 0.08), ("5", 0.02)]);
        assert_shares(&country, &COUNTRIES.map(|country| (country, 0.1)));
        let names: Vec<FeatureName> =
            streaming_features(&mut rng, 9).into_iter().map(|(name, _)| name).collect();
        assert!(names.iter().map(FeatureName::as_str).eq(STREAMING_FEATURES));
    }

    #[test]
    fn a_source_numbers_its_rows_from_1() {
        let lines: Vec<u64> = SyntheticSource::new(3, 1)
            .map(|item| match item.unwrap() {
                SourceItem::Row { line, .. } => line,
                SourceItem::Rejected(rejected) => panic!("{rejected}"),
            })
            .collect();
        assert_eq!(lines, [1, 2, 3]);
    }
}

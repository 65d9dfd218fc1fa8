//! The bounds of histograms.

/// Which bounds a histogram has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buckets {
    /// Seconds, from 50 µs to 10 s.
    Latency,
    /// How many of something, from 1 to 100,000.
    Size,
    /// Seconds, from 1 s to a year.
    Ttl,
    /// Parts of a whole, and some more than it.
    Share,
}

impl Buckets {
    /// The upper bounds, each of them included, growing.
    pub fn bounds(self) -> &'static [f64] {
        match self {
            Self::Latency => &[
                0.00005, 0.0001, 0.0002, 0.00035, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005,
                0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0,
                10.0,
            ],
            Self::Size => &[
                1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0,
                20_000.0, 50_000.0, 100_000.0,
            ],
            Self::Ttl => &[
                1.0,
                5.0,
                10.0,
                30.0,
                60.0,
                120.0,
                180.0,
                240.0,
                300.0,
                600.0,
                1_800.0,
                3_600.0,
                21_600.0,
                43_200.0,
                86_400.0,
                259_200.0,
                604_800.0,
                2_592_000.0,
                7_776_000.0,
                31_536_000.0,
            ],
            Self::Share => {
                &[0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2.0, 5.0, 10.0]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_grow_and_latencies_reach_from_50_us_to_10_s() {
        for buckets in [Buckets::Latency, Buckets::Size, Buckets::Ttl, Buckets::Share] {
            assert!(buckets.bounds().is_sorted_by(|a, b| a < b), "{buckets:?}");
        }
        let latency = Buckets::Latency.bounds();
        assert_eq!((latency.first(), latency.last()), (Some(&0.00005), Some(&10.0)));
    }
}

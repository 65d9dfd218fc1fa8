//! How many values turned out not to be of their type while they were written.

/// Counts by feature. Takes no memory while there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unparsable(Vec<u64>);

impl Unparsable {
    /// One more value of the feature at this place.
    #[cold]
    pub fn note(&mut self, feature: usize) {
        if self.0.len() <= feature {
            self.0.resize(feature + 1, 0);
        }
        self.0[feature] += 1;
    }

    /// How many values there were of each feature; features behind the last one with any are left out.
    pub fn counts(&self) -> &[u64] {
        &self.0
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

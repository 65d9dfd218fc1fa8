//! A row to be written: an entity and the features it gets.

use super::{EntityId, FeatureName, FeatureValue};

/// One entity with its features, as it comes from a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureRow {
    /// The entity.
    pub id: EntityId,
    /// Its features; at least one, each name once.
    pub features: Vec<(FeatureName, FeatureValue)>,
}

impl FeatureRow {
    /// Bytes of the id, the names and the values; what a caller adds up to bound a batch of rows.
    pub fn size_bytes(&self) -> usize {
        let features = self.features.iter().map(|(name, value)| name.len() + value.as_bytes().len());
        self.id.len() + features.sum::<usize>()
    }
}

impl AsRef<Self> for FeatureRow {
    fn as_ref(&self) -> &Self {
        self
    }
}

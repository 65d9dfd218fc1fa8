//! What is declared of the features of an entity kind: type, class, TTL, default; and named sets of them.
//!
//! Invariants: a default is a value of its feature's type; a set names declared features, each once. A feature that
//! is not declared may be read and written all the same; nothing is known of it, and nothing is checked.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};

use super::limits::{FEATURE_SETS_PER_SCHEMA_MAX, FEATURES_PER_SCHEMA_MAX, TTL_SECONDS_MAX};
use super::{Column, FeatureName, FeatureType, FeatureValue, Projection};

/// How a feature is written, and with that, how it disappears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeatureClass {
    /// By bulk loads, under the key's TTL.
    Batch,
    /// By streaming writes, under a TTL of its own.
    Streaming,
}

/// A text that is no [`FeatureClass`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind {0:?}; known are batch and streaming")]
pub struct FeatureClassError(String);

impl FeatureClass {
    /// Its name in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Streaming => "streaming",
        }
    }

    /// What somebody should do who has written such a feature in the other way.
    fn advice(self) -> &'static str {
        match self {
            Self::Batch => "it is a batch feature, which a bulk load writes under the key's TTL",
            Self::Streaming => "it is a streaming feature, which a bulk load would rob of its TTL; stream it",
        }
    }
}

impl fmt::Display for FeatureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FeatureClass {
    type Err = FeatureClassError;

    fn from_str(text: &str) -> Result<Self, FeatureClassError> {
        let known = [Self::Batch, Self::Streaming].into_iter().find(|class| class.as_str() == text);
        known.ok_or_else(|| FeatureClassError(text.to_owned()))
    }
}

/// One feature as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureSpec {
    /// Its name.
    pub name: FeatureName,
    /// The type of its values.
    pub feature_type: FeatureType,
    /// How it is written.
    pub class: FeatureClass,
    /// The field TTL of a streaming feature, where it is not the kind's.
    pub ttl_seconds: Option<u64>,
    /// What stands in for an absent value, where a request asks for defaults.
    pub default: Option<FeatureValue>,
}

/// Why a feature or a set can't be declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The feature is declared already.
    #[error("{0:?} is declared twice")]
    FeatureTwice(FeatureName),
    /// Too many features.
    #[error("more than {FEATURES_PER_SCHEMA_MAX} features")]
    TooManyFeatures,
    /// A batch feature with a TTL.
    #[error("a batch feature has no TTL of its own, it lives as long as its key; see batch_ttl_seconds")]
    TtlOfBatch,
    /// A TTL of nothing, or beyond what Redis takes.
    #[error("{0} is not between 1 and {TTL_SECONDS_MAX}")]
    Ttl(u64),
    /// A default of another type.
    #[error("it is no {0} ({rule})", rule = .0.rule())]
    Default(FeatureType),
    /// A set without a name.
    #[error("it is empty")]
    SetWithoutName,
    /// The set is declared already.
    #[error("{0:?} is declared twice")]
    SetTwice(String),
    /// Too many sets.
    #[error("more than {FEATURE_SETS_PER_SCHEMA_MAX} feature sets")]
    TooManySets,
    /// A set of nothing.
    #[error("the list is empty; name at least one feature")]
    SetEmpty,
    /// A set names a feature that is not declared.
    #[error("{name:?} is not declared; a set takes declared features only")]
    SetFeatureUnknown {
        /// Its place in the list.
        index: usize,
        /// The feature.
        name: FeatureName,
    },
    /// A set names a feature twice.
    #[error("{name:?} is given twice")]
    SetFeatureTwice {
        /// The second place in the list.
        index: usize,
        /// The feature.
        name: FeatureName,
    },
}

impl SchemaError {
    /// The field that is at fault, of the feature or of the set.
    pub fn field(&self) -> String {
        match self {
            Self::FeatureTwice(_)
            | Self::TooManyFeatures
            | Self::SetWithoutName
            | Self::SetTwice(_)
            | Self::TooManySets => "name".to_owned(),
            Self::TtlOfBatch | Self::Ttl(_) => "ttl_seconds".to_owned(),
            Self::Default(_) => "default".to_owned(),
            Self::SetEmpty => "features".to_owned(),
            Self::SetFeatureUnknown { index, .. } | Self::SetFeatureTwice { index, .. } => {
                format!("features[{index}]")
            }
        }
    }
}

/// Why values are not written. Names the feature, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaViolation {
    /// The value is not of the feature's type.
    #[error("feature {name:?}: the value is no {feature_type} ({rule})", rule = .feature_type.rule())]
    Type {
        /// The feature.
        name: FeatureName,
        /// Its type.
        feature_type: FeatureType,
    },
    /// The feature is written in the other way.
    #[error("feature {name:?}: {advice}", advice = .declared.advice())]
    Class {
        /// The feature.
        name: FeatureName,
        /// What it is declared to be.
        declared: FeatureClass,
    },
}

/// The same features, without and with their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FeatureSet {
    plain: Arc<Projection>,
    with_defaults: Arc<Projection>,
}

/// What is declared of an entity kind's features. Empty by default: nothing is known, and nothing is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    features: AHashMap<FeatureName, FeatureSpec>,
    sets: BTreeMap<String, FeatureSet>,
}

impl Schema {
    /// Declares a feature.
    pub fn add_feature(&mut self, feature: FeatureSpec) -> Result<(), SchemaError> {
        if self.features.contains_key(&feature.name) {
            return Err(SchemaError::FeatureTwice(feature.name));
        }
        if self.features.len() == FEATURES_PER_SCHEMA_MAX {
            return Err(SchemaError::TooManyFeatures);
        }
        match (feature.class, feature.ttl_seconds) {
            (FeatureClass::Batch, Some(_)) => return Err(SchemaError::TtlOfBatch),
            (FeatureClass::Streaming, Some(ttl)) if !(1..=TTL_SECONDS_MAX).contains(&ttl) => {
                return Err(SchemaError::Ttl(ttl));
            }
            (FeatureClass::Batch | FeatureClass::Streaming, _) => {}
        }
        if feature.default.as_ref().is_some_and(|value| !feature.feature_type.takes(value.as_bytes())) {
            return Err(SchemaError::Default(feature.feature_type));
        }
        self.features.insert(feature.name.clone(), feature);
        Ok(())
    }

    /// Declares a set of features that are declared already, and resolves it.
    pub fn add_set(&mut self, name: &str, features: &[FeatureName]) -> Result<(), SchemaError> {
        if name.is_empty() {
            return Err(SchemaError::SetWithoutName);
        }
        if self.sets.contains_key(name) {
            return Err(SchemaError::SetTwice(name.to_owned()));
        }
        if self.sets.len() == FEATURE_SETS_PER_SCHEMA_MAX {
            return Err(SchemaError::TooManySets);
        }
        if features.is_empty() {
            return Err(SchemaError::SetEmpty);
        }
        let mut seen = AHashSet::with_capacity(features.len());
        for (index, name) in features.iter().enumerate() {
            if !self.features.contains_key(name) {
                return Err(SchemaError::SetFeatureUnknown { index, name: name.clone() });
            }
            if !seen.insert(name) {
                return Err(SchemaError::SetFeatureTwice { index, name: name.clone() });
            }
        }
        let resolved = |with_defaults| Arc::new(self.projection(features, with_defaults));
        let set = FeatureSet { plain: resolved(false), with_defaults: resolved(true) };
        self.sets.insert(name.to_owned(), set);
        Ok(())
    }

    /// Every feature that is declared, in no order.
    pub fn features(&self) -> impl ExactSizeIterator<Item = &FeatureSpec> {
        self.features.values()
    }

    /// What is declared of a feature.
    pub fn feature(&self, name: &FeatureName) -> Option<&FeatureSpec> {
        self.features.get(name)
    }

    /// A set as it was resolved, without or with the defaults of its features.
    pub fn set(&self, name: &str, with_defaults: bool) -> Option<&Arc<Projection>> {
        let set = self.sets.get(name)?;
        Some(if with_defaults { &set.with_defaults } else { &set.plain })
    }

    /// The names of the sets, in alphabetical order.
    pub fn set_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.sets.keys().map(String::as_str)
    }

    /// Features with what is declared of them; the caller sees to it that each is there once.
    pub fn projection(&self, features: impl Into<Arc<[FeatureName]>>, with_defaults: bool) -> Projection {
        if self.features.is_empty() {
            return Projection::untyped(features);
        }
        Projection::with_columns(features, |name| {
            let declared = self.features.get(name);
            Column {
                name: name.clone(),
                feature_type: declared.map(|feature| feature.feature_type),
                default: declared.filter(|_| with_defaults).and_then(|feature| feature.default.clone()),
            }
        })
    }

    /// Refuses values that are not of their type, and features that are not written in this way.
    pub fn check_write(
        &self,
        class: FeatureClass,
        features: &[(FeatureName, FeatureValue)],
    ) -> Result<(), SchemaViolation> {
        if self.features.is_empty() {
            return Ok(());
        }
        for (name, value) in features {
            let Some(declared) = self.features.get(name) else { continue };
            if declared.class != class {
                return Err(SchemaViolation::Class { name: name.clone(), declared: declared.class });
            }
            let feature_type = declared.feature_type;
            if !feature_type.takes(value.as_bytes()) {
                return Err(SchemaViolation::Type { name: name.clone(), feature_type });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FeatureName {
        FeatureName::new(text).unwrap()
    }

    fn batch(text: &str, feature_type: FeatureType) -> FeatureSpec {
        let name = name(text);
        FeatureSpec { name, feature_type, class: FeatureClass::Batch, ttl_seconds: None, default: None }
    }

    fn schema() -> Schema {
        let mut schema = Schema::default();
        let count = batch("count", FeatureType::Int64);
        schema.add_feature(FeatureSpec { default: Some(0i64.into()), ..count }).unwrap();
        let clicks = batch("clicks", FeatureType::Float64);
        let class = FeatureClass::Streaming;
        schema.add_feature(FeatureSpec { class, ttl_seconds: Some(60), ..clicks }).unwrap();
        schema.add_set("both", &[name("clicks"), name("count")]).unwrap();
        schema
    }

    #[test]
    fn a_set_is_resolved_once_and_shared() {
        let schema = schema();
        let plain = schema.set("both", false).unwrap();
        assert!(Arc::ptr_eq(plain, schema.set("both", false).unwrap()));
        let columns = |projection: &Projection| {
            let column =
                |column: &Column| (column.name.to_string(), column.feature_type, column.default.is_some());
            projection.columns().iter().map(column).collect::<Vec<_>>()
        };
        let (float, int) = (Some(FeatureType::Float64), Some(FeatureType::Int64));
        assert_eq!(columns(plain), [("clicks".into(), float, false), ("count".into(), int, false)]);
        let with_defaults = schema.set("both", true).unwrap();
        assert_eq!(columns(with_defaults), [("clicks".into(), float, false), ("count".into(), int, true)]);
        assert!(schema.set("other", false).is_none());
        assert_eq!(schema.set_names().collect::<Vec<_>>(), ["both"]);
    }

    #[test]
    fn a_feature_that_is_not_declared_is_read_untyped_and_written_unchecked() {
        let schema = schema();
        let projection = schema.projection([name("new"), name("count")], true);
        let types: Vec<_> = projection.columns().iter().map(|column| column.feature_type).collect();
        assert_eq!(types, [None, Some(FeatureType::Int64)]);
        for class in [FeatureClass::Batch, FeatureClass::Streaming] {
            assert_eq!(schema.check_write(class, &[(name("new"), "anything".into())]), Ok(()));
            assert_eq!(Schema::default().check_write(class, &[(name("count"), "x".into())]), Ok(()));
        }
    }

    #[test]
    fn a_write_that_breaks_the_schema_is_told_with_the_features_name_and_without_the_value() {
        let says = |class, feature: &str, value: &str| {
            let features = [(name("fine"), "1".into()), (name(feature), value.into())];
            schema().check_write(class, &features).map_err(|error| error.to_string())
        };
        let (batch, streaming) = (FeatureClass::Batch, FeatureClass::Streaming);
        assert_eq!(says(batch, "count", "-12"), Ok(()));
        assert_eq!(says(streaming, "clicks", "1e-3"), Ok(()));
        insta::assert_snapshot!(says(batch, "count", "4.5").unwrap_err(), @r#"feature "count": the value is no int64 (a whole number of 64 bits)"#);
        insta::assert_snapshot!(says(streaming, "clicks", "NaN").unwrap_err(), @r#"feature "clicks": the value is no float64 (a finite number)"#);
        insta::assert_snapshot!(says(batch, "clicks", "1").unwrap_err(), @r#"feature "clicks": it is a streaming feature, which a bulk load would rob of its TTL; stream it"#);
        insta::assert_snapshot!(says(streaming, "count", "1").unwrap_err(), @r#"feature "count": it is a batch feature, which a bulk load writes under the key's TTL"#);
    }

    #[test]
    fn what_cannot_be_declared_names_the_field() {
        let streaming = FeatureSpec { class: FeatureClass::Streaming, ..batch("x", FeatureType::Float64) };
        let short = batch("x", FeatureType::Int64);
        for (feature, field) in [
            (batch("count", FeatureType::Bool), "name"),
            (FeatureSpec { ttl_seconds: Some(60), ..short.clone() }, "ttl_seconds"),
            (FeatureSpec { ttl_seconds: Some(0), ..streaming.clone() }, "ttl_seconds"),
            (FeatureSpec { default: Some("0.5".into()), ..short }, "default"),
            (FeatureSpec { default: Some(f64::NAN.into()), ..streaming }, "default"),
        ] {
            let error = schema().add_feature(feature.clone()).unwrap_err();
            assert_eq!(error.field(), field, "{feature:?}: {error}");
        }
        for (set, features, field) in [
            ("", &["count"][..], "name"),
            ("both", &["count"], "name"),
            ("new", &[], "features"),
            ("new", &["count", "other"], "features[1]"),
            ("new", &["count", "clicks", "count"], "features[2]"),
        ] {
            let features: Vec<_> = features.iter().map(|text| name(text)).collect();
            assert_eq!(schema().add_set(set, &features).unwrap_err().field(), field, "{set} {features:?}");
        }
    }
}

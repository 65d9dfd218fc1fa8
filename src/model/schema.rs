//! The types that values can be read as, and what a read asks for: columns.
//!
//! Invariant: a value is only ever what its bytes say; bytes that do not parse are told apart from an absent value.

use std::fmt;
use std::str::{self, FromStr};
use std::sync::Arc;

use super::{FeatureName, FeatureValue};

/// The type of a feature's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeatureType {
    /// UTF-8 text.
    String,
    /// A whole number of 64 bits, in decimal.
    Int64,
    /// A floating-point number of 64 bits, in decimal; `inf` and `nan` among them.
    Float64,
    /// `true` or `false`.
    Bool,
    /// Milliseconds since 1970-01-01T00:00:00Z, in decimal.
    TimestampMs,
}

/// A value that has been read as its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TypedValue<'a> {
    /// Of [`FeatureType::String`].
    String(&'a str),
    /// Of [`FeatureType::Int64`].
    Int64(i64),
    /// Of [`FeatureType::Float64`].
    Float64(f64),
    /// Of [`FeatureType::Bool`].
    Bool(bool),
    /// Of [`FeatureType::TimestampMs`].
    TimestampMs(i64),
}

/// A text that is no [`FeatureType`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown type {0:?}; known are string, int64, float64, bool and timestamp_ms")]
pub struct FeatureTypeError(String);

impl FeatureType {
    /// Every type.
    pub const ALL: [Self; 5] = [Self::String, Self::Int64, Self::Float64, Self::Bool, Self::TimestampMs];

    /// Its name in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Bool => "bool",
            Self::TimestampMs => "timestamp_ms",
        }
    }

    /// What a value of it is, in words.
    pub fn rule(self) -> &'static str {
        match self {
            Self::String => "UTF-8 text",
            Self::Int64 => "a whole number of 64 bits",
            Self::Float64 => "a finite number",
            Self::Bool => "true or false",
            Self::TimestampMs => "a whole number of milliseconds since 1970",
        }
    }

    /// May these bytes be written as a value of this type? Infinity and NaN are read but not written: no model means
    /// them, and JSON has no number for them.
    pub fn takes(self, bytes: &[u8]) -> bool {
        match self.parse(bytes) {
            Some(TypedValue::Float64(number)) => number.is_finite(),
            other => other.is_some(),
        }
    }

    /// Reads bytes as Redis keeps them; `None` where they are no value of this type.
    pub fn parse(self, bytes: &[u8]) -> Option<TypedValue<'_>> {
        let text = || str::from_utf8(bytes).ok();
        match self {
            Self::String => text().map(TypedValue::String),
            Self::Int64 => text()?.parse().ok().map(TypedValue::Int64),
            Self::Float64 => text()?.parse().ok().map(TypedValue::Float64),
            Self::Bool => match bytes {
                b"true" => Some(TypedValue::Bool(true)),
                b"false" => Some(TypedValue::Bool(false)),
                _ => None,
            },
            Self::TimestampMs => text()?.parse().ok().map(TypedValue::TimestampMs),
        }
    }
}

impl fmt::Display for FeatureType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FeatureType {
    type Err = FeatureTypeError;

    fn from_str(text: &str) -> Result<Self, FeatureTypeError> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| FeatureTypeError(text.to_owned()))
    }
}

/// One feature of a read, with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The feature.
    pub name: FeatureName,
    /// Its type, where a schema gives one.
    pub feature_type: Option<FeatureType>,
    /// What stands in for an absent value; only set where the request asks for defaults.
    pub default: Option<FeatureValue>,
}

impl Column {
    /// A feature of which nothing but the name is known.
    pub fn untyped(name: FeatureName) -> Self {
        Self { name, feature_type: None, default: None }
    }

    /// False for a value that is not of the feature's type.
    pub fn parses(&self, value: &[u8]) -> bool {
        self.feature_type.is_none_or(|feature_type| feature_type.parse(value).is_some())
    }
}

/// What a read asks for: the columns of its answer, in order, each feature once. Resolved once, shared by whoever
/// reads the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    columns: Box<[Column]>,
    names: Arc<[FeatureName]>,
}

impl Projection {
    /// These columns.
    pub fn new(columns: impl Into<Box<[Column]>>) -> Self {
        let columns = columns.into();
        let names = columns.iter().map(|column| column.name.clone()).collect();
        Self { columns, names }
    }

    /// Features of which nothing but the name is known.
    pub fn untyped(names: impl Into<Arc<[FeatureName]>>) -> Self {
        Self::with_columns(names, |name| Column::untyped(name.clone()))
    }

    /// The column that each name stands for.
    pub(super) fn with_columns(
        names: impl Into<Arc<[FeatureName]>>,
        column: impl Fn(&FeatureName) -> Column,
    ) -> Self {
        let names = names.into();
        Self { columns: names.iter().map(column).collect(), names }
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Their names, in order.
    pub fn names(&self) -> &[FeatureName] {
        &self.names
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// True where nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_reads_back_from_its_name() {
        for known in FeatureType::ALL {
            assert_eq!(known.to_string().parse(), Ok(known));
        }
        assert!("int".parse::<FeatureType>().is_err());
    }

    #[test]
    fn bytes_are_read_as_their_type_or_not_at_all() {
        assert_eq!(FeatureType::Int64.parse(b"-12"), Some(TypedValue::Int64(-12)));
        assert_eq!(FeatureType::Float64.parse(b"1e300"), Some(TypedValue::Float64(1e300)));
        assert_eq!(FeatureType::Bool.parse(b"true"), Some(TypedValue::Bool(true)));
        assert_eq!(FeatureType::TimestampMs.parse(b"0"), Some(TypedValue::TimestampMs(0)));
        assert_eq!(FeatureType::String.parse("é".as_bytes()), Some(TypedValue::String("é")));
        for (of, wrong) in [
            (FeatureType::Int64, &b""[..]),
            (FeatureType::Int64, b"1.0"),
            (FeatureType::Int64, b" 1"),
            (FeatureType::Int64, b"9223372036854775808"),
            (FeatureType::Float64, b"1,5"),
            (FeatureType::Bool, b"True"),
            (FeatureType::Bool, b"1"),
            (FeatureType::TimestampMs, b"2026-01-01"),
            (FeatureType::String, b"\xff"),
        ] {
            assert_eq!(of.parse(wrong), None, "{of} {wrong:?}");
        }
    }
}

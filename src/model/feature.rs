//! Feature names and values. Invariants: a name is 1 to [`FEATURE_NAME_BYTES_MAX`] bytes of UTF-8; a value is
//! the bytes Redis keeps, with numbers in their shortest decimal form that reads back as the same number.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::limits::FEATURE_NAME_BYTES_MAX;

/// The name of a feature: one field of the entity's hash. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureName(Arc<str>);

/// Why a text is not a feature name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureNameError {
    /// The text is empty.
    Empty,
    /// The text is longer than [`FEATURE_NAME_BYTES_MAX`].
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
}

impl FeatureName {
    /// Checks the length of `text` and takes it as a name.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, FeatureNameError> {
        let text = text.into();
        if text.is_empty() {
            return Err(FeatureNameError::Empty);
        }
        if text.len() > FEATURE_NAME_BYTES_MAX {
            return Err(FeatureNameError::TooLong { bytes: text.len() });
        }
        Ok(Self(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for FeatureName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FeatureName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for FeatureName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<&str> for FeatureName {
    type Error = FeatureNameError;
    fn try_from(text: &str) -> Result<Self, FeatureNameError> {
        Self::new(text)
    }
}

impl fmt::Display for FeatureNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a feature name is empty"),
            Self::TooLong { bytes } => {
                write!(f, "a feature name has {bytes} bytes, the limit is {FEATURE_NAME_BYTES_MAX}")
            }
        }
    }
}

impl std::error::Error for FeatureNameError {}

/// A feature value as Redis keeps it. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FeatureValue(Bytes);

impl FeatureValue {
    /// The bytes that Redis keeps.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for FeatureValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for FeatureValue {
    fn from(value: &str) -> Self {
        Self(Bytes::copy_from_slice(value.as_bytes()))
    }
}

impl From<String> for FeatureValue {
    fn from(value: String) -> Self {
        Self(value.into())
    }
}

impl From<Vec<u8>> for FeatureValue {
    fn from(value: Vec<u8>) -> Self {
        Self(value.into())
    }
}

impl From<bool> for FeatureValue {
    fn from(value: bool) -> Self {
        Self(Bytes::from_static(if value { b"true" } else { b"false" }))
    }
}

impl From<i64> for FeatureValue {
    fn from(value: i64) -> Self {
        value.to_string().into()
    }
}

impl From<u64> for FeatureValue {
    fn from(value: u64) -> Self {
        value.to_string().into()
    }
}

impl From<f64> for FeatureValue {
    fn from(value: f64) -> Self {
        Shortest(value).to_string().into()
    }
}

/// A float as it is written: the shortest text that reads back as itself. Plain digits for everyday magnitudes, an
/// exponent from 1e16 on and below 1e-5, as Python's `repr` does.
#[derive(Debug, Clone, Copy)]
pub struct Shortest(pub f64);

impl fmt::Display for Shortest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        if value != 0.0 && value.is_finite() && !(1e-5..1e16).contains(&value.abs()) {
            write!(f, "{value:e}")
        } else {
            write!(f, "{value}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_in_their_shortest_form() {
        let text = |value: FeatureValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
        assert_eq!(text(true.into()), "true");
        assert_eq!(text(false.into()), "false");
        assert_eq!(text(i64::MIN.into()), "-9223372036854775808");
        assert_eq!(text(u64::MAX.into()), "18446744073709551615");
        assert_eq!(text(92.40.into()), "92.4");
        assert_eq!(text(0.1.into()), "0.1");
        assert_eq!(text(1000.0.into()), "1000");
        assert_eq!(text(0.0.into()), "0");
        assert_eq!(text(1e300.into()), "1e300");
        assert_eq!(text(2.5e-9.into()), "2.5e-9");
    }

    proptest::proptest! {
        #[test]
        fn a_float_reads_back_as_itself(value: f64) {
            proptest::prop_assume!(value.is_finite());
            let kept = FeatureValue::from(value);
            let back: f64 = std::str::from_utf8(kept.as_bytes()).unwrap().parse().unwrap();
            proptest::prop_assert_eq!(back, value);
        }
    }

    #[test]
    fn a_name_is_bounded() {
        assert_eq!(FeatureName::new(""), Err(FeatureNameError::Empty));
        assert!(FeatureName::new("x".repeat(FEATURE_NAME_BYTES_MAX)).is_ok());
        assert!(FeatureName::new("x".repeat(FEATURE_NAME_BYTES_MAX + 1)).is_err());
    }
}

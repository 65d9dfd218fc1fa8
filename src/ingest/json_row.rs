//! One row of JSON, `{"id":…,"features":{…}}`, to a [`FeatureRow`]; or what is wrong, naming the field.
//!
//! Invariant: no key and no digit is dropped in silence. So an object is read into a list of its members
//! (a map would keep the last of two equal keys) and a number by its own text (an `f64` would round it).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::limits::{FEATURE_VALUE_BYTES_MAX, FEATURES_PER_WRITE_MAX, INPUT_LINE_BYTES_MAX};
use crate::model::{EntityId, EntityIdError, FeatureName, FeatureNameError, FeatureRow, FeatureValue};

/// Why a row, or a features object, can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The bytes are not UTF-8.
    #[error("not UTF-8, from byte {valid_bytes} on")]
    NotUtf8 {
        /// Bytes before the first that is wrong.
        valid_bytes: usize,
    },
    /// The line or record is longer than [`INPUT_LINE_BYTES_MAX`].
    #[error("the line has {bytes} bytes, the limit is {INPUT_LINE_BYTES_MAX}")]
    LineTooLong {
        /// Its length in bytes.
        bytes: u64,
    },
    /// The text is not JSON; holds what the parser says.
    #[error("not valid JSON: {0}")]
    Json(String),
    /// The row is another kind of JSON value.
    #[error("a row is an object {{\"id\":…,\"features\":{{…}}}}, not {0}")]
    NotAnObject(&'static str),
    /// A field that rows don't have.
    #[error("unknown field {0:?}; a row has \"id\" and \"features\"")]
    UnknownField(String),
    /// A field that comes twice.
    #[error("field {0:?} comes twice")]
    DuplicateField(String),
    /// A field that is not there.
    #[error("field {0:?} is missing")]
    MissingField(&'static str),
    /// The id is not a string.
    #[error("field \"id\": ids are strings, not {0}")]
    IdType(&'static str),
    /// The id is empty or too long.
    #[error("field \"id\": {0}")]
    Id(EntityIdError),
    /// `features` is not an object.
    #[error("field \"features\": an object of names and values is needed, not {0}")]
    FeaturesType(&'static str),
    /// There is nothing to write.
    #[error("field \"features\": no features")]
    NoFeatures,
    /// More than [`FEATURES_PER_WRITE_MAX`] features.
    #[error("field \"features\": {count} features, the limit is {FEATURES_PER_WRITE_MAX}")]
    TooManyFeatures {
        /// How many there are.
        count: usize,
    },
    /// A feature's name is empty or too long.
    #[error("field \"features\": {0}")]
    Name(FeatureNameError),
    /// A feature that comes twice.
    #[error("feature {0:?} comes twice")]
    DuplicateFeature(String),
    /// A value that can't be kept; says why.
    #[error("feature {name:?}: {problem}")]
    Value {
        /// The feature.
        name: String,
        /// What is wrong with its value.
        problem: ValueProblem,
    },
}

/// Why a value can't be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueProblem {
    /// `null`.
    #[error("null; leave the feature out")]
    Null,
    /// An array or an object.
    #[error("{0}; a value is a string, a number or a boolean")]
    Nested(&'static str),
    /// An integer that fits neither `i64` nor `u64`.
    #[error("integer beyond 64 bits; send it as a string")]
    IntegerTooLarge,
    /// A number that `f64` holds only as infinity, or only as zero.
    #[error("number beyond a 64-bit float; send it as a string")]
    FloatRange,
    /// A string with `\u` escapes that are no character.
    #[error("{0}")]
    Text(String),
    /// Larger than [`FEATURE_VALUE_BYTES_MAX`].
    #[error("the value has {bytes} bytes, the limit is {FEATURE_VALUE_BYTES_MAX}")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
}

/// Reads one row. The caller bounds `line`: sources do by [`INPUT_LINE_BYTES_MAX`].
pub fn parse_row(line: &[u8]) -> Result<FeatureRow, RowError> {
    let text =
        std::str::from_utf8(line).map_err(|error| RowError::NotUtf8 { valid_bytes: error.valid_up_to() })?;
    let row = object(text, RowError::NotAnObject)?;
    let (mut id, mut features) = (None, None);
    for (name, value) in &row.members {
        let field = match name.as_ref() {
            "id" => &mut id,
            "features" => &mut features,
            _ => return Err(RowError::UnknownField(name.to_string())),
        };
        if field.replace(value.get()).is_some() {
            return Err(RowError::DuplicateField(name.to_string()));
        }
    }
    let id = id_of(id.ok_or(RowError::MissingField("id"))?)?;
    let features = parse_features(features.ok_or(RowError::MissingField("features"))?)?;
    Ok(FeatureRow { id, features })
}

/// Reads a features object `{"name":value,…}`, such as the text of a [`RawValue`] in a request body. Gives 1 to
/// [`FEATURES_PER_WRITE_MAX`] features in the order of the text, each name once.
pub fn parse_features(text: &str) -> Result<Vec<(FeatureName, FeatureValue)>, RowError> {
    let object = object(text, RowError::FeaturesType)?;
    if object.count == 0 {
        return Err(RowError::NoFeatures);
    }
    if object.count > FEATURES_PER_WRITE_MAX {
        return Err(RowError::TooManyFeatures { count: object.count });
    }
    let mut features = Vec::with_capacity(object.count);
    for (name, value) in &object.members {
        let feature = FeatureName::new(name.as_ref()).map_err(RowError::Name)?;
        let value =
            value_of(value.get()).map_err(|problem| RowError::Value { name: name.to_string(), problem })?;
        features.push((feature, value));
    }
    match first_duplicate(&features) {
        Some(name) => Err(RowError::DuplicateFeature(name.to_string())),
        None => Ok(features),
    }
}

fn first_duplicate(features: &[(FeatureName, FeatureValue)]) -> Option<&FeatureName> {
    // Most rows are this short, and then comparing all pairs costs less than hashing.
    if features.len() <= 16 {
        let again = |index: usize| features[..index].iter().any(|(name, _)| *name == features[index].0);
        return (1..features.len()).find(|index| again(*index)).map(|index| &features[index].0);
    }
    let mut seen = HashSet::with_capacity(features.len());
    features.iter().map(|(name, _)| name).find(|name| !seen.insert(name.as_str()))
}

/// Refuses a value that Redis is not to be given.
pub(super) fn check_value_size(bytes: usize) -> Result<(), ValueProblem> {
    if bytes > FEATURE_VALUE_BYTES_MAX { Err(ValueProblem::TooLarge { bytes }) } else { Ok(()) }
}

fn id_of(text: &str) -> Result<EntityId, RowError> {
    if !text.starts_with('"') {
        return Err(RowError::IdType(kind(text)));
    }
    let id: String = serde_json::from_str(text).map_err(|error| RowError::Json(place(&error)))?;
    EntityId::new(id).map_err(RowError::Id)
}

fn value_of(text: &str) -> Result<FeatureValue, ValueProblem> {
    let value = match text.as_bytes().first() {
        Some(b'"') => {
            serde_json::from_str::<String>(text).map_err(|error| ValueProblem::Text(what(&error)))?.into()
        }
        Some(b't') => true.into(),
        Some(b'f') => false.into(),
        Some(b'n') => return Err(ValueProblem::Null),
        Some(b'-' | b'0'..=b'9') => number(text)?,
        _ => return Err(ValueProblem::Nested(kind(text))),
    };
    check_value_size(value.as_bytes().len())?;
    Ok(value)
}

fn number(text: &str) -> Result<FeatureValue, ValueProblem> {
    if !text.contains(['.', 'e', 'E']) {
        let signed = text.parse::<i64>().map(FeatureValue::from);
        return signed
            .or_else(|_| text.parse::<u64>().map(FeatureValue::from))
            .map_err(|_| ValueProblem::IntegerTooLarge);
    }
    let float: f64 = text.parse().map_err(|_| ValueProblem::FloatRange)?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let vanished = float == 0.0 && mantissa.contains(|c: char| ('1'..='9').contains(&c));
    if float.is_infinite() || vanished { Err(ValueProblem::FloatRange) } else { Ok(float.into()) }
}

/// What a JSON text is, told by its first byte.
fn kind(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The members of an object in the order of the text, as many as are of use; `count` counts all.
struct Object<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    count: usize,
}

fn object(text: &str, otherwise: fn(&'static str) -> RowError) -> Result<Object<'_>, RowError> {
    match serde_json::from_str(text) {
        Ok(object) => Ok(object),
        Err(error) if error.is_data() => Err(otherwise(kind(text.trim_ascii_start()))),
        Err(error) => Err(RowError::Json(place(&error))),
    }
}

/// The parser's message without a place, which would count from the start of the value.
fn what(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).unwrap_or(&message).to_owned()
}

/// The parser's message; within one line, "line 1" would be taken for the line of the file.
fn place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.strip_suffix(&format!(" at line 1 column {}", error.column())) {
        Some(what) => format!("{what} at column {}", error.column()),
        None => message,
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut object = Object { members: Vec::new(), count: 0 };
                while object.count < FEATURES_PER_WRITE_MAX {
                    let Some((Key(name), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? else {
                        return Ok(object);
                    };
                    object.members.push((name, value));
                    object.count += 1;
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    object.count += 1;
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests;

//! `[[entity.feature]]` and `[[entity.feature_set]]`: what is declared of a kind's features.

use std::fmt::Display;

use serde::Deserialize;
use toml::Value;

use crate::model::{FeatureName, FeatureSpec, FeatureType, FeatureValue, Schema};

use super::ConfigError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFeature {
    name: String,
    r#type: String,
    /// `batch` or `streaming`.
    kind: String,
    /// Of a streaming feature; by default the kind's `streaming_ttl_seconds`.
    ttl_seconds: Option<u64>,
    default: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFeatureSet {
    name: String,
    features: Vec<String>,
}

/// `entity` names the section that they stand in, such as `entity[0]`.
pub(super) fn validate(
    features: Vec<RawFeature>,
    sets: &[RawFeatureSet],
    entity: &str,
) -> Result<Schema, ConfigError> {
    let mut schema = Schema::default();
    for (number, feature) in features.into_iter().enumerate() {
        let field = format!("{entity}.feature[{number}]");
        let feature = feature.validate(&field)?;
        schema.add_feature(feature).map_err(|error| invalid(&field, &error.field(), &error))?;
    }
    for (number, set) in sets.iter().enumerate() {
        let field = format!("{entity}.feature_set[{number}]");
        let name = |(number, text): (usize, &String)| {
            FeatureName::new(text.as_str())
                .map_err(|error| invalid(&field, &format!("features[{number}]"), &error))
        };
        let names = set.features.iter().enumerate().map(name).collect::<Result<Vec<_>, _>>()?;
        schema.add_set(&set.name, &names).map_err(|error| invalid(&field, &error.field(), &error))?;
    }
    Ok(schema)
}

fn invalid(section: &str, field: &str, problem: &dyn Display) -> ConfigError {
    ConfigError::invalid(format!("{section}.{field}"), problem)
}

impl RawFeature {
    fn validate(self, field: &str) -> Result<FeatureSpec, ConfigError> {
        let name = FeatureName::new(self.name).map_err(|error| invalid(field, "name", &error))?;
        let feature_type = self.r#type.parse().map_err(|error| invalid(field, "type", &error))?;
        let class = self.kind.parse().map_err(|error| invalid(field, "kind", &error))?;
        let default = match self.default {
            None => None,
            Some(value) => {
                let kind = value.type_str();
                let problem =
                    || format!("a default of type {feature_type} is {}, not {kind}", of(feature_type));
                Some(default(feature_type, value).ok_or_else(|| invalid(field, "default", &problem()))?)
            }
        };
        Ok(FeatureSpec { name, feature_type, class, ttl_seconds: self.ttl_seconds, default })
    }
}

/// A default is written as TOML writes values of its type, so that a number in quotes is seen.
fn default(feature_type: FeatureType, value: Value) -> Option<FeatureValue> {
    match (feature_type, value) {
        (FeatureType::String, Value::String(text)) => Some(text.into()),
        (FeatureType::Int64 | FeatureType::TimestampMs | FeatureType::Float64, Value::Integer(number)) => {
            Some(number.into())
        }
        (FeatureType::Float64, Value::Float(number)) => Some(number.into()),
        (FeatureType::Bool, Value::Boolean(truth)) => Some(truth.into()),
        _ => None,
    }
}

/// What TOML calls a value of the type.
fn of(feature_type: FeatureType) -> &'static str {
    match feature_type {
        FeatureType::String => "a string",
        FeatureType::Int64 => "an integer",
        FeatureType::Float64 => "a float or an integer",
        FeatureType::Bool => "a boolean",
        FeatureType::TimestampMs => "an integer, milliseconds since 1970",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FeatureClass;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        #[serde(default)]
        feature: Vec<RawFeature>,
        #[serde(default)]
        feature_set: Vec<RawFeatureSet>,
    }

    fn schema(text: &str) -> Result<Schema, String> {
        let raw: Raw = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        validate(raw.feature, &raw.feature_set, "entity[0]").map_err(|error| error.to_string())
    }

    const TWO: &str = r#"
        feature = [
            { name = "count", type = "int64", kind = "batch", default = 0 },
            { name = "clicks", type = "float64", kind = "streaming", ttl_seconds = 60, default = 0.5 },
        ]
    "#;

    #[test]
    fn features_and_sets_are_read() {
        let text =
            format!("{TWO}\nfeature_set = [{{ name = \"fraud\", features = [\"clicks\", \"count\"] }}]");
        let schema = schema(&text).unwrap();
        let clicks = schema.feature(&FeatureName::new("clicks").unwrap()).unwrap();
        assert_eq!((clicks.feature_type, clicks.class), (FeatureType::Float64, FeatureClass::Streaming));
        assert_eq!((clicks.ttl_seconds, clicks.default.clone()), (Some(60), Some("0.5".into())));
        let set = schema.set("fraud", true).unwrap();
        assert_eq!(set.names().iter().map(FeatureName::as_str).collect::<Vec<_>>(), ["clicks", "count"]);
        assert_eq!(set.columns()[1].default, Some("0".into()));
    }

    #[test]
    fn a_default_of_every_type_is_written_as_toml_writes_it() {
        for (feature_type, default, kept) in [
            ("string", "\"GB\"", "GB"),
            ("int64", "-9223372036854775808", "-9223372036854775808"),
            ("float64", "0.25", "0.25"),
            ("float64", "3", "3"),
            ("bool", "false", "false"),
            ("timestamp_ms", "1760000000000", "1760000000000"),
        ] {
            let feature = format!("name = \"x\", type = \"{feature_type}\", kind = \"batch\"");
            let schema = schema(&format!("feature = [{{ {feature}, default = {default} }}]")).unwrap();
            let declared = schema.feature(&FeatureName::new("x").unwrap()).unwrap();
            assert_eq!(declared.default, Some(kept.into()), "{feature_type}");
        }
    }

    #[test]
    fn a_declaration_that_makes_no_sense_is_named_with_its_field() {
        let third =
            |feature: &str| TWO.trim_end().trim_end_matches(']').to_owned() + &format!("{{ {feature} }} ]");
        let set = |set: &str| format!("{TWO}\nfeature_set = [{set}]");
        let says = |text: String| schema(&text).unwrap_err();
        let said = [
            third(r#"name = "", type = "bool", kind = "batch""#),
            third(r#"name = "x", type = "int", kind = "batch""#),
            third(r#"name = "x", type = "bool", kind = "stream""#),
            third(r#"name = "count", type = "bool", kind = "batch""#),
            third(r#"name = "x", type = "bool", kind = "batch", ttl_seconds = 60"#),
            third(r#"name = "x", type = "bool", kind = "streaming", ttl_seconds = 0"#),
            third(r#"name = "x", type = "int64", kind = "batch", default = "3""#),
            third(r#"name = "x", type = "timestamp_ms", kind = "batch", default = 2026-01-01"#),
            third(r#"name = "x", type = "float64", kind = "batch", default = nan"#),
            set(r#"{ name = "s", features = [] }"#),
            set(r#"{ name = "", features = ["count"] }"#),
            set(r#"{ name = "s", features = ["count", "lost"] }"#),
            set(r#"{ name = "s", features = ["count", "count"] }"#),
            set(r#"{ name = "s", features = ["count"] }, { name = "s", features = ["clicks"] }"#),
            third(r#"name = "x", type = "bool", kind = "batch", ttl = 60"#),
        ]
        .map(says);
        insta::assert_snapshot!(said.join("\n"), @r#"
        entity[0].feature[2].name: a feature name is empty
        entity[0].feature[2].type: unknown type "int"; known are string, int64, float64, bool and timestamp_ms
        entity[0].feature[2].kind: unknown kind "stream"; known are batch and streaming
        entity[0].feature[2].name: "count" is declared twice
        entity[0].feature[2].ttl_seconds: a batch feature has no TTL of its own, it lives as long as its key; see batch_ttl_seconds
        entity[0].feature[2].ttl_seconds: 0 is not between 1 and 60000000000
        entity[0].feature[2].default: a default of type int64 is an integer, not string
        entity[0].feature[2].default: a default of type timestamp_ms is an integer, milliseconds since 1970, not datetime
        entity[0].feature[2].default: it is no float64 (a finite number)
        entity[0].feature_set[0].features: the list is empty; name at least one feature
        entity[0].feature_set[0].name: it is empty
        entity[0].feature_set[0].features[1]: "lost" is not declared; a set takes declared features only
        entity[0].feature_set[0].features[1]: "count" is given twice
        entity[0].feature_set[1].name: "s" is declared twice
        unknown field `ttl`, expected one of `name`, `type`, `kind`, `ttl_seconds`, `default`
        "#);
    }
}

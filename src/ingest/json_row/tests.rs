//! What a row of JSON is promised: nothing lost, and a message that names the field.

use super::*;
use crate::model::limits::{ENTITY_ID_BYTES_MAX, FEATURE_NAME_BYTES_MAX};

fn value(json: &str) -> Result<String, String> {
    let row = format!("{{\"id\":\"u1\",\"features\":{{\"f\":{json}}}}}");
    let row = parse_row(row.as_bytes()).map_err(|error| error.to_string())?;
    let [(name, value)] = row.features.as_slice() else { panic!("one feature: {row:?}") };
    assert_eq!(name.as_str(), "f");
    Ok(String::from_utf8(value.as_bytes().to_vec()).unwrap())
}

fn error(row: &str) -> String {
    parse_row(row.as_bytes()).unwrap_err().to_string()
}

#[test]
fn values_are_kept_as_text_without_losing_a_digit() {
    for (json, kept) in [
        ("\"text\"", "text"),
        ("\"\"", ""),
        (r#""a\n\"b\" \ud83e\udd80""#, "a\n\"b\" 🦀"),
        ("true", "true"),
        (" false ", "false"),
        ("0", "0"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("18446744073709551615", "18446744073709551615"),
        ("9007199254740993", "9007199254740993"),
        ("92.40", "92.4"),
        ("1e3", "1000"),
        ("0.0", "0"),
        ("0e999", "0"),
        ("2.2250738585072011e-308", "2.225073858507201e-308"),
    ] {
        assert_eq!(value(json), Ok(kept.into()), "{json}");
    }
}

#[test]
fn values_that_would_lose_something_are_refused() {
    insta::assert_snapshot!(
        [
            "null", "[1]", "{\"a\":1}", "18446744073709551616", "-9223372036854775809", "1e309", "-1e999", "1e-400",
            "\"\\ud800\"", "01", "NaN", "tru", "\"\u{1}\"",
        ]
        .map(|json| format!("{json:?} {}", value(json).unwrap_err()))
        .join("\n"),
        @r#"
        "null" feature "f": null; leave the feature out
        "[1]" feature "f": an array; a value is a string, a number or a boolean
        "{\"a\":1}" feature "f": an object; a value is a string, a number or a boolean
        "18446744073709551616" feature "f": integer beyond 64 bits; send it as a string
        "-9223372036854775809" feature "f": integer beyond 64 bits; send it as a string
        "1e309" feature "f": number beyond a 64-bit float; send it as a string
        "-1e999" feature "f": number beyond a 64-bit float; send it as a string
        "1e-400" feature "f": number beyond a 64-bit float; send it as a string
        "\"\\ud800\"" feature "f": unexpected end of hex escape
        "01" not valid JSON: invalid number at column 29
        "NaN" not valid JSON: expected value at column 28
        "tru" not valid JSON: expected ident at column 31
        "\"\u{1}\"" not valid JSON: control character (\u0000-\u001F) found while parsing a string at column 28
        "#
    );
}

#[test]
fn a_wrong_row_is_told_by_its_field() {
    let long_id = format!("{{\"id\":\"{}\",\"features\":{{\"f\":1}}}}", "x".repeat(ENTITY_ID_BYTES_MAX + 1));
    let long_name =
        format!("{{\"id\":\"u\",\"features\":{{\"{}\":1}}}}", "x".repeat(FEATURE_NAME_BYTES_MAX + 1));
    insta::assert_snapshot!(
        [
            "", "{", "5", " [1]", "null", "{} {}",
            r#"{"features":{"f":1}}"#,
            r#"{"id":"u"}"#,
            r#"{"id":7,"features":{"f":1}}"#,
            r#"{"id":null,"features":{"f":1}}"#,
            r#"{"id":"","features":{"f":1}}"#,
            r#"{"id":"u","features":[]}"#,
            r#"{"id":"u","features":{}}"#,
            r#"{"id":"u","features":{"":1}}"#,
            r#"{"id":"u","features":{"f":1,"g":2,"\u0066":1}}"#,
            r#"{"id":"u","features":{"f":1},"id":"v"}"#,
            r#"{"id":"u","features":{"f":1},"ttl":5}"#,
            &long_id,
            &long_name,
        ]
        .map(error)
        .join("\n"),
        @r#"
        not valid JSON: EOF while parsing a value at column 0
        not valid JSON: EOF while parsing an object at column 1
        a row is an object {"id":…,"features":{…}}, not a number
        a row is an object {"id":…,"features":{…}}, not an array
        a row is an object {"id":…,"features":{…}}, not null
        not valid JSON: trailing characters at column 4
        field "id" is missing
        field "features" is missing
        field "id": ids are strings, not a number
        field "id": ids are strings, not null
        field "id": an entity id is empty
        field "features": an object of names and values is needed, not an array
        field "features": no features
        field "features": a feature name is empty
        feature "f" comes twice
        field "id" comes twice
        unknown field "ttl"; a row has "id" and "features"
        field "id": an entity id has 1025 bytes, the limit is 1024
        field "features": a feature name has 1025 bytes, the limit is 1024
        "#
    );
    assert_eq!(parse_row(b"{\"id\":\"\xff\"").unwrap_err().to_string(), "not UTF-8, from byte 7 on");
}

#[test]
fn the_number_and_the_size_of_features_are_limited() {
    let features = |count: usize| {
        let members: Vec<String> = (0..count).map(|i| format!("\"f{i}\":{i}")).collect();
        parse_features(&format!("{{{}}}", members.join(",")))
    };
    assert_eq!(features(FEATURES_PER_WRITE_MAX).unwrap().len(), FEATURES_PER_WRITE_MAX);
    assert_eq!(
        features(FEATURES_PER_WRITE_MAX + 2),
        Err(RowError::TooManyFeatures { count: FEATURES_PER_WRITE_MAX + 2 })
    );
    let sized = |bytes: usize| parse_features(&format!("{{\"f\":\"{}\"}}", "x".repeat(bytes)));
    assert!(sized(FEATURE_VALUE_BYTES_MAX).is_ok());
    assert_eq!(
        sized(FEATURE_VALUE_BYTES_MAX + 1).unwrap_err().to_string(),
        "feature \"f\": the value has 1048577 bytes, the limit is 1048576"
    );
}

#[test]
fn a_body_of_several_lines_is_placed_by_line_and_column() {
    assert_eq!(
        parse_features("{\n  \"a\": 1,\n}").unwrap_err().to_string(),
        "not valid JSON: trailing comma at line 3 column 1"
    );
}

proptest::proptest! {
    #[test]
    fn any_row_of_strings_reads_back(id in "\\PC{1,20}", features in proptest::collection::btree_map(".{1,8}", ".{0,12}", 1..6)) {
        let json = serde_json::json!({ "id": id, "features": features }).to_string();
        let row = parse_row(json.as_bytes()).unwrap();
        proptest::prop_assert_eq!(row.id.as_str(), id);
        let kept: std::collections::BTreeMap<String, String> = row.features.iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8(value.as_bytes().to_vec()).unwrap()))
            .collect();
        proptest::prop_assert_eq!(kept, features);
    }

    #[test]
    fn any_integer_of_64_bits_keeps_its_digits(signed: i64, unsigned: u64) {
        proptest::prop_assert_eq!(value(&signed.to_string()), Ok(signed.to_string()));
        proptest::prop_assert_eq!(value(&unsigned.to_string()), Ok(unsigned.to_string()));
    }

    #[test]
    fn any_float_reads_back_as_itself(float in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
        let kept: f64 = value(&format!("{float:e}")).unwrap().parse().unwrap();
        proptest::prop_assert_eq!(kept, float);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
        let _ = parse_row(&bytes);
    }
}

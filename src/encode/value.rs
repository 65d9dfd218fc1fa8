//! One cell as a JSON value, as its column's type says.
//!
//! Invariants: a value that does not parse is written as what it is, `{"unparsable":…}`, never as `null` and never as
//! a number; nothing is allocated per value, and text that is a JSON number already is copied.

use std::io::Write;

use super::text::{is_plain, push_bytes, push_plain, push_str};
use crate::model::{Column, FeatureType, Shortest, TypedValue};

/// Longest decimal number that is surely within a 64-bit float.
const FLOAT_DIGITS_MAX: usize = 300;
/// Digits that surely fit a 64-bit integer.
const INT_DIGITS_MAX: usize = 18;

/// Appends a cell: `null` where absent, otherwise what the column's type says; without a type a string, or
/// `{"base64":"…"}` where the bytes are not UTF-8. False where the value does not parse.
pub(super) fn push_cell(out: &mut Vec<u8>, column: &Column, cell: Option<&[u8]>) -> bool {
    let Some(bytes) = cell else {
        out.extend_from_slice(b"null");
        return true;
    };
    let copied = match column.feature_type {
        None => {
            push_bytes(out, bytes);
            return true;
        }
        Some(FeatureType::String) if is_plain(bytes) => {
            push_plain(out, bytes);
            return true;
        }
        Some(FeatureType::String) => false,
        Some(FeatureType::Int64 | FeatureType::TimestampMs) => is_json_int(bytes),
        Some(FeatureType::Float64) => is_json_decimal(bytes),
        Some(FeatureType::Bool) => matches!(bytes, b"true" | b"false"),
    };
    if copied {
        out.extend_from_slice(bytes);
        return true;
    }
    push_rare(out, column.feature_type, bytes)
}

/// A value that is not copied: another way to write a number, a text to escape, or nothing of its type.
#[cold]
fn push_rare(out: &mut Vec<u8>, feature_type: Option<FeatureType>, bytes: &[u8]) -> bool {
    // A Vec takes any write.
    let _ = match feature_type.and_then(|of| of.parse(bytes)) {
        Some(TypedValue::String(text)) => {
            push_str(out, text);
            Ok(())
        }
        Some(TypedValue::Int64(number) | TypedValue::TimestampMs(number)) => write!(out, "{number}"),
        Some(TypedValue::Float64(number)) if number.is_finite() => write!(out, "{}", Shortest(number)),
        // JSON has no such numbers.
        Some(TypedValue::Float64(number)) if number.is_nan() => out.write_all(b"\"NaN\""),
        Some(TypedValue::Float64(number)) if number > 0.0 => out.write_all(b"\"Infinity\""),
        Some(TypedValue::Float64(_)) => out.write_all(b"\"-Infinity\""),
        Some(TypedValue::Bool(truth)) => write!(out, "{truth}"),
        None => {
            out.extend_from_slice(b"{\"unparsable\":");
            push_bytes(out, bytes);
            out.push(b'}');
            return false;
        }
    };
    true
}

/// An integer as JSON writes it, that fits 64 bits for sure. `-0` is none: readers take it for a float.
fn is_json_int(bytes: &[u8]) -> bool {
    match bytes {
        [b'0'] => true,
        [b'-', b'1'..=b'9', rest @ ..] | [b'1'..=b'9', rest @ ..] => {
            rest.len() < INT_DIGITS_MAX && rest.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// A number as JSON writes it, without an exponent, that fits a 64-bit float for sure.
fn is_json_decimal(bytes: &[u8]) -> bool {
    let unsigned = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let whole = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole_is_fine = match unsigned.first() {
        Some(b'0') => whole == 1,
        _ => whole > 0,
    };
    let fraction_is_fine = match &unsigned[whole..] {
        [] => true,
        [b'.', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    whole_is_fine && fraction_is_fine && bytes.len() <= FLOAT_DIGITS_MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::model::FeatureName;

    fn written(feature_type: Option<FeatureType>, cell: Option<&[u8]>) -> (String, bool) {
        let column = Column { feature_type, ..Column::untyped(FeatureName::new("x").unwrap()) };
        let mut out = Vec::new();
        let parsed = push_cell(&mut out, &column, cell);
        (String::from_utf8(out).unwrap(), parsed)
    }

    fn of(feature_type: FeatureType, value: &str) -> String {
        let (text, parsed) = written(Some(feature_type), Some(value.as_bytes()));
        assert_eq!(parsed, !text.contains("unparsable"), "{text}");
        text
    }

    #[test]
    fn numbers_are_json_numbers_however_they_are_kept() {
        for feature_type in [FeatureType::Int64, FeatureType::TimestampMs] {
            for (kept, json) in [
                ("0", "0"),
                ("-7", "-7"),
                ("+5", "5"),
                ("007", "7"),
                ("-0", "0"),
                ("999999999999999999", "999999999999999999"),
                ("9223372036854775807", "9223372036854775807"),
                ("-9223372036854775808", "-9223372036854775808"),
            ] {
                assert_eq!(of(feature_type, kept), json);
            }
        }
        for (kept, json) in [
            ("0.5", "0.5"),
            ("-12.340", "-12.340"),
            ("3", "3"),
            ("-0.0", "-0.0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("+1.5", "1.5"),
            ("00.5", "0.5"),
            ("6.02E23", "6.02e23"),
            ("1e3", "1000"),
            ("nan", "\"NaN\""),
            ("inf", "\"Infinity\""),
            ("-Infinity", "\"-Infinity\""),
            ("1e999", "\"Infinity\""),
        ] {
            assert_eq!(of(FeatureType::Float64, kept), json);
        }
        assert_eq!(of(FeatureType::Float64, &"9".repeat(400)), "\"Infinity\"");
        assert_eq!(of(FeatureType::Float64, &"9".repeat(301)), "1e301");
    }

    #[test]
    fn truths_are_json_truths_and_strings_are_escaped() {
        assert_eq!(of(FeatureType::Bool, "true"), "true");
        assert_eq!(of(FeatureType::Bool, "false"), "false");
        assert_eq!(of(FeatureType::String, "a \"b\"\n🦀"), r#""a \"b\"\n🦀""#);
        assert_eq!(of(FeatureType::String, ""), "\"\"");
        assert_eq!(written(None, Some(b"12")), ("\"12\"".to_owned(), true));
        assert_eq!(written(Some(FeatureType::Bool), None), ("null".to_owned(), true));
    }

    #[test]
    fn a_value_that_is_not_of_its_type_is_said_to_be_so_and_is_never_null() {
        for (feature_type, kept) in [
            (FeatureType::Int64, ""),
            (FeatureType::Int64, "-"),
            (FeatureType::Int64, "1.0"),
            (FeatureType::Int64, "9223372036854775808"),
            (FeatureType::TimestampMs, "2026-01-01"),
            (FeatureType::Float64, "1,5"),
            (FeatureType::Float64, "."),
            (FeatureType::Float64, "--1"),
            (FeatureType::Bool, "True"),
            (FeatureType::Bool, "1"),
            (FeatureType::Bool, "null"),
        ] {
            assert_eq!(of(feature_type, kept), format!("{{\"unparsable\":\"{kept}\"}}"));
        }
        let bytes = written(Some(FeatureType::String), Some(b"\xff\xfe"));
        assert_eq!(bytes, (r#"{"unparsable":{"base64":"//4="}}"#.to_owned(), false));
    }

    proptest! {
        #[test]
        fn any_integer_reads_back_as_itself(number: i64, plus: bool, zeros in 0..3usize) {
            let sign = if number < 0 { "-" } else if plus { "+" } else { "" };
            let kept = format!("{sign}{}{}", "0".repeat(zeros), number.unsigned_abs());
            let json: Value = serde_json::from_str(&of(FeatureType::Int64, &kept)).unwrap();
            prop_assert_eq!(json.as_i64(), Some(number));
        }

        #[test]
        fn any_float_reads_back_as_itself(bits: u64) {
            let number = f64::from_bits(bits);
            for kept in [format!("{number}"), format!("{number:e}"), format!("{number:+E}"), Shortest(number).to_string()] {
                let text = of(FeatureType::Float64, &kept);
                // The number that JSON holds, by the standard library: the reader's own is not exact to the last bit.
                match serde_json::from_str::<Value>(&text).unwrap() {
                    Value::Number(_) => prop_assert_eq!(text.parse::<f64>().unwrap(), number),
                    other => prop_assert!(other.is_string() && !number.is_finite(), "{}", text),
                }
            }
        }

        #[test]
        fn any_bytes_are_json_and_unparsable_exactly_where_they_are_not_of_the_type(
            bytes in prop_oneof![
                "[-+]?[0-9]{0,20}[.]?[0-9]{0,3}([eE][-+]?[0-9]{0,4})?".prop_map(String::into_bytes),
                proptest::collection::vec(any::<u8>(), 0..12),
            ],
        ) {
            for feature_type in FeatureType::ALL {
                let (text, parsed) = written(Some(feature_type), Some(&bytes));
                let json: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(parsed, feature_type.parse(&bytes).is_some(), "{} {}", feature_type, text);
                prop_assert_eq!(json.get("unparsable").is_some(), !parsed);
                prop_assert!(!json.is_null());
            }
        }
    }
}

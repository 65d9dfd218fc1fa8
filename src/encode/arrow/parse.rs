//! Numbers and booleans from text, as [`FeatureType::parse`] reads them, with a short way for the usual ones.

use crate::model::{FeatureType, TypedValue};

/// Digits that fit 64 bits whatever they are.
const DIGITS_MAX: usize = 18;
/// Whole numbers up to here are exact as floats.
const EXACT_FLOAT_MAX: i64 = 1 << f64::MANTISSA_DIGITS;
/// Exact as floats too, so that a quotient of both is rounded once, as it should be.
const POWERS_OF_TEN: [f64; DIGITS_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// The whole number that the text says.
pub(super) fn int64(text: &[u8]) -> Option<i64> {
    usual_int(text).or_else(|| match FeatureType::Int64.parse(text) {
        Some(TypedValue::Int64(value)) => Some(value),
        _ => None,
    })
}

/// The floating-point number that the text says.
pub(super) fn float64(text: &[u8]) -> Option<f64> {
    usual_float(text).or_else(|| match FeatureType::Float64.parse(text) {
        Some(TypedValue::Float64(value)) => Some(value),
        _ => None,
    })
}

/// The truth that the text says.
pub(super) fn boolean(text: &[u8]) -> Option<bool> {
    match FeatureType::Bool.parse(text) {
        Some(TypedValue::Bool(value)) => Some(value),
        _ => None,
    }
}

fn usual_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let mut value = 0;
    for byte in digits {
        value = value * 10 + i64::from(digit(*byte)?);
    }
    Some(if negative { -value } else { value })
}

/// Digits with at most one dot among them, and no more of them than a float holds.
fn usual_float(text: &[u8]) -> Option<f64> {
    let (negative, text) = sign(text);
    if text.len() > DIGITS_MAX {
        return None;
    }
    let mut digits: i64 = 0;
    let mut dot = None;
    for (place, byte) in text.iter().enumerate() {
        if *byte == b'.' && dot.is_none() {
            dot = Some(place);
        } else {
            digits = digits * 10 + i64::from(digit(*byte)?);
        }
    }
    let decimals = dot.map_or(0, |dot| text.len() - dot - 1);
    if text.len() == usize::from(dot.is_some()) || digits > EXACT_FLOAT_MAX {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "exact up to that bound")]
    let value = digits as f64 / POWERS_OF_TEN[decimals];
    Some(if negative { -value } else { value })
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    }
}

fn digit(byte: u8) -> Option<u8> {
    let digit = byte.wrapping_sub(b'0');
    (digit < 10).then_some(digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Both ways of reading give the same, bit by bit.
    fn agree(text: &str) {
        let reference = FeatureType::Bool.parse(text.as_bytes());
        assert_eq!(boolean(text.as_bytes()).map(TypedValue::Bool), reference, "{text:?}");
        let reference = FeatureType::Int64.parse(text.as_bytes());
        assert_eq!(int64(text.as_bytes()).map(TypedValue::Int64), reference, "{text:?}");
        let bits = |value: Option<TypedValue<'_>>| match value {
            Some(TypedValue::Float64(value)) => Some(value.to_bits()),
            _ => None,
        };
        let reference = bits(FeatureType::Float64.parse(text.as_bytes()));
        assert_eq!(float64(text.as_bytes()).map(f64::to_bits), reference, "{text:?}");
    }

    #[test]
    fn odd_numbers_are_read_as_by_the_standard_library() {
        for text in [
            "",
            "-",
            ".",
            "-.",
            "+",
            "+1",
            "--1",
            "0",
            "-0",
            "-0.0",
            "00.10",
            "1.",
            ".5",
            "-.5",
            "1..2",
            "1.2.3",
            "1e5",
            "1e300",
            "-1e-300",
            "inf",
            "-inf",
            "nan",
            " 1",
            "1 ",
            "1_0",
            "0x1",
            "999999999999999",
            "9999999999999999",
            "0.3",
            "0.1",
            "123456.789012345",
            "9007199254740993",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "999999999999999999",
            "9999999999999999999",
            "true",
            "false",
            "True",
            "4.9e-324",
            "1.7976931348623157e308",
        ] {
            agree(text);
        }
    }

    proptest! {
        #[test]
        fn any_number_is_read_as_by_the_standard_library(
            int: i64, float: f64, plain in "-?[0-9]{0,19}(\\.[0-9]{0,19})?", other in "[-+.0-9eE]{0,8}"
        ) {
            for text in [int.to_string(), float.to_string(), format!("{float:e}"), plain, other] {
                agree(&text);
            }
        }
    }
}

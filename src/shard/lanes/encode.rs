//! A pipeline of `HMGET`s as bytes.

use crate::model::FeatureName;

const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";
const HMGET: &[u8] = b"$5\r\nHMGET\r\n";
/// Digits of a 64-bit number.
const DIGITS_MAX: usize = 20;
/// What a text has around it: its kind, its length of mostly three digits at most, and two line ends.
const TEXT_EXTRA_BYTES_MAX: usize = 8;

/// How long [`hmgets`] is at most, but for names and keys of over 999 bytes.
pub(super) fn hmgets_bytes_max(keys: &[&[u8]], features: &[FeatureName], asking: bool) -> usize {
    let names: usize = features.iter().map(|feature| feature.len() + TEXT_EXTRA_BYTES_MAX).sum();
    let around = if asking { ASKING.len() } else { 0 } + HMGET.len() + 2 * TEXT_EXTRA_BYTES_MAX + names;
    keys.iter().map(|key| around + key.len()).sum()
}

/// One `HMGET` of all `features` per key, each after an `ASKING` where `asking`.
pub(super) fn hmgets(keys: &[&[u8]], features: &[FeatureName], asking: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(hmgets_bytes_max(keys, features, asking));
    let Some((first, others)) = keys.split_first() else { return bytes };
    if asking {
        bytes.extend_from_slice(ASKING);
    }
    push_length(&mut bytes, b'*', features.len() + 2);
    bytes.extend_from_slice(HMGET);
    let head = 0..bytes.len();
    push_text(&mut bytes, first);
    let tail_start = bytes.len();
    for feature in features {
        push_text(&mut bytes, feature.as_bytes());
    }
    let tail = tail_start..bytes.len();
    // All commands are alike but for the key.
    for key in others {
        bytes.extend_from_within(head.clone());
        push_text(&mut bytes, key);
        bytes.extend_from_within(tail.clone());
    }
    bytes
}

/// Any one command.
pub(super) fn command(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_length(&mut bytes, b'*', arguments.len());
    arguments.iter().for_each(|argument| push_text(&mut bytes, argument));
    bytes
}

fn push_text(bytes: &mut Vec<u8>, text: &[u8]) {
    push_length(bytes, b'$', text.len());
    bytes.extend_from_slice(text);
    bytes.extend_from_slice(b"\r\n");
}

fn push_length(bytes: &mut Vec<u8>, kind: u8, mut length: usize) {
    let mut digits = [0; DIGITS_MAX];
    let mut first = DIGITS_MAX;
    loop {
        first -= 1;
        // A digit fits into a byte.
        digits[first] = b'0' + u8::try_from(length % 10).unwrap_or_default();
        length /= 10;
        if length == 0 {
            break;
        }
    }
    bytes.push(kind);
    bytes.extend_from_slice(&digits[first..]);
    bytes.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_what_the_client_crate_would_send() {
        let features: Vec<FeatureName> =
            ["a", "a longer name"].map(|name| FeatureName::new(name).unwrap()).into();
        let keys: [&[u8]; 3] = [b"k", b"", &[b'x'; 1_234]];
        for asking in [false, true] {
            let mut expected = Vec::new();
            for key in keys {
                if asking {
                    expected.extend(redis::cmd("ASKING").get_packed_command());
                }
                let mut hmget = redis::cmd("HMGET");
                hmget.arg(key).arg("a").arg("a longer name");
                expected.extend(hmget.get_packed_command());
            }
            let bytes = hmgets(&keys, &features, asking);
            assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&expected));
        }
        assert_eq!(command(&[b"READONLY"]), redis::cmd("READONLY").get_packed_command());
    }
}

//! JSON strings from bytes: runs that need no escape are copied whole.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// For each byte: 0 where it stands for itself, `u` where it takes `\u00XX`, else the letter after the backslash.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escapes[byte] = b'u';
        byte += 1;
    }
    escapes[0x08] = b'b';
    escapes[0x09] = b't';
    escapes[0x0A] = b'n';
    escapes[0x0C] = b'f';
    escapes[0x0D] = b'r';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

/// Appends `text` as a JSON string.
pub(super) fn push_str(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if is_plain(bytes) {
        return push_plain(out, bytes);
    }
    out.push(b'"');
    let mut run_start = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[usize::from(*byte)];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[run_start..index]);
        run_start = index + 1;
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(&[b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    out.extend_from_slice(&bytes[run_start..]);
    out.push(b'"');
}

/// Appends bytes as a JSON string, or as `{"base64":"…"}` where they are not UTF-8.
pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        return push_plain(out, bytes);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => push_str(out, text),
        Err(_) => {
            out.extend_from_slice(b"{\"base64\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
}

/// Appends bytes that are plain in quotes.
#[inline]
pub(super) fn push_plain(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
}

/// True for ASCII that stands for itself in a JSON string: most values, told eight bytes at a time.
#[inline]
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk() {
        // The last eight bytes overlap those before them where the length is no multiple of eight.
        let (chunks, _) = bytes.as_chunks();
        let before = chunks.iter().fold(0, |found, chunk| found | not_plain(u64::from_le_bytes(*chunk)));
        return before | not_plain(u64::from_le_bytes(*last)) == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let halves = u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
        return not_plain(halves) == 0;
    }
    bytes.iter().all(|byte| byte.is_ascii() && ESCAPES[usize::from(*byte)] == 0)
}

/// Not zero where one of eight bytes is a control character, a quote, a backslash or not ASCII. Source: "Determine if
/// a word has a byte less than n", Bit Twiddling Hacks; whether there is such a byte is exact, where it is not.
#[inline]
fn not_plain(word: u64) -> u64 {
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let has_zero = |word: u64| word.wrapping_sub(all(1)) & !word;
    let control = word.wrapping_sub(all(0x20)) & !word;
    (control | has_zero(word ^ all(b'"')) | has_zero(word ^ all(b'\\')) | word) & all(0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_that_needs_it_is_escaped() {
        let text: String = (0..0x20).map(char::from).chain("\"\\/\u{7f}é🦀".chars()).collect();
        let mut out = Vec::new();
        push_str(&mut out, &text);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#""\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f\"\\/é🦀""#);
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_whole() {
        let mut out = Vec::new();
        push_bytes(&mut out, b"\xff\x00\xfe");
        push_bytes(&mut out, b"");
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"{"base64":"/wD+"}"""#);
    }

    #[test]
    fn a_byte_that_is_not_plain_is_seen_wherever_it_stands() {
        for length in 0..40 {
            let mut bytes = vec![b'~'; length];
            assert!(is_plain(&bytes), "{length}");
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    bytes[place] = byte;
                    let plain = (0x20..0x80).contains(&byte) && byte != b'"' && byte != b'\\';
                    assert_eq!(is_plain(&bytes), plain, "{byte} at {place} of {length}");
                }
                bytes[place] = b' ';
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_reads_back(text: String) {
            let mut out = Vec::new();
            push_str(&mut out, &text);
            proptest::prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}

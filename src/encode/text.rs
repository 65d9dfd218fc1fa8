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

/// Appends a cell: a string, `{"base64":"…"}` where the bytes are not UTF-8, `null` where absent.
pub(super) fn push_cell(out: &mut Vec<u8>, cell: Option<&[u8]>) {
    match cell.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => out.extend_from_slice(b"null"),
        Some((_, Ok(text))) => push_str(out, text),
        Some((bytes, Err(_))) => {
            out.extend_from_slice(b"{\"base64\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
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
        push_cell(&mut out, Some(b"\xff\x00\xfe"));
        push_cell(&mut out, Some(b""));
        push_cell(&mut out, None);
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"{"base64":"/wD+"}""null"#);
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

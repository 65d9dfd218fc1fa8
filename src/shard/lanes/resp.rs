//! The heads of RESP replies: what kind a value is, and how much follows. Nothing is allocated.
//!
//! Source: the RESP specification, versions 2 and 3. Streamed strings and aggregates (`$?`, `*?`) are in the
//! specification, but no server sends them; they are refused.

use crate::model::limits::{REPLY_ITEMS_MAX, REPLY_LINE_BYTES_MAX, REPLY_STRING_BYTES_MAX};

/// A reply that is not RESP, or is beyond a limit. What follows it can't be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a malformed reply: {0}")]
pub struct Malformed(pub(super) &'static str);

/// The first line of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// An absent value of any kind.
    Nil,
    /// A string of so many bytes follows, and a line end.
    Text(usize),
    /// An error text of so many bytes follows, and a line end.
    ErrorText(usize),
    /// An error; its text is the line.
    ErrorLine,
    /// Any other value that is its line: a status, a number, a truth value.
    Line,
    /// A list of so many values.
    List(usize),
    /// A map or set of so many values, keys and values counted apart.
    Other(usize),
    /// Something unasked of so many values, beside the replies.
    Push(usize),
    /// So many values that describe the next one.
    Attribute(usize),
}

/// Reads the head that starts at `at`; `None` until its line is whole. Brings the line's end, without the line end,
/// and where the next byte is.
pub(super) fn head(bytes: &[u8], at: usize) -> Result<Option<(Head, usize, usize)>, Malformed> {
    let Some(end) = line_end(bytes, at)? else { return Ok(None) };
    let next = end + 2;
    let [kind, rest @ ..] = &bytes[at..end] else { return Err(Malformed("an empty line")) };
    let head = match kind {
        b'$' => length(rest, REPLY_STRING_BYTES_MAX)?.map_or(Head::Nil, Head::Text),
        b'=' => Head::Text(count(rest, REPLY_STRING_BYTES_MAX)?),
        b'!' => Head::ErrorText(count(rest, REPLY_STRING_BYTES_MAX)?),
        b'-' => Head::ErrorLine,
        b'+' | b':' | b'#' | b',' | b'(' => Head::Line,
        b'_' if rest.is_empty() => Head::Nil,
        b'*' => length(rest, REPLY_ITEMS_MAX)?.map_or(Head::Nil, Head::List),
        b'~' => Head::Other(count(rest, REPLY_ITEMS_MAX)?),
        b'%' => Head::Other(count(rest, REPLY_ITEMS_MAX / 2)? * 2),
        b'>' => Head::Push(count(rest, REPLY_ITEMS_MAX)?),
        b'|' => Head::Attribute(count(rest, REPLY_ITEMS_MAX / 2)? * 2),
        _ => return Err(Malformed("an unknown kind of value")),
    };
    Ok(Some((head, end, next)))
}

/// Where the line that starts at `at` ends, without its line end; `None` until it is whole.
fn line_end(bytes: &[u8], at: usize) -> Result<Option<usize>, Malformed> {
    let rest = bytes.get(at..).unwrap_or_default();
    let window = &rest[..rest.len().min(REPLY_LINE_BYTES_MAX)];
    match window.iter().position(|byte| *byte == b'\r') {
        Some(end) => match rest.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some(at + end)),
            Some(_) => Err(Malformed("a line end without its second half")),
        },
        None if rest.len() >= REPLY_LINE_BYTES_MAX => Err(Malformed("a line that does not end")),
        None => Ok(None),
    }
}

/// A length; `-1` is an absent value (RESP2).
fn length(digits: &[u8], max: usize) -> Result<Option<usize>, Malformed> {
    if digits == b"-1" { Ok(None) } else { count(digits, max).map(Some) }
}

fn count(digits: &[u8], max: usize) -> Result<usize, Malformed> {
    // Nineteen digits fit into 64 bits.
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed("a length that is no number"));
    }
    let count = digits.iter().fold(0u64, |count, digit| count * 10 + u64::from(digit - b'0'));
    usize::try_from(count).ok().filter(|count| *count <= max).ok_or(Malformed("a length beyond the limit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
        head(bytes, 0).map(|found| {
            found.map(|(head, _, next)| {
                assert_eq!(next, bytes.len());
                head
            })
        })
    }

    #[test]
    fn every_kind_of_value_has_its_head() {
        for (bytes, head) in [
            (&b"$0\r\n"[..], Head::Text(0)),
            (b"$-1\r\n", Head::Nil),
            (b"_\r\n", Head::Nil),
            (b"*-1\r\n", Head::Nil),
            (b"=7\r\n", Head::Text(7)),
            (b"!5\r\n", Head::ErrorText(5)),
            (b"-ERR x\r\n", Head::ErrorLine),
            (b"+OK\r\n", Head::Line),
            (b":-1\r\n", Head::Line),
            (b"#t\r\n", Head::Line),
            (b"*2\r\n", Head::List(2)),
            (b"%2\r\n", Head::Other(4)),
            (b"~2\r\n", Head::Other(2)),
            (b">2\r\n", Head::Push(2)),
            (b"|1\r\n", Head::Attribute(2)),
        ] {
            assert_eq!(only(bytes), Ok(Some(head)), "{bytes:?}");
            for cut in 0..bytes.len() {
                assert_eq!(only(&bytes[..cut]), Ok(None), "{bytes:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_resp_is_malformed() {
        for bytes in [
            &b"\r\n"[..],
            b"HTTP/1.1 400\r\n",
            b"$\r\n",
            b"$-2\r\n",
            b"$ 1\r\n",
            b"$+1\r\n",
            b"$?\r\n",
            b"*?\r\n",
            b"_1\r\n",
            b">-1\r\n",
            b"!-1\r\n",
            b"=-1\r\n",
            b"$99999999999999999999\r\n",
            b"$1\rx",
        ] {
            assert!(only(bytes).is_err(), "{bytes:?}");
        }
        assert!(only(format!("${}\r\n", REPLY_STRING_BYTES_MAX + 1).as_bytes()).is_err());
        assert!(only(&[b'+'; REPLY_LINE_BYTES_MAX]).is_err());
    }
}

//! The id that ties an answer, a log line and a client's own records together.

use axum::http::{HeaderMap, HeaderValue};

/// The header that carries the id, both ways.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// Longest id that is taken from a client.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// A request's id. Invariant: 1 to [`REQUEST_ID_BYTES_MAX`] visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestId(String);

impl RequestId {
    /// The client's id where it is sane, otherwise a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let sane = |id: &&str| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let given = headers.get(REQUEST_ID_HEADER).and_then(|id| id.to_str().ok()).filter(sane);
        Self(given.map_or_else(|| format!("{:032x}", rand::random::<u128>()), str::to_owned))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn header(&self) -> HeaderValue {
        // Visible ASCII is always a header value.
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID_HEADER, HeaderValue::from_bytes(given).unwrap());
        RequestId::of(&headers).0
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_is_replaced() {
        assert_eq!(of(b"abc-1/\"x\""), "abc-1/\"x\"");
        assert_eq!(of(&[b'x'; REQUEST_ID_BYTES_MAX]).len(), REQUEST_ID_BYTES_MAX);
        for odd in [&b""[..], b"a b", b"\xc3\xa9", b"a\tb", &[b'x'; REQUEST_ID_BYTES_MAX + 1]] {
            let id = of(odd);
            assert_eq!(id.len(), 32, "{odd:?}");
            assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}

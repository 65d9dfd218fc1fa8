//! W3C trace context: the headers `traceparent` and `tracestate`.

/// Longest `tracestate` that is passed on, and most members of it. Source: W3C Trace Context, 3.3.1.
const STATE_BYTES_MAX: usize = 512;
const STATE_MEMBERS_MAX: usize = 32;
/// `00-` trace id `-` span id `-` flags.
const TEXT_BYTES: usize = 55;

/// The span of a caller that a request belongs to. Invariant: a valid `traceparent` of version 00.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    text: Box<str>,
    sampled: bool,
    state: Option<Box<str>>,
}

impl TraceContext {
    /// Reads a `traceparent` of version 00; anything else is as good as none. A `tracestate` beyond the limits is left
    /// out.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        if bytes.len() != TEXT_BYTES || !traceparent.starts_with("00-") {
            return None;
        }
        let flags = match (bytes[35], bytes[52], &bytes[3..35], &bytes[36..52], &bytes[53..]) {
            (b'-', b'-', trace, span, flags) if is_id(trace) && is_id(span) && flags.iter().all(is_hex) => {
                flags
            }
            _ => return None,
        };
        let sampled = char::from(flags[1]).to_digit(16)? & 1 == 1;
        let fits =
            |state: &&str| state.len() <= STATE_BYTES_MAX && state.split(',').count() <= STATE_MEMBERS_MAX;
        let state = tracestate.filter(fits).map(Box::from);
        Some(Self { text: traceparent.into(), sampled, state })
    }

    /// 32 hexadecimal digits, in lower case.
    pub fn trace_id(&self) -> &str {
        &self.text[3..35]
    }

    /// The caller's span: 16 hexadecimal digits, in lower case.
    pub fn span_id(&self) -> &str {
        &self.text[36..52]
    }

    /// Does the caller export its spans?
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// What tracing systems on the way have added.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

fn is_hex(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_id(digits: &[u8]) -> bool {
    digits.iter().all(is_hex) && digits.iter().any(|digit| *digit != b'0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn the_parts_of_a_good_header_are_read() {
        for (flags, sampled) in [("01", true), ("00", false), ("03", true), ("fe", false), ("ff", true)] {
            let text = format!("00-{TRACE}-{SPAN}-{flags}");
            let context = TraceContext::parse(&text, Some("a=1,b=2")).unwrap();
            assert_eq!((context.trace_id(), context.span_id()), (TRACE, SPAN));
            assert_eq!((context.is_sampled(), context.state()), (sampled, Some("a=1,b=2")), "{text}");
        }
    }

    #[test]
    fn whatever_is_not_version_00_to_the_letter_is_ignored() {
        let zeros = ["0".repeat(32), "0".repeat(16)];
        for odd in [
            String::new(),
            format!("01-{TRACE}-{SPAN}-01"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("00-{TRACE}-{SPAN}-0A"),
            format!("00-{}-{SPAN}-01", zeros[0]),
            format!("00-{TRACE}-{}-01", zeros[1]),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}_{SPAN}-01"),
            format!(" 00-{TRACE}-{SPAN}-0"),
            format!("00-{}é-{SPAN}-01", &TRACE[..30]),
        ] {
            assert_eq!(TraceContext::parse(&odd, None), None, "{odd:?}");
        }
    }

    #[test]
    fn a_state_beyond_the_limits_is_left_out_and_the_parent_kept() {
        let text = format!("00-{TRACE}-{SPAN}-01");
        for state in ["a=1,".repeat(STATE_MEMBERS_MAX), format!("a={}", "x".repeat(STATE_BYTES_MAX))] {
            assert_eq!(TraceContext::parse(&text, Some(&state)).unwrap().state(), None);
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(text in "\\PC{0,60}", digits in "00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-fé]{2}") {
            let _ = TraceContext::parse(&text, None);
            let _ = TraceContext::parse(&digits, Some(&text));
        }
    }
}

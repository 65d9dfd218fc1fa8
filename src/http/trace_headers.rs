//! The headers of W3C trace context.

use axum::http::HeaderMap;

use crate::telemetry::TraceContext;

/// The caller's span. Of several parents none can be told to be the right one.
pub(super) fn context(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all("traceparent").iter();
    let (parent, None) = (parents.next()?.to_str().ok()?, parents.next()) else { return None };
    // Several lines are one list.
    let states: Vec<&str> =
        headers.get_all("tracestate").iter().filter_map(|state| state.to_str().ok()).collect();
    let state = (!states.is_empty()).then(|| states.join(","));
    TraceContext::parse(parent, state.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(given: &[(&'static str, &'static str)]) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        context(&headers)
    }

    #[test]
    fn one_parent_counts_and_two_do_not() {
        let found = of(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]).unwrap();
        assert_eq!((found.span_id(), found.state()), ("00f067aa0ba902b7", Some("a=1,b=2")));
        assert_eq!(of(&[("traceparent", PARENT)]).unwrap().state(), None);
        for none in [&[][..], &[("tracestate", "a=1")], &[("traceparent", PARENT), ("traceparent", PARENT)]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}

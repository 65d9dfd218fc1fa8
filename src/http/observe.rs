//! What is seen of every request: its id in the answer, one log line, and its metrics.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::http::header::HeaderName;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use crate::metrics::HttpRequests;
use crate::telemetry::{RequestSpans, TraceContext};

use super::deadline::Arrived;
use super::error::{self, OVERLOADED};
use super::request_id::{REQUEST_ID_HEADER, RequestId};
use super::tokens::Caller;
use super::trace_headers;

/// Status in logs and metrics of a request whose client hung up before the answer. Nobody receives it.
pub const CLIENT_GONE: u16 = 499;

pub(super) async fn observe(
    State(requests): State<Arc<HttpRequests>>,
    mut request: Request,
    next: Next,
) -> Response {
    let head = request.method() == Method::HEAD;
    let route = request.extensions().get::<MatchedPath>().cloned().map(Route::Matched);
    let mut seen = Seen::new(&request, route, requests);
    request.extensions_mut().insert(Arrived(seen.started));
    let around = seen.begin_spans().around(next.run(request));
    let mut response = around.await;
    seen.code = error::write_body(&mut response, &seen.id, head);
    seen.caller = response.extensions_mut().remove();
    seen.status = response.status().as_u16();
    response.headers_mut().insert(HeaderName::from_static(REQUEST_ID_HEADER), seen.id.header());
    response
}

/// The pattern that a path matched.
pub(super) enum Route {
    Matched(MatchedPath),
    Known(&'static str),
}

impl Route {
    fn as_str(&self) -> &str {
        match self {
            Self::Matched(path) => path.as_str(),
            Self::Known(path) => path,
        }
    }
}

/// A request under way. It is reported when dropped, so also where the client hung up.
pub(super) struct Seen {
    pub(super) id: RequestId,
    method: &'static str,
    route: Option<Route>,
    started: Instant,
    pub(super) status: u16,
    pub(super) code: &'static str,
    caller: Option<Caller>,
    requests: Arc<HttpRequests>,
    trace: Option<TraceContext>,
    spans: Option<RequestSpans>,
}

impl Seen {
    pub(super) fn new(request: &Request, route: Option<Route>, requests: Arc<HttpRequests>) -> Self {
        Self {
            id: RequestId::of(request.headers()),
            method: method_label(request.method()),
            route,
            started: Instant::now(),
            status: CLIENT_GONE,
            code: "",
            caller: None,
            requests,
            trace: trace_headers::context(request.headers()),
            spans: None,
        }
    }

    /// The spans for what is done for the request. What is turned away does without: it shall cost little.
    fn begin_spans(&mut self) -> &RequestSpans {
        let spans = RequestSpans::begin(self.id.as_str(), self.trace.as_ref(), self.method, self.route());
        self.spans.insert(spans)
    }

    fn trace_id(&self) -> Option<&str> {
        let own = || self.spans.as_ref().and_then(RequestSpans::own_trace_id);
        self.trace.as_ref().map(TraceContext::trace_id).or_else(own)
    }

    fn route(&self) -> &str {
        self.route.as_ref().map_or("unmatched", Route::as_str)
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        let route = self.route();
        let answered = self.status != CLIENT_GONE;
        self.requests.count(route, self.method, self.status, answered.then_some(elapsed.as_secs_f64()));
        // To the microsecond.
        let elapsed_ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3;
        macro_rules! line {
            ($level:ident) => {
                // It has the ids itself, at its top.
                tracing::$level!(
                    parent: None,
                    method = self.method,
                    route,
                    status = self.status,
                    code = (!self.code.is_empty()).then_some(self.code),
                    caller = self.caller.as_ref().map(|caller| &*caller.name),
                    elapsed_ms,
                    request_id = self.id.as_str(),
                    trace_id = self.trace_id(),
                    "http request"
                )
            };
        }
        // Writing a line costs as much as turning a request away; slotwise_http_shed_total counts those.
        if self.code == OVERLOADED {
            line!(debug);
        } else {
            line!(info);
        }
        if let Some(spans) = &self.spans {
            spans.ended(self.status);
        }
    }
}

/// A method from a closed set: clients may invent their own, and labels must not grow.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::HEAD,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    const NAMES: [&str; 9] = ["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.iter().position(|known| known == method).map_or("other", |place| NAMES[place])
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use futures::FutureExt;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use serde_json::Value;
    use tower::ServiceExt;
    use tracing_subscriber::fmt::format::{DefaultFields, Format, Full};
    use tracing_subscriber::layer::{Layer, SubscriberExt};
    use tracing_subscriber::{EnvFilter, Registry, fmt, registry};

    use crate::telemetry::LOG_FILTERS;

    use super::*;

    type LinesMaker = Box<dyn Fn() -> Lines + Send + Sync>;
    type Written = Box<dyn Layer<Registry> + Send + Sync>;

    const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    /// A handler that logs, and so does what it calls.
    async fn warns() -> &'static str {
        tracing::warn!(target: "slotwise::store", "deep down");
        tracing::debug_span!("read").in_scope(|| tracing::error!("deeper"));
        "done"
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn seen(requests: Vec<Request>) -> (String, String) {
        seen_as(requests, |lines| lines.with_ansi(false).boxed())
    }

    /// Sends the requests one after the other, giving up each that waits; what is logged and counted.
    fn seen_as(
        requests: Vec<Request>,
        format: impl Fn(fmt::Layer<Registry, DefaultFields, Format<Full, ()>, LinesMaker>) -> Written,
    ) -> (String, String) {
        let router: Router = Router::new()
            .route("/quick/{id}", get(async || "done"))
            .route("/slow/{id}", get(std::future::pending::<()>))
            .route("/warns", get(warns))
            .layer(from_fn_with_state(Arc::default(), observe));
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = format(fmt::layer().without_time().with_writer(Box::new(move || writer.clone())));
        let filter = EnvFilter::new(["warn,slotwise::http=info", LOG_FILTERS[0], LOG_FILTERS[1]].join(","));
        let subscriber = registry().with(layer.with_filter(filter));
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        tracing::subscriber::with_default(subscriber, || {
            ::metrics::with_local_recorder(&recorder, || {
                for request in requests {
                    let _ = router.clone().oneshot(request).now_or_never();
                }
            });
        });
        let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        (logged, handle.render())
    }

    fn get_request(path: &str) -> Request {
        Request::get(path).header(REQUEST_ID_HEADER, "r1").body(Body::empty()).unwrap()
    }

    #[test]
    fn a_request_is_one_log_line_and_one_count_under_its_pattern() {
        let requests = ["/quick/secret-id?q=secret", "/slow/secret-id", "/secret-path"].map(get_request);
        let (logged, counted) = seen(requests.into());
        let lines: Vec<&str> = logged.lines().collect();
        assert_eq!(lines.len(), 3, "{logged}");
        for (line, (route, status)) in
            lines.iter().zip([("/quick/{id}", 200), ("/slow/{id}", CLIENT_GONE), ("unmatched", 404)])
        {
            assert!(line.contains(&format!("route=\"{route}\" status={status}")), "{line}");
            assert!(line.contains("method=\"GET\"") && line.contains("request_id=\"r1\""), "{line}");
            let count = format!(
                "slotwise_http_requests_total{{route=\"{route}\",method=\"GET\",status=\"{status}\"}} 1"
            );
            assert!(counted.contains(&count), "{counted}");
        }
        assert!(!logged.contains("secret") && !counted.contains("secret"));
    }

    #[test]
    fn every_line_of_a_request_has_its_ids_once_in_text_and_in_json() {
        let request = || {
            let parent = format!("00-{TRACE_ID}-00f067aa0ba902b7-01");
            let request =
                Request::get("/warns").header(REQUEST_ID_HEADER, "r1").header("traceparent", parent);
            vec![request.body(Body::empty()).unwrap()]
        };
        let (text, _) = seen(request());
        assert_eq!(text.lines().count(), 3, "{text}");
        for line in text.lines() {
            assert_eq!(line.matches("request_id=\"r1\"").count(), 1, "{line}");
            assert_eq!(line.matches(&format!("trace_id=\"{TRACE_ID}\"")).count(), 1, "{line}");
        }
        let json = |lines: fmt::Layer<_, _, _, _>| lines.json().flatten_event(true).with_current_span(false);
        let (lines, _) = seen_as(request(), |lines| json(lines).boxed());
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in &lines[..2] {
            let span = &line["spans"][0];
            assert_eq!((&span["request_id"], &span["trace_id"]), (&"r1".into(), &TRACE_ID.into()), "{line}");
        }
        let last = &lines[2];
        assert_eq!((&last["request_id"], &last["trace_id"]), (&"r1".into(), &TRACE_ID.into()), "{last}");
    }

    #[test]
    fn an_invented_method_adds_no_label() {
        assert_eq!(method_label(&Method::PUT), "PUT");
        assert_eq!(method_label(&Method::from_bytes(b"BREW").unwrap()), "other");
    }
}

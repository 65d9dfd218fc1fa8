//! The spans around one request: one for its log lines, and one for its trace.

use tracing::field::Empty;
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span};

use super::TraceContext;
use super::otlp;

/// What a filter of log lines has to have beside what was asked for: the span of a request is in the lines of every level,
/// the span of its trace in none.
pub const LOG_FILTERS: [&str; 2] = ["slotwise::request=error", "slotwise::trace=off"];

/// The spans around one request.
#[derive(Debug)]
pub struct RequestSpans {
    /// In every log line: the ids.
    lines: Span,
    /// Exported, where traces are: what was asked for, and how it ended. Disabled otherwise.
    trace: Span,
    /// The trace that began here, where it is exported.
    own_trace_id: Option<String>,
}

impl RequestSpans {
    /// Begins a request. `route` is the pattern that matched, never the path.
    pub fn begin(request_id: &str, context: Option<&TraceContext>, method: &str, route: &str) -> Self {
        let trace_id = context.map(TraceContext::trace_id);
        let lines =
            tracing::error_span!(target: "slotwise::request", "request", request_id, trace_id = trace_id);
        let trace = tracing::debug_span!(
            target: "slotwise::trace",
            parent: &lines,
            "request",
            otel.name = format_args!("{method} {route}"),
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = method,
            http.route = route,
            http.response.status_code = Empty,
            request_id,
        );
        let mut own_trace_id = None;
        match context {
            Some(context) => otlp::set_parent(&trace, context),
            None => own_trace_id = otlp::trace_id(&trace),
        }
        if let Some(id) = &own_trace_id {
            lines.record("trace_id", id);
        }
        Self { lines, trace, own_trace_id }
    }

    /// Runs the request in its spans.
    pub fn around<F: Future>(&self, request: F) -> Instrumented<Instrumented<F>> {
        request.instrument(self.trace.clone()).instrument(self.lines.clone())
    }

    /// The id of the trace that began with this request, where one did and is exported.
    pub fn own_trace_id(&self) -> Option<&str> {
        self.own_trace_id.as_deref()
    }

    /// Notes how the request ended.
    pub fn ended(&self, status: u16) {
        self.trace.record("http.response.status_code", status);
        if status >= 500 {
            self.trace.record("otel.status_code", "ERROR");
        }
    }
}

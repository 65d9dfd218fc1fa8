//! Traces: who asked, as W3C trace context says it; the span around a request; and, with the feature `otlp`, where spans
//! are sent.
//!
//! Invariant: no span has a feature value, an entity's id, a credential or a token in it.

mod context;
mod options;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
#[path = "without.rs"]
mod otlp;
mod request;

pub use context::TraceContext;
pub use options::{EXPORTED, EndpointError, SAMPLE_RATIO_DEFAULT, TraceOptions, endpoint};
pub use otlp::{Export, export};
pub use request::{LOG_FILTERS, RequestSpans};

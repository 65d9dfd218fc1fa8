//! Logs: to standard error, as text or JSON, filtered; and traces, where they are exported.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, registry};

use crate::telemetry::{self, Export, LOG_FILTERS, TraceOptions};

use super::common::{Common, LogFormat, UsageError};

/// What is logged where nothing is asked for. The client crate repeats what slotwise says in its own words.
const DEFAULT_FILTER: &str = "info,redis=off";

/// Starts logging; a filter that can't be read is said and replaced by the default one. Errors where traces can't be
/// exported.
pub(super) fn start(common: &Common, traces: Option<&TraceOptions>) -> Result<Option<Export>, UsageError> {
    let asked = common.log.as_deref().map(EnvFilter::try_new);
    let (filter, wrong) = match asked {
        None => (EnvFilter::new(DEFAULT_FILTER), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(DEFAULT_FILTER), Some(error)),
    };
    let exported = traces.map(telemetry::export::<Registry>).transpose();
    let (layer, export) =
        exported.map_err(|why| UsageError(format!("traces can't be exported: {why}")))?.unzip();
    // A process has one subscriber; a second start, in a test, keeps the first.
    let _ = registry().with(layer).with(lines(common.log_format).with_filter(of_requests(filter))).try_init();
    if let Some(error) = wrong {
        tracing::warn!(%error, "log filter not understood, using the default");
    }
    Ok(export)
}

/// The layer that writes log lines.
fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => layer.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed(),
        // All spans, since the innermost one does not have the request's id.
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    }
}

/// The filter, with the span of a request in every line.
fn of_requests(filter: EnvFilter) -> EnvFilter {
    let ours = LOG_FILTERS.iter().filter_map(|directive| directive.parse().ok());
    ours.fold(filter, EnvFilter::add_directive)
}

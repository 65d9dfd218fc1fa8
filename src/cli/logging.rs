//! Logs: to standard error, as text or JSON, filtered.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::common::{Common, LogFormat};

/// What is logged where nothing is asked for. The client crate repeats what slotwise says in its own words.
const DEFAULT_FILTER: &str = "info,redis=off";

/// Starts logging; a filter that can't be read is said and replaced by the default one.
pub(super) fn start(common: &Common) {
    let asked = common.log.as_deref().map(EnvFilter::try_new);
    let (filter, wrong) = match asked {
        None => (EnvFilter::new(DEFAULT_FILTER), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(DEFAULT_FILTER), Some(error)),
    };
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    // A process has one subscriber; a second start, in a test, keeps the first.
    let _ = match common.log_format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Some(error) = wrong {
        tracing::warn!(%error, "log filter not understood, using the default");
    }
}

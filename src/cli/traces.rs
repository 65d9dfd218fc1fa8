//! What `serve` and `demo` are told about the export of traces.

use clap::Args;
use url::Url;

use crate::telemetry::{EXPORTED, EndpointError, TraceOptions, endpoint};

use super::common::{Common, UsageError};

/// The standard variable for the address of a collector.
const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Arguments for traces.
#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    /// Send traces to the OpenTelemetry collector at this address, such as http://127.0.0.1:4318; needs a program that was
    /// built with the feature otlp [default: OTEL_EXPORTER_OTLP_ENDPOINT, or the config's]
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
}

/// The collector of the variable, where it is set and this program can export.
fn from_env() -> Option<Result<Url, EndpointError>> {
    variable().filter(|_| EXPORTED).map(|given| endpoint(given.trim()))
}

fn variable() -> Option<String> {
    std::env::var(ENDPOINT_VARIABLE).ok().filter(|given| !given.trim().is_empty())
}

/// Says so where the variable can't be used. Whoever sets it for every program of a machine does not ask of each that it
/// can export there, so it is no error.
pub(super) fn warn_of_variable() {
    if let Some(Err(error)) = from_env() {
        tracing::warn!(%error, variable = ENDPOINT_VARIABLE, "traces are not exported");
    } else if !EXPORTED && variable().is_some() {
        tracing::info!(
            variable = ENDPOINT_VARIABLE,
            "traces are not exported: built without the feature otlp"
        );
    }
}

impl TraceArgs {
    /// How traces are exported, if they are.
    pub(super) fn options(&self, common: &Common) -> anyhow::Result<Option<TraceOptions>> {
        let config = common.settings()?.tracing;
        let endpoint = match &self.otlp_endpoint {
            Some(given) => {
                let usage = |error| UsageError(format!("--otlp-endpoint: {error}"));
                Some(endpoint(given.trim()).map_err(usage)?)
            }
            None => from_env().and_then(Result::ok).or(config.otlp_endpoint),
        };
        Ok(endpoint.map(|endpoint| TraceOptions { endpoint, sample_ratio: config.sample_ratio }))
    }
}

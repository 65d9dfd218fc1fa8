//! What `serve` and `demo` are told about the export of traces.

use clap::Args;

use crate::telemetry::{EXPORTED, TraceOptions, endpoint};

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

impl TraceArgs {
    /// How traces are exported, if they are.
    pub(super) fn options(&self, common: &Common) -> anyhow::Result<Option<TraceOptions>> {
        let config = common.settings()?.tracing;
        // Whoever sets the variable for every program of a machine does not ask of each that it can export.
        let from_env =
            || std::env::var(ENDPOINT_VARIABLE).ok().filter(|value| EXPORTED && !value.trim().is_empty());
        let given = match &self.otlp_endpoint {
            Some(given) => Some(("--otlp-endpoint", given.clone())),
            None => from_env().map(|given| (ENDPOINT_VARIABLE, given)),
        };
        let endpoint = match given {
            Some((source, given)) => {
                let usage = |error| UsageError(format!("{source}: {error}"));
                Some(endpoint(given.trim()).map_err(usage)?)
            }
            None => config.otlp_endpoint,
        };
        Ok(endpoint.map(|endpoint| TraceOptions { endpoint, sample_ratio: config.sample_ratio }))
    }
}

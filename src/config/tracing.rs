//! `[tracing]`: whether traces are exported, and how many.

use serde::Deserialize;
use url::Url;

use crate::telemetry::{SAMPLE_RATIO_DEFAULT, endpoint};

use super::ConfigError;

/// Traces.
#[derive(Debug, Clone, PartialEq)]
pub struct TracingConfig {
    /// Where traces are taken; `None` where the file does not say it.
    pub otlp_endpoint: Option<Url>,
    /// Part of the traces begun here that is exported, 0 to 1.
    pub sample_ratio: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTracing {
    otlp_endpoint: Option<String>,
    sample_ratio: Option<f64>,
}

impl RawTracing {
    pub(super) fn validate(&self) -> Result<TracingConfig, ConfigError> {
        let invalid = |error| ConfigError::invalid("tracing.otlp_endpoint", error);
        let otlp_endpoint = self.otlp_endpoint.as_deref().map(endpoint).transpose().map_err(invalid)?;
        let sample_ratio = self.sample_ratio.unwrap_or(SAMPLE_RATIO_DEFAULT);
        if !(0.0..=1.0).contains(&sample_ratio) {
            return Err(ConfigError::invalid("tracing.sample_ratio", "it has to be between 0 and 1"));
        }
        Ok(TracingConfig { otlp_endpoint, sample_ratio })
    }
}

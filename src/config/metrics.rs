//! `[metrics]`: what the server does for its metrics alone.

use std::time::Duration;

use serde::Deserialize;

use crate::model::limits::{TTL_SAMPLE_INTERVAL, TTL_SAMPLE_INTERVAL_MIN};

use super::ConfigError;

/// What the server does for its metrics alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Time between two samples of TTLs; `None`: there are none.
    pub ttl_sample_interval: Option<Duration>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { ttl_sample_interval: Some(TTL_SAMPLE_INTERVAL) }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetrics {
    ttl_sample_interval_ms: Option<u64>,
}

impl RawMetrics {
    pub(super) fn validate(&self) -> Result<MetricsConfig, ConfigError> {
        let ttl_sample_interval = match self.ttl_sample_interval_ms.map(Duration::from_millis) {
            None => return Ok(MetricsConfig::default()),
            Some(Duration::ZERO) => None,
            Some(given) if given >= TTL_SAMPLE_INTERVAL_MIN => Some(given),
            Some(given) => {
                let problem = format!(
                    "{} is neither 0, for no samples, nor {} or more",
                    given.as_millis(),
                    TTL_SAMPLE_INTERVAL_MIN.as_millis()
                );
                return Err(ConfigError::invalid("metrics.ttl_sample_interval_ms", problem));
            }
        };
        Ok(MetricsConfig { ttl_sample_interval })
    }
}

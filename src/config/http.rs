//! `[http]`: where the server listens, and its limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

use crate::http::HttpOptions;

use super::ConfigError;

/// Where the server listens, where nothing is said.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The HTTP server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpConfig {
    /// Address and port to listen on; `None` where the file does not say it.
    pub listen: Option<SocketAddr>,
    /// Its limits.
    pub options: HttpOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    listen: Option<SocketAddr>,
    body_bytes_max: Option<u64>,
    load_body_bytes_max: Option<u64>,
    body_idle_timeout_ms: Option<u64>,
    header_read_timeout_ms: Option<u64>,
    requests_in_flight_max: Option<u64>,
    loads_in_flight_max: Option<u64>,
    connections_max: Option<u64>,
    load_rejections_max: Option<u64>,
    readiness_timeout_ms: Option<u64>,
    shutdown_grace_ms: Option<u64>,
}

impl RawHttp {
    pub(super) fn validate(self) -> Result<HttpConfig, ConfigError> {
        let default = HttpOptions::default();
        let options = HttpOptions {
            body_bytes_max: count(self.body_bytes_max, default.body_bytes_max, "body_bytes_max")?,
            load_body_bytes_max: positive(self.load_body_bytes_max, "load_body_bytes_max")?
                .unwrap_or(default.load_body_bytes_max),
            body_idle_timeout: wait(
                self.body_idle_timeout_ms,
                default.body_idle_timeout,
                "body_idle_timeout_ms",
            )?,
            header_read_timeout: wait(
                self.header_read_timeout_ms,
                default.header_read_timeout,
                "header_read_timeout_ms",
            )?,
            requests_in_flight_max: count(
                self.requests_in_flight_max,
                default.requests_in_flight_max,
                "requests_in_flight_max",
            )?,
            loads_in_flight_max: count(
                self.loads_in_flight_max,
                default.loads_in_flight_max,
                "loads_in_flight_max",
            )?,
            connections_max: count(self.connections_max, default.connections_max, "connections_max")?,
            load_rejections_max: count(
                self.load_rejections_max,
                default.load_rejections_max,
                "load_rejections_max",
            )?,
            readiness_timeout: wait(
                self.readiness_timeout_ms,
                default.readiness_timeout,
                "readiness_timeout_ms",
            )?,
            shutdown_grace: wait(self.shutdown_grace_ms, default.shutdown_grace, "shutdown_grace_ms")?,
        };
        Ok(HttpConfig { listen: self.listen, options })
    }
}

fn positive(given: Option<u64>, field: &str) -> Result<Option<u64>, ConfigError> {
    match given {
        Some(0) => Err(ConfigError::invalid(format!("http.{field}"), "0 would let nothing through")),
        given => Ok(given),
    }
}

fn count(given: Option<u64>, default: usize, field: &str) -> Result<usize, ConfigError> {
    match positive(given, field)?.map(usize::try_from) {
        None => Ok(default),
        Some(Ok(count)) => Ok(count),
        Some(Err(error)) => Err(ConfigError::invalid(format!("http.{field}"), error)),
    }
}

fn wait(given_ms: Option<u64>, default: Duration, field: &str) -> Result<Duration, ConfigError> {
    Ok(positive(given_ms, field)?.map_or(default, Duration::from_millis))
}

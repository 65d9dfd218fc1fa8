//! `[http]`: where the server listens, and its limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
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
    /// The file of the tokens that are let in; `None` where everybody is.
    pub tokens_file: Option<PathBuf>,
    /// Its limits.
    pub options: HttpOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    listen: Option<SocketAddr>,
    tokens_file: Option<PathBuf>,
    tokens_poll_interval_ms: Option<u64>,
    body_bytes_max: Option<u64>,
    load_body_bytes_max: Option<u64>,
    body_idle_timeout_ms: Option<u64>,
    headers_max: Option<u64>,
    header_bytes_max: Option<u64>,
    header_read_timeout_ms: Option<u64>,
    write_timeout_ms: Option<u64>,
    requests_in_flight_max: Option<u64>,
    cells_in_flight_per_core_max: Option<u64>,
    requests_queued_max: Option<u64>,
    queue_wait_max_ms: Option<u64>,
    buffered_bytes_max: Option<u64>,
    loads_in_flight_max: Option<u64>,
    connections_max: Option<u64>,
    health_connections_max: Option<u64>,
    load_timeout_max_ms: Option<u64>,
    load_rejections_max: Option<u64>,
    readiness_timeout_ms: Option<u64>,
    shutdown_drain_ms: Option<u64>,
    shutdown_grace_ms: Option<u64>,
}

impl RawHttp {
    pub(super) fn validate(self, folder: &Path) -> Result<HttpConfig, ConfigError> {
        let mut options = HttpOptions::default();
        let of = &mut options;
        wait(&mut of.tokens_poll_interval, self.tokens_poll_interval_ms, "tokens_poll_interval_ms")?;
        count(&mut of.body_bytes_max, self.body_bytes_max, "body_bytes_max")?;
        if let Some(bytes) = positive(self.load_body_bytes_max, "load_body_bytes_max")? {
            of.load_body_bytes_max = bytes;
        }
        wait(&mut of.body_idle_timeout, self.body_idle_timeout_ms, "body_idle_timeout_ms")?;
        count(&mut of.headers_max, self.headers_max, "headers_max")?;
        count(&mut of.header_bytes_max, self.header_bytes_max, "header_bytes_max")?;
        wait(&mut of.header_read_timeout, self.header_read_timeout_ms, "header_read_timeout_ms")?;
        wait(&mut of.write_timeout, self.write_timeout_ms, "write_timeout_ms")?;
        count(&mut of.requests_in_flight_max, self.requests_in_flight_max, "requests_in_flight_max")?;
        count(
            &mut of.cells_in_flight_per_core_max,
            self.cells_in_flight_per_core_max,
            "cells_in_flight_per_core_max",
        )?;
        count(&mut of.requests_queued_max, self.requests_queued_max, "requests_queued_max")?;
        wait(&mut of.queue_wait_max, self.queue_wait_max_ms, "queue_wait_max_ms")?;
        count(&mut of.buffered_bytes_max, self.buffered_bytes_max, "buffered_bytes_max")?;
        count(&mut of.loads_in_flight_max, self.loads_in_flight_max, "loads_in_flight_max")?;
        count(&mut of.connections_max, self.connections_max, "connections_max")?;
        count(&mut of.health_connections_max, self.health_connections_max, "health_connections_max")?;
        wait(&mut of.load_timeout_max, self.load_timeout_max_ms, "load_timeout_max_ms")?;
        count(&mut of.load_rejections_max, self.load_rejections_max, "load_rejections_max")?;
        wait(&mut of.readiness_timeout, self.readiness_timeout_ms, "readiness_timeout_ms")?;
        of.shutdown_drain = self.shutdown_drain_ms.map_or(of.shutdown_drain, Duration::from_millis);
        wait(&mut of.shutdown_grace, self.shutdown_grace_ms, "shutdown_grace_ms")?;
        let tokens_file = self.tokens_file.map(|file| folder.join(file));
        Ok(HttpConfig { listen: self.listen, tokens_file, options })
    }
}

fn positive(given: Option<u64>, field: &str) -> Result<Option<u64>, ConfigError> {
    match given {
        Some(0) => Err(ConfigError::invalid(format!("http.{field}"), "0 would let nothing through")),
        given => Ok(given),
    }
}

/// Sets a limit to what is given.
fn count(limit: &mut usize, given: Option<u64>, field: &str) -> Result<(), ConfigError> {
    if let Some(given) = positive(given, field)? {
        *limit =
            usize::try_from(given).map_err(|error| ConfigError::invalid(format!("http.{field}"), error))?;
    }
    Ok(())
}

/// Sets a wait to what is given.
fn wait(limit: &mut Duration, given_ms: Option<u64>, field: &str) -> Result<(), ConfigError> {
    if let Some(given_ms) = positive(given_ms, field)? {
        *limit = Duration::from_millis(given_ms);
    }
    Ok(())
}

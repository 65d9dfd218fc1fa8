//! Limits of the HTTP layer and their defaults.

use std::time::Duration;

/// Limits of the HTTP layer. The limits of a batch itself are the store's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Largest JSON body, in bytes.
    pub body_bytes_max: usize,
    /// Largest body of a bulk load, in bytes. It is never held whole.
    pub load_body_bytes_max: u64,
    /// Longest wait for the next piece of a body. Longer than a batch of writes may take, or a slow shard would
    /// look like a slow client.
    pub body_idle_timeout: Duration,
    /// Longest wait for the head of a request; also how long a connection may be idle.
    pub header_read_timeout: Duration,
    /// Requests that are served at once; more get 503. Health and metrics routes are exempt.
    pub requests_in_flight_max: usize,
    /// Bulk loads that are served at once; more get 503.
    pub loads_in_flight_max: usize,
    /// Connections that are open at once; more wait to be accepted.
    pub connections_max: usize,
    /// Rejected rows that the answer to a bulk load names; the others are counted.
    pub load_rejections_max: usize,
    /// Longest wait for shards to say that they are well, for `GET /readyz`.
    pub readiness_timeout: Duration,
    /// How long requests in flight may go on after a shutdown began.
    pub shutdown_grace: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            load_body_bytes_max: 4 << 30,
            body_idle_timeout: Duration::from_secs(30),
            header_read_timeout: Duration::from_secs(60),
            requests_in_flight_max: 1_024,
            loads_in_flight_max: 8,
            connections_max: 8_192,
            load_rejections_max: 1_000,
            readiness_timeout: Duration::from_millis(500),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

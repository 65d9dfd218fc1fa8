//! Limits of the HTTP layer and their defaults.

use std::time::Duration;

/// Limits of the HTTP layer. The limits of a batch itself are the store's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Time between two looks at the tokens file.
    pub tokens_poll_interval: Duration,
    /// Largest JSON body, in bytes.
    pub body_bytes_max: usize,
    /// Largest body of a bulk load, in bytes. It is never held whole.
    pub load_body_bytes_max: u64,
    /// Longest wait for the next piece of a body. Longer than a batch of writes may take, or a slow shard would
    /// look like a slow client.
    pub body_idle_timeout: Duration,
    /// Most headers of a request; one with more gets 431.
    pub headers_max: usize,
    /// Largest head of a request, in bytes; a larger one gets 431.
    pub header_bytes_max: usize,
    /// Longest wait for the head of a request; also how long a connection may be idle.
    pub header_read_timeout: Duration,
    /// Longest wait for a client to take more of its answer; then its connection is cut off.
    pub write_timeout: Duration,
    /// Requests whose body comes in, that wait for a turn, or that are served; more get 503. Health and metrics routes
    /// are exempt.
    pub requests_in_flight_max: usize,
    /// Cells (ids × features) that are served at once for each core; more requests wait for a turn. A request counts for
    /// 100 cells beside its own, and for a quarter of all at most.
    pub cells_in_flight_per_core_max: usize,
    /// Requests that wait for a turn; more get 503 at once.
    pub requests_queued_max: usize,
    /// Longest wait for a turn, then 503; half of the time to a request's deadline where that is shorter.
    pub queue_wait_max: Duration,
    /// Bytes of JSON bodies and of large answers that are held at once; more get 503.
    pub buffered_bytes_max: usize,
    /// Bulk loads that are served at once; more get 503.
    pub loads_in_flight_max: usize,
    /// Connections that are open at once. On more of them only health and metrics are answered, once each.
    pub connections_max: usize,
    /// How many more; beyond, they wait to be accepted.
    pub health_connections_max: usize,
    /// Longest deadline of a bulk load, and the one it has where it names none.
    pub load_timeout_max: Duration,
    /// Rejected rows that the answer to a bulk load names; the others are counted.
    pub load_rejections_max: usize,
    /// Longest wait for shards to say that they are well, for `GET /readyz`.
    pub readiness_timeout: Duration,
    /// How long the server goes on after SIGTERM, not ready any more, before it stops to accept connections.
    pub shutdown_drain: Duration,
    /// How long requests in flight may go on after a shutdown began.
    pub shutdown_grace: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            tokens_poll_interval: Duration::from_secs(1),
            body_bytes_max: 16 << 20,
            load_body_bytes_max: 4 << 30,
            body_idle_timeout: Duration::from_secs(30),
            headers_max: 100,
            header_bytes_max: 64 << 10,
            header_read_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            requests_in_flight_max: 1_024,
            cells_in_flight_per_core_max: 32_000,
            requests_queued_max: 64,
            queue_wait_max: Duration::from_millis(100),
            buffered_bytes_max: 512 << 20,
            loads_in_flight_max: 8,
            connections_max: 8_192,
            health_connections_max: 64,
            load_timeout_max: Duration::from_secs(3_600),
            load_rejections_max: 1_000,
            readiness_timeout: Duration::from_millis(500),
            shutdown_drain: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

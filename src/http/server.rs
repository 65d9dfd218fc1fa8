//! The server: accepts connections, serves each in a task of its own, and stops in time.
//!
//! Invariants: connections are bounded; a connection's handler is dropped when its client hangs up; after a
//! shutdown began, no connection outlives the grace period.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::options::HttpOptions;
use super::overload::Crowded;
use super::patient::Patient;

/// Headers that hyper reads without taking memory for them.
const HEADERS_ON_STACK: usize = 100;
/// How long a connection may last that has a place kept for health routes.
const HEALTH_CONNECTION_TIMEOUT: Duration = Duration::from_secs(3);
/// Largest read buffer of a connection; bounds a piece of a body.
const CONNECTION_BUFFER_BYTES_MAX: usize = 256 << 10;
/// Pause after a connection could not be accepted, as where the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Failures in a row after which the listener is taken for broken: a minute's worth.
const ACCEPT_FAILURES_MAX: u32 = 600;
/// Bytes of a refused body that are thrown away, and for how long, before its connection is closed.
const LINGER_BYTES_MAX: usize = 64 << 20;
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
const LINGER_PIECE_BYTES: usize = 16 << 10;

/// Why a server ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The listener does not give connections any more.
    #[error("connections can't be accepted any more: {0}")]
    Accept(#[source] io::Error),
}

/// Serves `router` on `listener` until `shutdown` completes. Then no connection is accepted any more, idle ones are
/// closed, requests in flight are finished; what is not finished after the grace period of `options` is cut off.
pub async fn run(
    listener: TcpListener,
    router: Router,
    options: &HttpOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), HttpError> {
    let mut shutdown = pin!(shutdown);
    let (stop, stopped) = watch::channel(());
    let places = Places::new(options);
    let crowded = router.clone().layer(Extension(Crowded));
    let mut connections = JoinSet::new();
    let ended = loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break Ok(()),
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, place)) => {
                    let router = if place.kept_for_health { &crowded } else { &router };
                    connections.spawn(serve(stream, router.clone(), options.clone(), stopped.clone(), place));
                }
                Err(error) => break Err(error),
            },
        }
    };
    drop(listener);
    // Whoever waits for a change hears of it by the sender's end.
    drop(stop);
    let all_closed = async { while connections.join_next().await.is_some() {} };
    if timeout(options.shutdown_grace, all_closed).await.is_err() {
        let cut_off = connections.len();
        tracing::warn!(cut_off, grace_ms = options.shutdown_grace.as_millis(), "shutdown grace is over");
        connections.shutdown().await;
    }
    ended
}

/// Places for connections, and those kept for whoever asks after the server's health when all are taken.
struct Places {
    all: Arc<Semaphore>,
    for_health: Arc<Semaphore>,
}

/// A connection's place.
struct Place {
    kept_for_health: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    fn new(options: &HttpOptions) -> Self {
        let places = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self { all: places(options.connections_max), for_health: places(options.health_connections_max) }
    }

    /// Waits until there is one.
    async fn any(&self) {
        // The semaphores are never closed.
        tokio::select! {
            _ = self.all.acquire() => {}
            _ = self.for_health.acquire() => {}
        }
    }

    /// Nobody else takes places, so that there still is the one that was waited for.
    fn take(&self) -> Place {
        let taken = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        match taken(&self.all) {
            Some(permit) => Place { kept_for_health: false, _permit: Some(permit) },
            None => Place { kept_for_health: true, _permit: taken(&self.for_health) },
        }
    }
}

/// The next connection, once there is a place for it. Cancel-safe.
async fn accept(listener: &TcpListener, places: &Places) -> Result<(TcpStream, Place), HttpError> {
    places.any().await;
    let mut failures = 0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok((stream, places.take())),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                failures += 1;
                if failures == 1 {
                    tracing::warn!(%error, "connection not accepted");
                }
                if failures >= ACCEPT_FAILURES_MAX {
                    return Err(HttpError::Accept(error));
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// True where the connection failed before it was accepted, which says nothing about the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn serve(
    stream: TcpStream,
    router: Router,
    options: HttpOptions,
    stopped: watch::Receiver<()>,
    place: Place,
) {
    // Answers are written whole; waiting to fill a packet only delays their end. Without it, they are just slower.
    let _ = stream.set_nodelay(true);
    if place.kept_for_health {
        // Few, and wanted by others: whoever sits on one loses it.
        let served = converse(stream, router, &options, stopped, false);
        let _ = timeout(HEALTH_CONNECTION_TIMEOUT, served).await;
    } else {
        converse(stream, router, &options, stopped, true).await;
    }
}

async fn converse(
    stream: TcpStream,
    router: Router,
    options: &HttpOptions,
    mut stopped: watch::Receiver<()>,
    keep_alive: bool,
) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .keep_alive(keep_alive)
        .header_read_timeout(options.header_read_timeout)
        .max_header_size(options.header_bytes_max)
        .max_buf_size(CONNECTION_BUFFER_BYTES_MAX.max(options.header_bytes_max));
    if options.headers_max != HEADERS_ON_STACK {
        builder.max_headers(options.headers_max);
    }
    let io = TokioIo::new(Patient::new(stream, options.write_timeout));
    let mut connection = builder.serve_connection(io, TowerToHyperService::new(router));
    let ended = tokio::select! {
        result = &mut connection => Some(result),
        _ = stopped.changed() => None,
    };
    match ended {
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            report(connection.await);
        }
        Some(Ok(())) => linger(&connection.into_parts().io.into_inner().into_inner()).await,
        Some(failed) => report(failed),
    }
}

fn report(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Throws away what the client still sends after the last answer. To close with a body unread would reset the
/// connection, and the client would not see the answer that says why.
async fn linger(stream: &TcpStream) {
    let to_the_end = async {
        let mut left = LINGER_BYTES_MAX;
        while left > 0 && stream.readable().await.is_ok() {
            let mut scratch = [0; LINGER_PIECE_BYTES];
            match stream.try_read(&mut scratch) {
                Ok(0) => break,
                Ok(bytes) => left = left.saturating_sub(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    // Late or not, the connection is closed now.
    let _ = timeout(LINGER_TIMEOUT, to_the_end).await;
}

#[cfg(test)]
mod tests;

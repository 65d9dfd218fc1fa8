//! Who is served, who waits for a turn and who is turned away at once, so that what is served is served in time.
//!
//! Invariants: whatever is held or waited for has a limit; nobody waits for a turn longer than `queue_wait_max`, nor longer
//! than half of the time it has left, so that a turn that comes is of use.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread::available_parallelism;
use std::time::Duration;

use ::metrics::Histogram;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::metrics;

use super::deadline::Deadline;
use super::error::ApiError;
use super::options::HttpOptions;
use super::overload::Refusal;

/// What a request costs beside its cells.
const REQUEST_CELLS: usize = 100;
/// The part of all cells that one request takes at most: a large one must not shut out the small ones.
const CELLS_SHARE: usize = 4;
/// Bytes are counted in pieces of so many.
const BYTES_PER_PERMIT: usize = 1 << 10;
/// Piece of an answer that is handed over at once.
const ANSWER_PIECE_BYTES: usize = 64 << 10;

/// A limit that turns requests away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Connections,
    Requests,
    Queue,
    QueueWait,
    Loads,
    Bytes,
}

impl Limit {
    /// Its name in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Queue => "queue",
            Self::QueueWait => "queue_wait",
            Self::Loads => "loads",
            Self::Bytes => "bytes",
        }
    }

    pub(super) fn message(self, max: u64) -> String {
        let what = match self {
            Self::QueueWait => return format!("no turn came within {max} ms; try again"),
            Self::Bytes => return format!("bodies and answers take up the limit of {max} bytes; try again"),
            Self::Queue => "requests wait for a turn",
            Self::Connections => "connections are open",
            Self::Requests => "requests are under way",
            Self::Loads => "loads are under way",
        };
        format!("{max} {what}, which is the limit; try again")
    }

    pub(super) fn reached(self, max: usize) -> ApiError {
        ApiError::Overloaded { limit: self, max: max as u64 }
    }
}

/// What is under way, against its limits.
pub(super) struct Admission {
    requests: Semaphore,
    loads: Semaphore,
    cells: Semaphore,
    cells_max: usize,
    requests_max: usize,
    queued: AtomicUsize,
    queue_duration: Histogram,
    bytes: Arc<Semaphore>,
    /// What is said at the door.
    no_connection: Refusal,
    no_request: Refusal,
    no_queue: Refusal,
}

/// One of those who wait. What it waited for counts also where it was in vain, or its client hung up.
struct Waiting<'a> {
    admission: &'a Admission,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.admission.queued.fetch_sub(1, Ordering::Relaxed);
        self.admission.queue_duration.record(self.since.elapsed());
    }
}

impl Admission {
    pub(super) fn new(options: &HttpOptions) -> Self {
        let places = |max: usize| Semaphore::new(max.min(u32::MAX as usize));
        let cores = available_parallelism().map_or(1, usize::from);
        let cells_max = options.cells_in_flight_per_core_max.saturating_mul(cores).min(u32::MAX as usize);
        let requests = places(options.requests_in_flight_max);
        Self {
            requests_max: requests.available_permits(),
            requests,
            loads: places(options.loads_in_flight_max),
            cells: places(cells_max),
            cells_max,
            queued: AtomicUsize::new(0),
            queue_duration: metrics::histogram(&metrics::HTTP_QUEUE_DURATION, []),
            bytes: Arc::new(places(options.buffered_bytes_max / BYTES_PER_PERMIT)),
            no_connection: Refusal::new(Limit::Connections, options.connections_max),
            no_request: Refusal::new(Limit::Requests, options.requests_in_flight_max),
            no_queue: Refusal::new(Limit::Queue, options.requests_queued_max),
        }
    }

    /// A place for a request whose body has not been read; an error where it would not get its turn anyway, or came over
    /// a connection for which there was no place.
    pub(super) fn arrive(
        &self,
        crowded: bool,
        options: &HttpOptions,
    ) -> Result<SemaphorePermit<'_>, &Refusal> {
        if crowded {
            return Err(&self.no_connection);
        }
        if self.queued.load(Ordering::Relaxed) >= options.requests_queued_max {
            return Err(&self.no_queue);
        }
        self.requests.try_acquire().map_err(|_| &self.no_request)
    }

    /// Requests that have a place.
    pub(super) fn in_flight(&self) -> usize {
        self.requests_max - self.requests.available_permits()
    }

    /// A place for a bulk load.
    pub(super) fn load(&self, options: &HttpOptions) -> Result<SemaphorePermit<'_>, ApiError> {
        self.loads.try_acquire().map_err(|_| Limit::Loads.reached(options.loads_in_flight_max))
    }

    /// Waits for the turn of a request of so many cells. How long it may wait is asked only where it has to.
    pub(super) async fn turn(
        &self,
        cells: usize,
        deadline: impl FnOnce() -> Result<Deadline, ApiError>,
        options: &HttpOptions,
    ) -> Result<SemaphorePermit<'_>, ApiError> {
        let cost = self.cost(cells);
        if let Ok(turn) = self.cells.try_acquire_many(cost) {
            self.queue_duration.record(Duration::ZERO);
            return Ok(turn);
        }
        if self.queued.fetch_add(1, Ordering::Relaxed) >= options.requests_queued_max {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            return Err(Limit::Queue.reached(options.requests_queued_max));
        }
        let waiting = Waiting { admission: self, since: Instant::now() };
        let wait_max = options.queue_wait_max.min(deadline()?.left()? / 2);
        let turn = timeout(wait_max, self.cells.acquire_many(cost)).await;
        drop(waiting);
        let wait_max_ms = u64::try_from(wait_max.as_millis()).unwrap_or(u64::MAX);
        turn.ok()
            .and_then(Result::ok)
            .ok_or(ApiError::Overloaded { limit: Limit::QueueWait, max: wait_max_ms })
    }

    /// The turn for a request that turns out to have so many cells: the one it has, where that is enough, or else another.
    pub(super) async fn turn_for<'a>(
        &'a self,
        mut turn: SemaphorePermit<'a>,
        cells: usize,
        deadline: Deadline,
        options: &HttpOptions,
    ) -> Result<SemaphorePermit<'a>, ApiError> {
        let cost = self.cost(cells) as usize;
        if let Some(surplus) = turn.num_permits().checked_sub(cost) {
            // Somebody else's turn may come with it.
            drop(turn.split(surplus));
            return Ok(turn);
        }
        // To keep it while waiting for the rest would let two such requests wait for each other.
        drop(turn);
        self.turn(cells, || Ok(deadline), options).await
    }

    fn cost(&self, cells: usize) -> u32 {
        let share = (self.cells_max / CELLS_SHARE).max(1);
        u32::try_from(cells.saturating_add(REQUEST_CELLS).min(share)).unwrap_or(u32::MAX)
    }

    /// Room for the bytes of one body or answer, none of them yet.
    pub(super) fn room(&self, options: &HttpOptions) -> Room {
        Room { all: Arc::clone(&self.bytes), held: None, max: options.buffered_bytes_max }
    }
}

/// Room for bytes, given back when dropped.
pub(super) struct Room {
    all: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    max: usize,
}

impl Room {
    /// Takes room for `bytes` altogether.
    pub(super) fn reserve(&mut self, bytes: u64) -> Result<(), ApiError> {
        let wanted = usize::try_from(bytes.div_ceil(BYTES_PER_PERMIT as u64)).unwrap_or(usize::MAX);
        // One that is larger than everything goes alone.
        let wanted = wanted.min(self.max / BYTES_PER_PERMIT);
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = wanted.checked_sub(held).filter(|more| *more > 0) else { return Ok(()) };
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.all).try_acquire_many_owned(more);
        let more = more.map_err(|_| Limit::Bytes.reached(self.max))?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

/// An answer that keeps its room until the last of it is handed over to the connection.
pub(super) struct Answer {
    bytes: Bytes,
    _room: Room,
}

impl Answer {
    pub(super) fn body(bytes: Vec<u8>, mut room: Room) -> Result<Body, ApiError> {
        if bytes.len() <= ANSWER_PIECE_BYTES {
            return Ok(bytes.into());
        }
        room.reserve(bytes.len() as u64)?;
        Ok(Body::new(Self { bytes: bytes.into(), _room: room }))
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.bytes.len().min(ANSWER_PIECE_BYTES);
        let piece = self.bytes.split_to(piece);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests;

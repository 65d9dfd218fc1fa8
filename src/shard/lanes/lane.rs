//! One lane: a task that owns one connection, and the handle through which callers share it.
//!
//! Invariants: what is under way on a lane is bounded in requests and bytes; every request gets an answer or the
//! reason why the lane ended; a caller that goes away leaves the lane in order.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::model::ReplyBlock;
use crate::model::limits::{LANE_BYTES_IN_FLIGHT_MAX, LANE_REQUESTS_WAITING_MAX};
use crate::slot::NodeAddr;

use super::super::fault::{KeyFault, PipelineFault};
use super::super::read::InFlight;
use super::super::role::Role;
use super::super::settings::RedisSettings;
use super::connect::{self, Socket};
use super::exchange::Exchange;
use super::replies::ReplyScanner;

/// Bytes are counted in these, as a semaphore counts to 2^29 on some machines.
const BYTES_UNIT: usize = 1 << 10;

/// The shared handle of a lane.
#[derive(Debug)]
pub(super) struct Lane {
    requests: mpsc::Sender<Box<Request>>,
    bytes: Arc<Semaphore>,
    end: Arc<OnceLock<End>>,
}

/// How a lane ended.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) at: Instant,
    pub(super) reason: Arc<str>,
}

/// Sets an end for a lane whose task stops without one, so that it is replaced.
struct Ending(Arc<OnceLock<End>>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.get_or_init(|| End { at: Instant::now(), reason: "its task stopped".into() });
    }
}

/// One pipeline on its way.
#[derive(Debug)]
pub(super) struct Request {
    /// The commands.
    pub(super) bytes: Vec<u8>,
    pub(super) scanner: ReplyScanner,
    /// When its caller stops waiting.
    pub(super) deadline: Instant,
    /// Where its replies go; closed once the caller has gone.
    pub(super) reply: oneshot::Sender<Result<Replies, PipelineFault>>,
    /// Its places among the commands and the bytes in flight, held until its replies have been read.
    pub(super) _held: (InFlight, OwnedSemaphorePermit),
}

/// The replies to one pipeline.
#[derive(Debug)]
pub(super) struct Replies {
    pub(super) block: ReplyBlock,
    pub(super) faults: Vec<(usize, KeyFault)>,
}

impl Lane {
    /// Opens a connection to `node` in the background; requests may be given to it at once.
    pub(super) fn open(node: NodeAddr, role: Role, settings: RedisSettings) -> Self {
        let (sender, receiver) = mpsc::channel(LANE_REQUESTS_WAITING_MAX);
        let end = Arc::new(OnceLock::new());
        tokio::spawn(run(node, role, settings, receiver, Arc::clone(&end)));
        Self { requests: sender, bytes: Arc::new(Semaphore::new(LANE_BYTES_IN_FLIGHT_MAX / BYTES_UNIT)), end }
    }

    /// How it ended, where it has.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.get()
    }

    /// Bytes that can be given to it without waiting, roughly.
    pub(super) fn room(&self) -> usize {
        self.bytes.available_permits()
    }

    /// Gives it a pipeline and waits for the replies.
    pub(super) async fn ask(
        &self,
        bytes: Vec<u8>,
        scanner: ReplyScanner,
        deadline: Instant,
        place: InFlight,
    ) -> Result<Replies, PipelineFault> {
        let units = bytes.len().div_ceil(BYTES_UNIT).min(LANE_BYTES_IN_FLIGHT_MAX / BYTES_UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let ended = || PipelineFault::not_sent(self.end().map_or("the connection ended", |end| &end.reason));
        let permit = Arc::clone(&self.bytes).acquire_many_owned(units).await.map_err(|_| ended())?;
        let (reply, answer) = oneshot::channel();
        let request = Box::new(Request { bytes, scanner, deadline, reply, _held: (place, permit) });
        self.requests.send(request).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The life of a lane. It ends with its connection, or when nobody holds a handle any more.
async fn run(
    node: NodeAddr,
    role: Role,
    settings: RedisSettings,
    mut requests: mpsc::Receiver<Box<Request>>,
    end: Arc<OnceLock<End>>,
) {
    let ending = Ending(end);
    let (ended, left) = serve(&node, role, &settings, &mut requests).await;
    let Err(reason) = ended else { return };
    tracing::warn!(%node, %reason, "a lane ended");
    // First the end, so that whoever is told to try again finds a new lane.
    let _ = ending.0.set(End { at: Instant::now(), reason: Arc::clone(&reason) });
    let fault = |sent| PipelineFault { reason: Arc::clone(&reason), may_have_run: sent };
    for request in left {
        let _ = request.reply.send(Err(fault(true)));
    }
    requests.close();
    while let Some(request) = requests.recv().await {
        let _ = request.reply.send(Err(fault(false)));
    }
}

/// Connects and serves. Brings the reason why that ended, and the requests that had no answer yet.
async fn serve(
    node: &NodeAddr,
    role: Role,
    settings: &RedisSettings,
    requests: &mut mpsc::Receiver<Box<Request>>,
) -> (Result<(), Arc<str>>, Vec<Box<Request>>) {
    let limit = settings.connect_timeout;
    let late = |_| Err(format!("not connected within {limit:?}").into());
    let response_timeout = settings.response_timeout;
    match timeout(limit, connect::connect(node, role, settings)).await.unwrap_or_else(late) {
        Err(reason) => (Err(reason), Vec::new()),
        Ok(Socket::Plain(stream)) => Exchange::new(stream, node, requests, response_timeout).run().await,
        Ok(Socket::Tls(stream)) => Exchange::new(stream, node, requests, response_timeout).run().await,
    }
}

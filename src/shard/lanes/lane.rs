//! One lane: a task that owns one connection, and the handle through which callers share it.
//!
//! Invariants: what is under way on a lane is bounded in requests and bytes; every request gets an answer or the
//! reason why the lane ended; a caller that goes away leaves the lane in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::model::ReplyBlock;
use crate::model::limits::{LANE_BYTES_IN_FLIGHT_MAX, LANE_REQUESTS_WAITING_MAX, RECONNECT_PAUSE_MIN};
use crate::slot::NodeAddr;

use super::super::fault::{FaultKind, KeyFault, PipelineFault};
use super::super::read::{InFlight, ShardRead};
use super::super::role::Role;
use super::super::settings::RedisSettings;
use super::connect::{self, Socket};
use super::encode;
use super::exchange::{Ended, Exchange, Over};
use super::replies::ReplyScanner;

/// Bytes are counted in these, as a semaphore counts to 2^29 on some machines.
const BYTES_UNIT: usize = 1 << 10;

/// The shared handle of a lane.
#[derive(Debug)]
pub(super) struct Lane {
    requests: mpsc::Sender<Box<Request>>,
    bytes: Arc<Semaphore>,
    connected: Arc<AtomicBool>,
    end: Arc<OnceLock<End>>,
}

/// How a lane ended.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) why: Ended,
    pub(super) at: Instant,
    /// How long its node is left alone; nothing where the lane had served.
    pub(super) pause: Duration,
}

impl End {
    /// Nothing was sent, as the lane had ended.
    pub(super) fn fault(&self) -> PipelineFault {
        PipelineFault::not_sent(self.why.kind, &self.why.reason)
    }
}

/// Sets an end for a lane whose task stops without one, so that it is replaced.
struct Ending(Arc<OnceLock<End>>);

impl Drop for Ending {
    fn drop(&mut self) {
        let why = || Ended { kind: FaultKind::Connection, reason: "its task stopped".into() };
        self.0.get_or_init(|| End { why: why(), at: Instant::now(), pause: RECONNECT_PAUSE_MIN });
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
    /// Opens a connection to `node` in the background; requests may be given to it at once. Should it end without having
    /// served, the node is to be left alone for `pause`.
    pub(super) fn open(node: NodeAddr, role: Role, settings: RedisSettings, pause: Duration) -> Self {
        let (sender, receiver) = mpsc::channel(LANE_REQUESTS_WAITING_MAX);
        let (connected, end) = (Arc::new(AtomicBool::new(false)), Arc::new(OnceLock::new()));
        let life = Life {
            node,
            role,
            settings,
            pause,
            connected: Arc::clone(&connected),
            end: Ending(Arc::clone(&end)),
        };
        tokio::spawn(life.run(receiver));
        let bytes = Arc::new(Semaphore::new(LANE_BYTES_IN_FLIGHT_MAX / BYTES_UNIT));
        Self { requests: sender, bytes, connected, end }
    }

    /// How it ended, where it has.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.get()
    }

    /// Whether it is connected, and how many bytes can be given to it without waiting, roughly.
    pub(super) fn room(&self) -> (bool, usize) {
        (self.connected.load(Ordering::Relaxed), self.bytes.available_permits())
    }

    /// Gives it a pipeline and waits for the replies.
    pub(super) async fn ask(
        &self,
        read: ShardRead<'_>,
        asking: bool,
        place: InFlight,
    ) -> Result<Replies, PipelineFault> {
        let bytes_max = encode::hmgets_bytes_max(read.keys, read.features, asking);
        let units = bytes_max.div_ceil(BYTES_UNIT).min(LANE_BYTES_IN_FLIGHT_MAX / BYTES_UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let unknown = || PipelineFault::not_sent(FaultKind::Connection, "the connection ended");
        let ended = || self.end().map_or_else(unknown, End::fault);
        let permit = Arc::clone(&self.bytes).acquire_many_owned(units).await.map_err(|_| ended())?;
        let (reply, answer) = oneshot::channel();
        let request = Box::new(Request {
            bytes: encode::hmgets(read.keys, read.features, asking),
            scanner: ReplyScanner::new(read.keys.len(), read.features.len(), asking),
            deadline: read.deadline,
            reply,
            _held: (place, permit),
        });
        self.requests.send(request).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The life of a lane. It ends with its connection, or when nobody holds a handle any more.
struct Life {
    node: NodeAddr,
    role: Role,
    settings: RedisSettings,
    pause: Duration,
    connected: Arc<AtomicBool>,
    end: Ending,
}

impl Life {
    async fn run(self, mut requests: mpsc::Receiver<Box<Request>>) {
        let over = self.serve(&mut requests).await;
        let Err(why) = over.why else { return };
        let reason = &why.reason;
        if over.served || self.pause == RECONNECT_PAUSE_MIN {
            tracing::warn!(node = %self.node, %reason, "a lane ended");
        } else {
            // Said already, when it could not be reached the first time.
            tracing::debug!(node = %self.node, %reason, "a lane could not be opened again");
        }
        // First the end, so that whoever is told to try again finds a new lane.
        let pause = if over.served { Duration::ZERO } else { self.pause };
        let _ = self.end.0.set(End { why: why.clone(), at: Instant::now(), pause });
        let fault =
            |sent| PipelineFault { reason: Arc::clone(&why.reason), kind: why.kind, may_have_run: sent };
        for request in over.left {
            let _ = request.reply.send(Err(fault(true)));
        }
        requests.close();
        while let Some(request) = requests.recv().await {
            let _ = request.reply.send(Err(fault(false)));
        }
    }

    /// Connects and serves.
    async fn serve(&self, requests: &mut mpsc::Receiver<Box<Request>>) -> Over {
        let limit = self.settings.connect_timeout;
        let late = |_| {
            let reason = format!("not connected within {limit:?}").into();
            Err(Ended { kind: FaultKind::Connection, reason })
        };
        let connecting = connect::connect(&self.node, self.role, &self.settings);
        let socket = match timeout(limit, connecting).await.unwrap_or_else(late) {
            Ok(socket) => socket,
            Err(why) => return Over { why: Err(why), left: Vec::new(), served: false },
        };
        self.connected.store(true, Ordering::Relaxed);
        let response_timeout = self.settings.response_timeout;
        match socket {
            Socket::Plain(stream) => {
                Exchange::new(stream, &self.node, requests, response_timeout).run().await
            }
            Socket::Tls(stream) => Exchange::new(stream, &self.node, requests, response_timeout).run().await,
        }
    }
}

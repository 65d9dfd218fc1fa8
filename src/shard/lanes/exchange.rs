//! What goes over a lane's connection: requests of all callers, written together, and their replies in order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tokio_util::io::poll_read_buf;

use crate::model::ReplyBlock;
use crate::model::limits::{
    LANE_CHECK_INTERVAL, LANE_WRITE_BYTES_MAX, REPLY_BYTES_MAX, REPLY_LINE_BYTES_MAX,
};
use crate::slot::NodeAddr;

use super::super::fault::{FaultKind, KeyFault, PipelineFault};
use super::gathering::Gathering;
use super::lane::{Replies, Request};
use super::output::Output;
use super::silence::Silence;
use super::skip::whole_pushes;
use super::{LaneError, Malformed};

/// Requests taken from callers at once.
const REQUESTS_AT_ONCE: usize = 256;
/// Room that is made for what is read, at least and at most.
const READ_BYTES_MIN: usize = 16 << 10;
const READ_BYTES_MAX: usize = 1 << 20;
/// Replies that fill less than this share of their buffer are copied out, so that they do not keep it alive.
const SHARED_PART_MIN: usize = 4;

/// A request whose replies are awaited.
struct Waiting {
    request: Box<Request>,
    /// How many bytes were to be written before it.
    place: u64,
    /// When it was taken to be written.
    taken: Instant,
    /// False once its caller has been answered, or has gone.
    wanted: bool,
}

/// The two directions of one connection.
pub(super) struct Exchange<'a, S> {
    stream: S,
    node: &'a NodeAddr,
    requests: &'a mut mpsc::Receiver<Box<Request>>,
    /// No request will come any more.
    closed: bool,
    #[expect(clippy::vec_box, reason = "as they come from the channel, which is cheap for boxes only")]
    incoming: Vec<Box<Request>>,
    gathering: Gathering,
    output: Output,
    /// What was written has not all left.
    flushing: bool,
    input: BytesMut,
    waiting: VecDeque<Waiting>,
    /// Bytes that a reply to one command had lately.
    reply_bytes: usize,
    silence: Silence,
    check: Pin<Box<Sleep>>,
    check_is_set: bool,
}

/// Why a connection ended, in words, and what that comes down to.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) kind: FaultKind,
    pub(super) reason: Arc<str>,
}

/// How a connection ended.
pub(super) struct Over {
    /// Nothing, where nobody asked any more.
    pub(super) why: Result<(), Ended>,
    /// Requests that have had no answer.
    pub(super) left: Vec<Request>,
    /// The node had sent something.
    pub(super) served: bool,
}

/// What `poll` came to.
enum Event {
    /// Requests were taken; others may be about to follow.
    Gathered,
    /// All callers are gone.
    Over,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Exchange<'a, S> {
    pub(super) fn new(
        stream: S,
        node: &'a NodeAddr,
        requests: &'a mut mpsc::Receiver<Box<Request>>,
        response_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            node,
            requests,
            closed: false,
            incoming: Vec::new(),
            gathering: Gathering::default(),
            output: Output::default(),
            flushing: false,
            input: BytesMut::new(),
            waiting: VecDeque::new(),
            reply_bytes: 128,
            silence: Silence::new(response_timeout),
            check: Box::pin(tokio::time::sleep(Duration::ZERO)),
            check_is_set: false,
        }
    }

    /// Runs until the connection ends or nobody asks any more.
    pub(super) async fn run(mut self) -> Over {
        loop {
            match std::future::poll_fn(|context| self.poll(context)).await {
                // Whoever is ready to ask does so now, and is written together with the others.
                Ok(Event::Gathered) => tokio::task::yield_now().await,
                Ok(Event::Over) => return Over { why: Ok(()), left: Vec::new(), served: true },
                Err(error) => {
                    let served = self.silence.was_broken();
                    let left = self.waiting.into_iter().filter(|waiting| waiting.wanted);
                    let left = left.map(|waiting| *waiting.request).collect();
                    let ended = Ended { kind: error.kind(), reason: error.to_string().into() };
                    return Over { why: Err(ended), left, served };
                }
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Event, LaneError>> {
        while let Poll::Ready(read) = self.poll_read(context) {
            read?;
        }
        loop {
            if self.poll_requests(context) {
                return Poll::Ready(Ok(Event::Gathered));
            }
            let full = self.output.len() >= LANE_WRITE_BYTES_MAX;
            if !self.output.is_empty() && self.output.poll_write(&mut self.stream, context)?.is_ready() {
                // TLS keeps the last part back otherwise.
                self.flushing = true;
            }
            // More may wait than was taken, and nobody would wake us for it.
            if !full || !self.output.is_empty() {
                break;
            }
        }
        if self.flushing && Pin::new(&mut self.stream).poll_flush(context)?.is_ready() {
            self.flushing = false;
        }
        // Callers hold a handle while they wait: nobody does.
        if self.closed {
            return Poll::Ready(Ok(Event::Over));
        }
        self.poll_check(context)?;
        Poll::Pending
    }

    /// Takes requests; true where they should wait for others to join them.
    fn poll_requests(&mut self, context: &mut Context<'_>) -> bool {
        let before = self.output.len();
        while !self.closed && self.output.len() < LANE_WRITE_BYTES_MAX {
            match self.requests.poll_recv_many(context, &mut self.incoming, REQUESTS_AT_ONCE) {
                Poll::Pending => break,
                Poll::Ready(0) => self.closed = true,
                Poll::Ready(_) => self.take_requests(),
            }
        }
        self.gathering.goes_on(before, self.output.len(), self.waiting.len() <= 1)
    }

    fn take_requests(&mut self) {
        let now = Instant::now();
        for mut request in self.incoming.drain(..) {
            // Whoever has gone already is not served.
            if !request.reply.is_closed() {
                let place = self.output.taken();
                self.output.push(std::mem::take(&mut request.bytes));
                self.waiting.push_back(Waiting { request, place, taken: now, wanted: true });
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LaneError>> {
        let rows = self.waiting.front().map_or(0, |waiting| waiting.request.scanner.rows_left());
        let expected = rows.saturating_mul(self.reply_bytes);
        if self.input.capacity() - self.input.len() < expected.clamp(READ_BYTES_MIN / 4, READ_BYTES_MAX) {
            self.input.reserve(expected.clamp(READ_BYTES_MIN, READ_BYTES_MAX));
        }
        if ready!(poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input))? == 0 {
            return Poll::Ready(Err(LaneError::Closed));
        }
        self.silence.broken();
        self.read_replies()?;
        if self.nobody_asked() && !self.input.is_empty() {
            self.input.advance(whole_pushes(&self.input)?);
            if self.input.len() > REPLY_LINE_BYTES_MAX {
                return Poll::Ready(Err(Malformed("more than was asked for").into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Has nothing been written that could have an answer?
    fn nobody_asked(&self) -> bool {
        self.waiting.front().is_none_or(|waiting| self.output.written() <= waiting.place)
    }

    /// Gives every caller whose replies are whole what came for it.
    fn read_replies(&mut self) -> Result<(), LaneError> {
        while !self.nobody_asked() {
            let Some(waiting) = self.waiting.front_mut() else { return Ok(()) };
            if waiting.wanted && waiting.request.reply.is_closed() {
                waiting.wanted = false;
                waiting.request.scanner.give_up();
            }
            let scanner = &mut waiting.request.scanner;
            let whole = scanner.scan(&self.input, self.node)?;
            let taken = scanner.taken();
            if !whole {
                if waiting.wanted && self.input.len() > REPLY_BYTES_MAX {
                    refuse_too_large(waiting);
                }
                if !waiting.wanted {
                    waiting.request.scanner.forget_taken();
                    self.input.advance(taken);
                    shrink(&mut self.input);
                }
                return Ok(());
            }
            let Some(Waiting { request, wanted, .. }) = self.waiting.pop_front() else { return Ok(()) };
            let request = *request;
            if !wanted {
                self.input.advance(taken);
                shrink(&mut self.input);
                continue;
            }
            let rows = request.scanner.rows().max(1);
            self.reply_bytes = (self.reply_bytes * 7 + taken.div_ceil(rows)).div_ceil(8);
            let bytes = cut(&mut self.input, taken);
            let (spans, faults) = request.scanner.finish();
            // A caller that has gone this moment does not mind.
            let _ = request.reply.send(Ok(Replies { block: ReplyBlock { bytes, spans }, faults }));
        }
        Ok(())
    }

    /// Looks from time to time for requests that wait in vain.
    fn poll_check(&mut self, context: &mut Context<'_>) -> Result<(), LaneError> {
        loop {
            if !self.check_is_set {
                if self.waiting.is_empty() {
                    return Ok(());
                }
                self.check.as_mut().reset(tokio::time::Instant::now() + LANE_CHECK_INTERVAL);
                self.check_is_set = true;
            }
            if self.check.as_mut().poll(context).is_pending() {
                return Ok(());
            }
            self.check_is_set = false;
            self.look_for_timeouts()?;
        }
    }

    fn look_for_timeouts(&mut self) -> Result<(), LaneError> {
        let now = Instant::now();
        if let Some(limit) = self.silence.response_timed_out(now) {
            let late = self.waiting.iter_mut().filter(|one| one.wanted && now >= one.taken + limit);
            for waiting in late {
                waiting.answer(Err(PipelineFault {
                    reason: format!("no answer within {limit:?}").into(),
                    kind: FaultKind::Timeout,
                    may_have_run: true,
                }));
            }
        }
        let sent = self.waiting.iter().map(|waiting| (waiting.taken, waiting.request.deadline));
        self.silence.look(now, sent)
    }
}

impl Waiting {
    /// Answers the caller before the replies are there; they are passed over when they come.
    fn answer(&mut self, answer: Result<Replies, PipelineFault>) {
        let (closed, _) = tokio::sync::oneshot::channel();
        let reply = std::mem::replace(&mut self.request.reply, closed);
        self.request.scanner.give_up();
        self.wanted = false;
        let _ = reply.send(answer);
    }
}

/// Gives back what a very large reply took.
fn shrink(input: &mut BytesMut) {
    if input.capacity() > 2 * READ_BYTES_MAX && input.len() < READ_BYTES_MIN {
        *input = BytesMut::from(&input[..]);
    }
}

/// The answer is beyond what may be kept: every row has that as its fault.
fn refuse_too_large(waiting: &mut Waiting) {
    let rows = waiting.request.scanner.rows();
    let why: Arc<str> = format!("the answer holds more than {REPLY_BYTES_MAX} bytes").into();
    let spans = vec![crate::model::Span::ABSENT; rows * waiting.request.scanner.width()];
    let faults = (0..rows).map(|row| (row, KeyFault::Refused(Arc::clone(&why)))).collect();
    waiting.answer(Ok(Replies { block: ReplyBlock { bytes: Bytes::new(), spans }, faults }));
}

/// The first `len` bytes, shared where they are most of what they lie in.
fn cut(input: &mut BytesMut, len: usize) -> Bytes {
    if len.saturating_mul(SHARED_PART_MIN) >= input.capacity() {
        return input.split_to(len).freeze();
    }
    let bytes = Bytes::copy_from_slice(&input[..len]);
    input.advance(len);
    bytes
}

//! A connection to one node that opens itself when it is needed, and again after it was lost.
//!
//! Invariants: one connection is opened at a time, in a task of its own, so that callers of little patience do not
//! keep it from ever being open; after a failure the node is left alone for a pause that grows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value};
use tokio::time::timeout;

use crate::model::limits::{LINK_SILENCE_MIN, LINK_UNANSWERED_MAX, RECONNECT_PAUSE_MAX, RECONNECT_PAUSE_MIN};

use super::fault::{FaultKind, PipelineFault};

/// Set by a connection that ended while nobody was asking: what is sent over it then would be lost, and nobody could say
/// that it was never sent.
pub(super) type Ended = Arc<AtomicBool>;
/// How a connection is opened; bounded in time by itself.
type Opener = dyn Fn(Ended) -> BoxFuture<'static, RedisResult<MultiplexedConnection>> + Send + Sync;
/// A connection that is being opened, or was.
type Opening = Shared<BoxFuture<'static, Result<MultiplexedConnection, PipelineFault>>>;

/// The shared handle of a connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct NodeLink {
    opener: Arc<Opener>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Which connection it is.
    number: u64,
    opening: Option<Opening>,
    ended: Ended,
    pause: Duration,
    /// Until when the node is left alone, and what it said last.
    left_alone: Option<(Instant, PipelineFault)>,
    /// When it answered last, and how many requests were given up unanswered since.
    answered_at: Option<Instant>,
    unanswered: u32,
}

/// A request on its way. One that is dropped unanswered, because its caller has little patience, counts against its
/// connection: one that leads nowhere has to be found out also where nobody waits for as long as an answer may take.
pub(super) struct Asked<'a> {
    link: &'a NodeLink,
    number: u64,
    since: Instant,
    answered: bool,
}

impl Asked<'_> {
    /// There is an answer, or the reason why there will be none.
    pub(super) fn answered<T>(mut self, answer: &RedisResult<T>) {
        let mut state = self.link.state();
        if state.number == self.number {
            state.unanswered = 0;
            match answer {
                Ok(_) => state.answered_at = Some(Instant::now()),
                Err(_) => state.opening = None,
            }
        }
        drop(state);
        self.answered = true;
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut state = self.link.state();
        let silent = state.answered_at.is_none_or(|at| at < self.since);
        if state.number == self.number && silent && self.since.elapsed() >= LINK_SILENCE_MIN {
            state.unanswered += 1;
            if state.unanswered >= LINK_UNANSWERED_MAX {
                (state.opening, state.unanswered) = (None, 0);
            }
        }
    }
}

impl NodeLink {
    pub(super) fn new(
        open: impl Fn(Ended) -> BoxFuture<'static, RedisResult<MultiplexedConnection>> + Send + Sync + 'static,
    ) -> Self {
        Self { opener: Arc::new(open), state: Arc::default() }
    }

    /// Sends a pipeline; brings a value or an error value per command.
    pub(super) async fn run(&self, pipeline: &Pipeline) -> Result<Vec<Value>, PipelineFault> {
        let (number, mut connection) = self.open().await?;
        let asked = self.asked(number);
        let answer = connection.send_packed_commands(pipeline, 0, pipeline.len()).await;
        asked.answered(&answer);
        answer.map_err(|error| PipelineFault::unanswered(&error))
    }

    /// Something is asked on the connection of that number.
    pub(super) fn asked(&self, number: u64) -> Asked<'_> {
        Asked { link: self, number, since: Instant::now(), answered: false }
    }

    /// The connection and its number, once it is open.
    pub(super) async fn open(&self) -> Result<(u64, MultiplexedConnection), PipelineFault> {
        let (number, opening) = self.opening()?;
        Ok((number, opening.await?))
    }

    /// The present connection, or the next one on its way.
    fn opening(&self) -> Result<(u64, Opening), PipelineFault> {
        let mut state = self.state();
        if state.ended.load(Ordering::Acquire) {
            state.opening = None;
        }
        match (&state.opening, &state.left_alone) {
            (Some(opening), _) => return Ok((state.number, opening.clone())),
            (None, Some((until, why))) if Instant::now() < *until => return Err(why.clone()),
            (None, _) => {}
        }
        state.number += 1;
        (state.ended, state.unanswered) = (Ended::default(), 0);
        let (number, link) = (state.number, self.clone());
        let opening = (self.opener)(Arc::clone(&state.ended));
        let task = tokio::spawn(async move {
            let opened = opening.await.map_err(|error| PipelineFault::not_open(&error));
            link.opened(number, opened.as_ref().err());
            opened
        });
        let stopped = || PipelineFault::not_sent(FaultKind::Connection, "the connection was not opened");
        let opening = async move { task.await.unwrap_or_else(|_| Err(stopped())) };
        let opening = opening.boxed().shared();
        state.opening = Some(opening.clone());
        Ok((number, opening))
    }

    /// Notes how the opening of that number went.
    fn opened(&self, number: u64, why_not: Option<&PipelineFault>) {
        let mut state = self.state();
        if state.number != number {
            return;
        }
        match why_not {
            None => (state.pause, state.left_alone) = (Duration::ZERO, None),
            Some(why) => {
                state.opening = None;
                state.pause = (state.pause * 2).clamp(RECONNECT_PAUSE_MIN, RECONNECT_PAUSE_MAX);
                state.left_alone = Some((Instant::now() + state.pause, why.clone()));
            }
        }
    }

    /// Asks the node whether it is there; true where it answers anything but that it is loading. Without an answer the
    /// connection is taken for dead.
    pub(super) async fn ping(&self, within: Duration) -> bool {
        let asking = async {
            let (number, mut connection) = self.open().await.ok()?;
            let answer = timeout(within, connection.send_packed_command(&redis::cmd("PING"))).await;
            match answer {
                Ok(Ok(Value::ServerError(error))) => Some(error.code() != "LOADING"),
                Ok(Ok(_)) => Some(true),
                Ok(Err(_)) | Err(_) => {
                    self.lost(number);
                    Some(false)
                }
            }
        };
        matches!(timeout(within, asking).await, Ok(Some(true)))
    }

    /// The connection of that number is of no use any more.
    pub(super) fn lost(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.opening = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

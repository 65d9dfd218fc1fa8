//! How long small requests wait for others before they are written together: a write costs as much as ten requests.
//!
//! They wait while others come, and while the runtime is busy with other tasks, some of which may be about to ask; in a
//! runtime that has nothing else to do they are written after one turn. A turn is up to 61 tasks long, so that the limit
//! is one for going on, not for how long a turn takes.

use std::time::{Duration, Instant};

use crate::model::limits::LANE_GATHER_MAX;

/// Requests that are this large together do not wait.
const GATHERED_BYTES_MAX: usize = 16 << 10;
/// A turn of the runtime that takes longer had other tasks in it.
const IDLE_TURN_MAX: Duration = Duration::from_micros(10);

/// The requests that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// When the first of them came, and when the runtime's present turn began.
    since: Option<(Instant, Instant)>,
}

impl Gathering {
    /// Should they wait for another turn? There were `before` bytes to be written, and now there are `now`; `alone`: a
    /// single request is all that this lane has.
    pub(super) fn goes_on(&mut self, before: usize, now: usize, alone: bool) -> bool {
        if now == 0 || now >= GATHERED_BYTES_MAX || (self.since.is_none() && now == before) {
            self.since = None;
            return false;
        }
        let time = Instant::now();
        let (first, turn) = self.since.unwrap_or((time, time));
        let busy = now > before || (!alone && time - turn > IDLE_TURN_MAX);
        let goes_on = busy && time - first < LANE_GATHER_MAX;
        self.since = goes_on.then_some((first, time));
        goes_on
    }
}

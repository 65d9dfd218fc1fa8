//! When a lane is given up: its node has been silent while several requests, one after the other, timed out.

use std::time::{Duration, Instant};

use crate::model::limits::LANE_TIMEOUTS_MAX;

use super::LaneError;

/// This part of a response timeout is to pass before short deadlines cost a lane: nodes do pause, to fork for instance.
const SILENT_PART_MIN: u32 = 4;

/// Counts timeouts in a row. A timeout is a request that was sent after the one counted before had timed out, and
/// that got not a single byte until its own deadline, or until the response timeout: a burst of requests that meet one
/// pause of the node counts once. Where no further request comes, because what is under way holds all places, as many
/// response timeouts are as much.
#[derive(Debug)]
pub(super) struct Silence {
    response_timeout: Duration,
    last_byte: Instant,
    timeouts: u32,
    /// When the first of them was sent, and when the last one was counted.
    counted: Option<(Instant, Instant)>,
    heard: bool,
}

impl Silence {
    pub(super) fn new(response_timeout: Duration) -> Self {
        Self { response_timeout, last_byte: Instant::now(), timeouts: 0, counted: None, heard: false }
    }

    /// The node has sent something.
    pub(super) fn broken(&mut self) {
        self.last_byte = Instant::now();
        self.timeouts = 0;
        self.counted = None;
        self.heard = true;
    }

    /// Has the node ever sent something over this lane?
    pub(super) fn was_broken(&self) -> bool {
        self.heard
    }

    /// The response timeout, where the node has been silent for longer.
    pub(super) fn response_timed_out(&self, now: Instant) -> Option<Duration> {
        (since(now, self.last_byte) >= self.response_timeout).then_some(self.response_timeout)
    }

    /// Looks at the requests under way, oldest first: when each was sent, and its deadline. Errors after
    /// [`LANE_TIMEOUTS_MAX`] timeouts in a row, or as many response timeouts.
    pub(super) fn look(
        &mut self,
        now: Instant,
        sent: impl IntoIterator<Item = (Instant, Instant)>,
    ) -> Result<(), LaneError> {
        let mut sent = sent.into_iter().peekable();
        let Some((oldest, _)) = sent.peek() else { return Ok(()) };
        let silent = since(now, self.last_byte.max(*oldest));
        if silent >= self.response_timeout.saturating_mul(LANE_TIMEOUTS_MAX) {
            return Err(LaneError::Silent(LANE_TIMEOUTS_MAX));
        }
        // What was sent before the last byte may be what the node is busy with.
        let next = |(taken, _): &(Instant, Instant)| {
            self.last_byte <= *taken && self.counted.is_none_or(|(_, counted)| *taken > counted)
        };
        let Some((taken, deadline)) = sent.find(next) else { return Ok(()) };
        if now >= deadline || since(now, taken) >= self.response_timeout {
            self.timeouts += 1;
            self.counted = Some((self.counted.map_or(taken, |(first, _)| first), now));
        }
        let first = self.counted.map_or(now, |(first, _)| first);
        let too_long = since(now, first) >= self.response_timeout / SILENT_PART_MIN;
        if self.timeouts >= LANE_TIMEOUTS_MAX && too_long {
            return Err(LaneError::Silent(self.timeouts));
        }
        Ok(())
    }
}

fn since(now: Instant, then: Instant) -> Duration {
    now.saturating_duration_since(then)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_that_meets_one_pause_counts_once() {
        let mut silence = Silence::new(800 * MS);
        let start = silence.last_byte;
        let burst = [(start + MS, start + 50 * MS); 10];
        assert!(silence.look(start + 40 * MS, burst).is_ok());
        for later in [60, 80, 2_000] {
            assert!(silence.look(start + later * MS, burst).is_ok());
        }
        assert_eq!(silence.timeouts, 1);
    }

    #[test]
    fn timeouts_one_after_the_other_end_the_lane_and_a_byte_forgives_them() {
        let mut silence = Silence::new(800 * MS);
        let start = silence.last_byte;
        let one = |silence: &mut Silence, at: u32| {
            let taken = start + at * MS;
            silence.look(taken + 60 * MS, [(taken, taken + 50 * MS)])
        };
        assert!(one(&mut silence, 100).is_ok());
        assert!(one(&mut silence, 200).is_ok());
        silence.timeouts = 0; // as `broken` does, which looks at the clock
        silence.counted = None;
        assert!(one(&mut silence, 300).is_ok());
        assert!(one(&mut silence, 400).is_ok());
        assert!(matches!(one(&mut silence, 500), Err(LaneError::Silent(3))));
    }

    #[test]
    fn a_request_that_was_overtaken_by_silence_does_not_hide_the_ones_after_it() {
        let mut silence = Silence::new(800 * MS);
        let half_answered = (silence.last_byte - MS, silence.last_byte + 50 * MS);
        let start = silence.last_byte;
        for (number, at) in [100, 200, 300].into_iter().enumerate() {
            let taken = start + at * MS;
            let looked = silence.look(taken + 60 * MS, [half_answered, (taken, taken + 50 * MS)]);
            assert_eq!(looked.is_err(), number == 2, "timeout {number}");
        }
    }

    #[test]
    fn silence_of_many_response_timeouts_ends_the_lane_though_nothing_more_is_sent() {
        let mut silence = Silence::new(100 * MS);
        let only = (silence.last_byte + MS, silence.last_byte + 60_000 * MS);
        let end = only.0 + LANE_TIMEOUTS_MAX * 100 * MS;
        assert!(silence.look(end - MS, [only]).is_ok());
        assert!(matches!(silence.look(end, [only]), Err(LaneError::Silent(_))));
    }

    #[test]
    fn a_long_deadline_does_not_hide_a_silent_node() {
        let mut silence = Silence::new(100 * MS);
        let taken = silence.last_byte + MS;
        assert!(silence.look(taken + 99 * MS, [(taken, taken + 60_000 * MS)]).is_ok());
        assert_eq!(silence.timeouts, 0);
        assert!(silence.look(taken + 100 * MS, [(taken, taken + 60_000 * MS)]).is_ok());
        assert_eq!(silence.timeouts, 1);
    }
}

//! What something costs this process: CPU and wall-clock time per entity.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The times when something began.
pub(crate) struct Begun {
    cpu: (Duration, Duration),
    wall: Instant,
}

impl Begun {
    pub(crate) fn now() -> Self {
        Self { cpu: cpu_times(), wall: Instant::now() }
    }
}

/// What a turn cost, per entity.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
    pub(crate) wall_us: f64,
}

impl Cost {
    pub(crate) fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }
    /// What was used since then, shared out over so many entities.
    pub(crate) fn since(begun: &Begun, entities: usize) -> Self {
        let per_entity = |time: Duration| time.as_secs_f64() * 1e6 / entities as f64;
        let (wall, now) = (begun.wall.elapsed(), cpu_times());
        Self {
            user_us: per_entity(now.0 - begun.cpu.0),
            system_us: per_entity(now.1 - begun.cpu.1),
            wall_us: per_entity(wall),
        }
    }
}

/// The CPU time of this process so far, in user and in system mode.
fn cpu_times() -> (Duration, Duration) {
    let duration = |time: TimeVal| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
        Duration::from_secs(seconds)
            + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or_default())
    };
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("every process has a usage");
    (duration(usage.user_time()), duration(usage.system_time()))
}

/// The middle value; not a number where there is none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

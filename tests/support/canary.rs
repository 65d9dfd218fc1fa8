//! How late a busy machine wakes a thread that wants nothing but to wake: what a test of deadlines must allow for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Pause between two looks at the clock.
const NAP: Duration = Duration::from_millis(5);
/// Threads and processes that have to be woken one after the other for an answer: driver, server, runtime, caller.
const WAKES_PER_ANSWER: u32 = 4;

/// A thread that sleeps and notes by how much it overslept, as long as this lives.
pub(crate) struct Canary(Arc<AtomicU64>);

impl Canary {
    pub(crate) fn start() -> Self {
        let worst = Arc::new(AtomicU64::new(0));
        let noted = Arc::downgrade(&worst);
        #[expect(clippy::disallowed_methods, reason = "a thread of its own, not one of a runtime")]
        std::thread::spawn(move || {
            while let Some(noted) = noted.upgrade() {
                let begun = Instant::now();
                std::thread::sleep(NAP);
                let late = begun.elapsed().saturating_sub(NAP);
                noted.fetch_max(u64::try_from(late.as_micros()).unwrap(), Ordering::Relaxed);
            }
        });
        Self(worst)
    }

    /// Time that the machine may have added to one answer.
    pub(crate) fn allowance(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed)) * WAKES_PER_ANSWER
    }
}

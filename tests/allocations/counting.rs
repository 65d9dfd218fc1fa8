//! The allocator that counts, and what is counted with it.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::sync::{Mutex, MutexGuard};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until no other test of this process runs; the next one does once this is dropped.
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// Allocations of this process so far, on whichever thread; a buffer that grows counts again.
pub(crate) fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

/// The middle value.
pub(crate) fn median(mut counts: Vec<usize>) -> usize {
    counts.sort_unstable();
    counts[counts.len() / 2]
}

#[tokio::test]
async fn allocations_of_every_thread_are_counted() {
    let _turn = turn().await;
    let before = allocations();
    let here: Vec<Box<u64>> = (0..100).map(Box::new).collect();
    let counted_here = allocations() - before;
    let there = std::thread::spawn(|| (0..100).map(Box::new).collect::<Vec<Box<u64>>>()).join().unwrap();
    let counted_there = allocations() - before - counted_here;
    assert_eq!(here, there);
    assert!(counted_here > 100 && counted_there > 100, "{counted_here} here, {counted_there} on a thread");
}

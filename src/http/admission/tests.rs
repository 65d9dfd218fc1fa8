//! Turns, queues and room, on a clock that the tests hold.

use std::time::Duration;

use axum::body::to_bytes;
use futures::FutureExt;
use tokio::time::{Instant, advance};

use super::*;
use crate::http::deadline::Timing;

fn options() -> HttpOptions {
    HttpOptions {
        // 4,000 altogether, whatever the machine.
        cells_in_flight_per_core_max: 4_000 / available_parallelism().map_or(1, usize::from),
        requests_queued_max: 2,
        queue_wait_max: Duration::from_millis(100),
        buffered_bytes_max: 100 << 10,
        ..HttpOptions::default()
    }
}

fn within(ms: u64) -> Deadline {
    let (at, limit) = (Timing::at(Instant::now()), Duration::from_millis(ms));
    at.deadline(limit, limit).unwrap()
}

#[tokio::test(start_paused = true)]
async fn turns_come_in_order_and_beyond_the_queue_nobody_waits() {
    let options = options();
    let admission = Admission::new(&options);
    let turn = |cells| admission.turn(cells, || Ok(within(1_000)), &options);
    let mut held: Vec<_> = (0..4).map(|_| turn(1_000_000).now_or_never().unwrap().unwrap()).collect();
    let mut first = Box::pin(turn(900));
    assert!((&mut first).now_or_never().is_none());
    let mut second = Box::pin(turn(1));
    assert!((&mut second).now_or_never().is_none(), "it would fit nowhere");
    let error = turn(1).now_or_never().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "2 requests wait for a turn, which is the limit; try again");
    assert!(admission.arrive(false, &options).is_err(), "nor is anybody let in");
    held.pop();
    let first = first.await.unwrap();
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    let second = second.await.unwrap();
    let grown = admission.turn_for(second, 500, within(1_000), &options).await.unwrap();
    assert_eq!(grown.num_permits(), 600);
    let shrunk = admission.turn_for(grown, 7, within(1_000), &options).await.unwrap();
    assert_eq!(shrunk.num_permits(), 107, "what is not needed is for others");
    assert!(admission.arrive(false, &options).is_ok());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_turn_that_would_come_too_late() {
    let options = options();
    let admission = Admission::new(&options);
    let _held: Vec<_> = (0..4)
        .map(|_| admission.turn(1_000_000, || Ok(within(1_000)), &options).now_or_never().unwrap())
        .collect();
    for (deadline_ms, waited_ms) in [(1_000, 100), (150, 75), (20, 10)] {
        let begun = Instant::now();
        let error = admission.turn(1, || Ok(within(deadline_ms)), &options).await.unwrap_err();
        assert_eq!(error, ApiError::Overloaded { limit: Limit::QueueWait, max: waited_ms });
        assert!(begun.elapsed() < Duration::from_millis(waited_ms + 2), "{:?}", begun.elapsed());
    }
    let late = within(5);
    advance(Duration::from_millis(5)).await;
    assert_eq!(
        admission.turn(1, || Ok(late), &options).await.unwrap_err().status_and_code().1,
        "deadline_exceeded"
    );
    // Whoever gives up leaves no trace.
    drop(admission.turn(1, || Ok(within(1_000)), &options).now_or_never());
    assert_eq!(admission.queued.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn room_is_taken_bit_by_bit_and_given_back_with_the_end_of_an_answer() {
    let options = options();
    let admission = Admission::new(&options);
    let mut body = admission.room(&options);
    body.reserve(10 << 10).unwrap();
    body.reserve(20 << 10).unwrap();
    assert_eq!(admission.bytes.available_permits(), 80);
    let full = admission.room(&options).reserve(81 << 10).unwrap_err();
    assert_eq!(full.to_string(), "bodies and answers take up the limit of 102400 bytes; try again");
    drop(body);
    let bytes = vec![b'x'; 5 * ANSWER_PIECE_BYTES + 7];
    let answer = Answer::body(bytes.clone(), admission.room(&options)).unwrap();
    assert_eq!(
        (answer.size_hint().exact(), admission.bytes.available_permits()),
        (Some(bytes.len() as u64), 0)
    );
    assert_eq!(to_bytes(answer, usize::MAX).await.unwrap(), bytes);
    assert_eq!(admission.bytes.available_permits(), 100);
}

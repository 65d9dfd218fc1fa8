//! A node that keeps its connections and says nothing, or nothing more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slotwise::model::limits::LANE_TIMEOUTS_MAX;
use slotwise::shard::InFlight;
use tokio::sync::Semaphore;

use super::peer::{Conn, Peer};
use super::support::{SOON, wait_until};
use super::{GAVE_UP, at, lanes, lanes_with, read, read_counted, values, values_of};

const LIMIT: Duration = Duration::from_millis(60);

/// A peer whose first connection answers so many keys and then says nothing more. Its other connections are good.
async fn silent_after(answered: usize) -> Peer {
    Peer::start(move |mut conn: Conn| async move {
        if conn.number > 1 {
            return conn.serve().await;
        }
        conn.log_in().await;
        for _ in 0..answered {
            let key = conn.key().await.unwrap();
            conn.answer(&key).await;
        }
        conn.say_nothing().await;
    })
    .await
}

#[tokio::test]
async fn a_lane_is_replaced_after_so_many_timeouts_in_a_row_and_not_before() {
    let (peer, lanes) = (silent_after(1).await, lanes().await);
    let target = at(&peer.addr);
    assert_eq!(values(&read(&lanes, &target, &["a"]).await.unwrap()), values_of(&["a"]));
    for timeouts in 1..=LANE_TIMEOUTS_MAX {
        assert_eq!(peer.accepted(), 1, "after {timeouts} timeouts");
        // A burst counts once.
        let keys = [["b"], ["c"], ["d"]];
        let burst = keys.iter().map(|keys| read_counted(&lanes, &target, keys, LIMIT, InFlight::uncounted()));
        for answer in futures::future::join_all(burst).await {
            answer.unwrap_err();
        }
    }
    let answers = || async {
        read_counted(&lanes, &target, &["e"], LIMIT, InFlight::uncounted())
            .await
            .is_ok_and(|rows| values(&rows) == values_of(&["e"]))
    };
    wait_until("another connection answers", SOON, answers).await;
    assert_eq!(peer.accepted(), 2);
    wait_until("the silent one is closed", SOON, || async { peer.open() == 1 }).await;
}

#[tokio::test]
async fn a_lane_that_falls_silent_in_the_middle_is_replaced_too() {
    // Two requests are written together; only the first is answered.
    let (peer, lanes) = (silent_after(1).await, lanes().await);
    let target = at(&peer.addr);
    let (a, b) = tokio::join!(
        read_counted(&lanes, &target, &["a"], LIMIT * 10, InFlight::uncounted()),
        read_counted(&lanes, &target, &["b"], LIMIT, InFlight::uncounted())
    );
    assert_eq!(values(&a.unwrap()), values_of(&["a"]));
    assert_eq!(&*b.unwrap_err().reason, GAVE_UP);
    // Far less than the response timeouts that end it at the latest.
    let begun = Instant::now();
    let answers =
        || async { read_counted(&lanes, &target, &["c"], LIMIT, InFlight::uncounted()).await.is_ok() };
    wait_until("another connection answers", SOON, answers).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(peer.accepted(), 2);
}

/// Where all places are taken by what is lost, nobody can send the requests whose timeouts would be counted.
#[tokio::test]
async fn a_silent_lane_gives_its_places_back_though_nobody_can_ask_any_more() {
    let peer = silent_after(0).await;
    let lanes = lanes_with(|settings| settings.response_timeout = Duration::from_millis(100)).await;
    let target = at(&peer.addr);
    let places = Arc::new(Semaphore::new(1));
    let place = InFlight::new(Arc::clone(&places).acquire_owned().await.unwrap());
    read_counted(&lanes, &target, &["a"], LIMIT, place).await.unwrap_err();
    let free = || async { places.available_permits() == 1 };
    wait_until("the places are given back", SOON, free).await;
    wait_until("the lane is closed", SOON, || async { peer.open() == 0 }).await;
}

#[tokio::test]
async fn a_caller_without_a_deadline_is_told_after_the_response_timeout() {
    let peer = silent_after(0).await;
    let lanes = lanes_with(|settings| settings.response_timeout = Duration::from_millis(100)).await;
    let begun = Instant::now();
    let fault = read(&lanes, &at(&peer.addr), &["a"]).await.unwrap_err();
    assert!(fault.reason.contains("no answer within 100ms") && fault.may_have_run, "{fault}");
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn dropping_the_transport_ends_a_silent_lane_too() {
    let (peer, lanes) = (silent_after(0).await, lanes().await);
    let target = at(&peer.addr);
    read_counted(&lanes, &target, &["a"], LIMIT, InFlight::uncounted()).await.unwrap_err();
    assert_eq!(peer.open(), 1);
    drop(lanes);
    let begun = Instant::now();
    wait_until("the lane is closed", SOON, || async { peer.open() == 0 }).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "not only when the node is given up");
}

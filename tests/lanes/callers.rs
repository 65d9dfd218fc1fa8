//! Many callers on one lane, and callers that go away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use slotwise::model::RowStatus;
use slotwise::model::limits::LANE_BYTES_IN_FLIGHT_MAX;
use slotwise::shard::InFlight;
use tokio::sync::{Notify, Semaphore};

use super::peer::{Conn, Peer, reply_to};
use super::support::features::{Oracle, ids, kind, names, store, value_of};
use super::support::{SOON, cluster, unique_prefix, wait_until};
use super::{GAVE_UP, at, lanes, read, read_counted, values, values_of};

#[tokio::test]
async fn requests_of_many_callers_are_written_together_and_each_gets_its_own_values() {
    const CALLERS: usize = 500;
    let (peer, lanes) = (Peer::start(Conn::serve).await, lanes().await);
    let target = at(&peer.addr);
    read(&lanes, &target, &["first"]).await.unwrap();
    let before = peer.reads();
    let keys: Vec<String> = (0..CALLERS).map(|number| format!("k{number}")).collect();
    let keys: Vec<[&str; 1]> = keys.iter().map(|key| [key.as_str()]).collect();
    let answers = join_all(keys.iter().map(|keys| read(&lanes, &target, keys))).await;
    for (keys, answer) in keys.iter().zip(answers) {
        assert_eq!(values(&answer.unwrap()), values_of(keys));
    }
    assert_eq!(peer.commands(), CALLERS + 1);
    assert_eq!(peer.accepted(), 1);
    // About 40 bytes each.
    let reads = peer.reads() - before;
    assert!(reads <= CALLERS / 10, "{CALLERS} requests came in {reads} pieces");
}

#[tokio::test]
async fn replies_to_a_caller_that_gave_up_are_read_and_dropped() {
    let answer_now = Arc::new(Notify::new());
    let told = Arc::clone(&answer_now);
    let peer = Peer::start(move |mut conn| {
        let told = Arc::clone(&told);
        async move {
            conn.log_in().await;
            let (first, second) = (conn.key().await.unwrap(), conn.key().await.unwrap());
            told.notified().await;
            // Byte by byte: some of the first reply comes before the second caller asks, some after.
            for byte in reply_to(&first).bytes().chain(reply_to(&second).bytes()) {
                conn.send([byte]).await;
                tokio::task::yield_now().await;
            }
            conn.answer_all().await;
        }
    })
    .await;
    let (lanes, target) = (lanes().await, at(&peer.addr));
    let places = Arc::new(Semaphore::new(2));
    let place = InFlight::new(Arc::clone(&places).acquire_many_owned(2).await.unwrap());
    let limit = Duration::from_millis(100);
    let gone = read_counted(&lanes, &target, &["gone", "gone too"], limit, place).await;
    assert_eq!(&*gone.unwrap_err().reason, GAVE_UP);
    assert_eq!(places.available_permits(), 0, "the node still has to answer it");
    answer_now.notify_one();
    assert_eq!(values(&read(&lanes, &target, &["next"]).await.unwrap()), values_of(&["next"]));
    assert_eq!(places.available_permits(), 2);
    assert_eq!(peer.accepted(), 1, "the same connection");
}

#[tokio::test]
async fn no_more_bytes_are_under_way_than_the_limit() {
    const KEY_BYTES: usize = 1 << 20;
    // A little less than the limit, for what is around each key.
    const AT_ONCE: usize = LANE_BYTES_IN_FLIGHT_MAX / KEY_BYTES - 1;
    const MORE: usize = 5;
    let peer = Peer::start(|mut conn: Conn| async move {
        conn.log_in().await;
        for _ in 0..AT_ONCE {
            conn.key().await.unwrap();
        }
        let beyond = tokio::time::timeout(Duration::from_millis(200), conn.key()).await;
        assert!(beyond.is_err(), "the others wait for an answer");
        conn.send(reply_to("any").repeat(AT_ONCE)).await;
        while conn.key().await.is_some() {
            conn.answer("any").await;
        }
    })
    .await;
    let (lanes, target) = (lanes().await, at(&peer.addr));
    let key = ["k".repeat(KEY_BYTES)];
    let key = key.each_ref().map(String::as_str);
    for answer in join_all((0..AT_ONCE + MORE).map(|_| read(&lanes, &target, &key))).await {
        assert_eq!(values(&answer.unwrap()), values_of(&["any"]));
    }
    assert_eq!(peer.commands(), AT_ONCE + MORE);
}

#[tokio::test]
async fn a_caller_that_gives_up_before_it_is_written_is_not_served() {
    let connect_now = Arc::new(Notify::new());
    let told = Arc::clone(&connect_now);
    let peer = Peer::start(move |mut conn| {
        let told = Arc::clone(&told);
        async move {
            told.notified().await;
            conn.log_in().await;
            conn.answer_all().await;
        }
    })
    .await;
    let (lanes, target) = (lanes().await, at(&peer.addr));
    let gone =
        read_counted(&lanes, &target, &["gone"], Duration::from_millis(20), InFlight::uncounted()).await;
    assert_eq!(&*gone.unwrap_err().reason, GAVE_UP);
    connect_now.notify_one();
    assert_eq!(values(&read(&lanes, &target, &["next"]).await.unwrap()), values_of(&["next"]));
    assert_eq!(peer.commands(), 1);
}

/// Real servers that pause again and again, and callers with deadlines shorter and longer than the pauses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_caller_ever_gets_the_values_of_another_however_many_give_up() {
    let (cluster, prefix) = (cluster(1, 0).await, unique_prefix());
    let (all, oracle) = (ids("u", 0..400), Oracle::of(&cluster).await);
    oracle.fill(&prefix, &all).await;
    let store = store(&cluster, kind(&prefix)).await;
    let done = AtomicBool::new(false);
    let pausing = async {
        for round in 0..40u64 {
            oracle.node(0).call(&["CLIENT", "PAUSE", &(5 + round % 20).to_string(), "ALL"]).await.unwrap();
        }
        done.store(true, Ordering::Release);
    };
    let reading = (0..8usize).map(|reader| {
        let (store, all, done) = (&store, &all, &done);
        async move {
            let (mut found, mut unavailable) = (0, 0);
            for round in 0.. {
                let asked: Vec<_> =
                    (0..50).map(|n| all[(n * 7 + round * 13 + reader * 31) % 400].clone()).collect();
                let timeout = Some(Duration::from_millis(1 + (round as u64 * 5 + reader as u64) % 40));
                let batch = store.batch_get_features(asked, names(&["v"]), timeout).await.unwrap();
                for row in batch.rows().filter(|row| row.status != RowStatus::Unavailable) {
                    assert_eq!(row.value(0), Some(value_of(row.id).as_bytes()), "{}", row.id);
                }
                found += batch.summary().found;
                unavailable += batch.summary().unavailable;
                if done.load(Ordering::Acquire) {
                    break;
                }
            }
            (found, unavailable)
        }
    });
    let ((), counts) = tokio::join!(pausing, join_all(reading));
    let found: usize = counts.iter().map(|(found, _)| found).sum();
    let unavailable: usize = counts.iter().map(|(_, unavailable)| unavailable).sum();
    assert!(found > 0 && unavailable > 0, "some were in time and some gave up: {found} {unavailable}");
    wait_until("all rows are found", SOON, || async {
        let batch = store.batch_get_features(all.clone(), names(&["v"]), None).await.unwrap();
        batch.summary().found == all.len()
    })
    .await;
}

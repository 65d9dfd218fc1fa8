//! What a node says to the first commands of a lane.

use std::time::{Duration, Instant};

use slotwise::model::limits::RECONNECT_PAUSE_MIN;

use super::peer::{Conn, Peer};
use super::support::{SOON, wait_until};
use super::{at, lanes, lanes_with, read, read_at_last, values, values_of};

const HELLO: &str = "%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n";

/// A peer that answers the login with these bytes, and then says nothing.
async fn says(bytes: &'static str) -> Peer {
    Peer::start(move |mut conn: Conn| async move {
        conn.next().await.unwrap();
        conn.send(bytes).await;
        conn.say_nothing().await;
    })
    .await
}

#[tokio::test]
async fn a_refused_login_is_reported_in_the_words_of_the_node() {
    let lanes = lanes().await;
    for (answer, words) in [
        ("-NOAUTH HELLO must be called with the client already authenticated\r\n", "NOAUTH HELLO must be"),
        ("-WRONGPASS invalid username-password pair\r\n", "WRONGPASS invalid"),
        ("-ERR max number of clients reached\r\n", "max number of clients"),
        ("-NOPERM User ada has no permissions\r\n", "NOPERM"),
        ("-LOADING Redis is loading the dataset in memory\r\n", "LOADING"),
        ("!21\r\nSYNTAX invalid syntax\r\n", "SYNTAX invalid syntax"),
        ("HTTP/1.1 400 Bad Request\r\n", "malformed"),
    ] {
        let peer = says(answer).await;
        let fault = read(&lanes, &at(&peer.addr), &["k"]).await.unwrap_err();
        assert!(fault.reason.contains(words), "{fault}");
        assert!(!fault.may_have_run, "nothing but the login was sent");
        wait_until("the connection is closed", SOON, || async { peer.open() == 0 }).await;
    }
}

#[tokio::test]
async fn a_node_that_refuses_is_not_asked_again_at_once() {
    let peer = says("-NOAUTH no\r\n").await;
    let (lanes, target) = (lanes().await, at(&peer.addr));
    let begun = Instant::now();
    while begun.elapsed() < RECONNECT_PAUSE_MIN * 6 {
        read(&lanes, &target, &["k"]).await.unwrap_err();
        tokio::task::yield_now().await;
    }
    assert!((2..=7).contains(&peer.accepted()), "{} logins", peer.accepted());
}

#[tokio::test]
async fn a_login_that_is_not_answered_is_given_up() {
    let peer = says("").await;
    let lanes = lanes_with(|settings| settings.connect_timeout = Duration::from_millis(100)).await;
    let fault = read(&lanes, &at(&peer.addr), &["k"]).await.unwrap_err();
    assert!(fault.reason.contains("not connected within 100ms"), "{fault}");
}

#[tokio::test]
async fn a_push_before_the_answer_to_the_login_is_not_that_answer() {
    let peer = Peer::start(|mut conn: Conn| async move {
        conn.next().await.unwrap();
        conn.send(">2\r\n+invalidate\r\n_\r\n").await;
        let early = tokio::time::timeout(Duration::from_millis(100), conn.key()).await;
        assert!(early.is_err(), "nothing is asked before the login is answered");
        conn.send(HELLO).await;
        conn.answer_all().await;
    })
    .await;
    let (lanes, target) = (lanes().await, at(&peer.addr));
    assert_eq!(values(&read(&lanes, &target, &["k"]).await.unwrap()), values_of(&["k"]));
    assert_eq!(values(&read(&lanes, &target, &["l"]).await.unwrap()), values_of(&["l"]));
}

/// Whatever comes around the answer to the login, it never becomes the answer to a read.
#[tokio::test]
async fn what_comes_beside_the_answer_to_the_login_is_nobodys_value() {
    let lanes = lanes().await;
    let push = ">2\r\n+invalidate\r\n_\r\n";
    let value = "*1\r\n$5\r\nwrong\r\n";
    for answer in [
        format!("{push}{HELLO}"),
        format!("{HELLO}{push}"),
        format!("|1\r\n+a\r\n+b\r\n{HELLO}"),
        format!("{HELLO}{value}"),
        format!("{value}{HELLO}"),
    ] {
        let whole = answer.clone();
        let peer = Peer::start(move |mut conn: Conn| {
            let answer = answer.clone();
            async move {
                if conn.number > 1 {
                    return conn.serve().await;
                }
                conn.next().await.unwrap();
                conn.send(answer).await;
                conn.answer_all().await;
            }
        })
        .await;
        let target = at(&peer.addr);
        let first = read(&lanes, &target, &["k"]).await;
        if let Ok(rows) = first {
            assert_eq!(values(&rows), values_of(&["k"]), "{whole:?}");
        }
        assert_eq!(values(&read_at_last(&lanes, &target, &["l"]).await), values_of(&["l"]), "{whole:?}");
    }
}

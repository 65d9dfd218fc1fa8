//! What a node sends that nobody asked for.

use super::peer::{Conn, Peer, reply_to};
use super::support::{SOON, wait_until};
use super::{at, lanes, read, read_at_last, values, values_of};

/// A peer that sends something more after its first answer.
async fn sends_more(more: &'static str) -> Peer {
    Peer::start(move |mut conn: Conn| async move {
        if conn.number > 1 {
            return conn.serve().await;
        }
        conn.log_in().await;
        let key = conn.key().await.unwrap();
        conn.send(reply_to(&key) + more).await;
        conn.answer_all().await;
    })
    .await
}

#[tokio::test]
async fn a_reply_that_nobody_asked_for_never_becomes_the_next_callers_value() {
    let lanes = lanes().await;
    for more in ["*1\r\n$5\r\nwrong\r\n", "*1\r\n$5\r\nwro", "+OK\r\n", "$", "\r\n"] {
        let peer = sends_more(more).await;
        let target = at(&peer.addr);
        assert_eq!(values(&read(&lanes, &target, &["first"]).await.unwrap()), values_of(&["first"]));
        wait_until("the lane is closed", SOON, || async { peer.open() == 0 }).await;
        assert_eq!(values(&read_at_last(&lanes, &target, &["next"]).await), values_of(&["next"]), "{more:?}");
    }
}

#[tokio::test]
async fn pushes_between_replies_are_passed_over() {
    let lanes = lanes().await;
    for more in [">2\r\n+invalidate\r\n_\r\n", ">1\r\n$3\r\na\r\n\r\n>1\r\n+b\r\n", ">1\r\n$4\r\nha"] {
        let peer = Peer::start(move |mut conn: Conn| async move {
            conn.log_in().await;
            let key = conn.key().await.unwrap();
            conn.send(reply_to(&key) + more).await;
            let key = conn.key().await.unwrap();
            // The rest of the last one, which was cut.
            let rest = if more.ends_with("ha") { "lf\r\n" } else { "" };
            conn.send(rest.to_owned() + &reply_to(&key)).await;
            conn.answer_all().await;
        })
        .await;
        let target = at(&peer.addr);
        for key in ["first", "next", "last"] {
            assert_eq!(values(&read(&lanes, &target, &[key]).await.unwrap()), values_of(&[key]), "{more:?}");
        }
        assert_eq!(peer.accepted(), 1);
    }
}

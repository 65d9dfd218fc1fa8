//! A node that answers what is no answer, or too much, or half.

use futures::future::join_all;
use slotwise::model::limits::{REPLY_BYTES_MAX, REPLY_DEPTH_MAX, REPLY_ITEMS_MAX, REPLY_LINE_BYTES_MAX};
use slotwise::shard::KeyFault;

use super::peer::{Conn, Peer, reply_to};
use super::support::{SOON, wait_until};
use super::{at, lanes, read, read_at_last, values, values_of};

/// A peer that answers the first three keys of its first connection with these bytes, and then ends it or says
/// nothing any more. Its other connections are good.
async fn answers_once(bytes: Vec<u8>, ends: bool) -> Peer {
    Peer::start(move |mut conn: Conn| {
        let bytes = bytes.clone();
        async move {
            if conn.number > 1 {
                return conn.serve().await;
            }
            conn.log_in().await;
            for _ in 0..3 {
                conn.key().await.unwrap();
            }
            conn.send(bytes).await;
            if !ends {
                conn.say_nothing().await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_malformed_reply_ends_the_lane_for_all_who_wait_and_the_next_read_works() {
    let lanes = lanes().await;
    for malformed in [
        "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned(),
        "*1\r\n$1\r\nab\r\n".to_owned(),
        "*1\r\n$-7\r\n".to_owned(),
        "*1\r\n$99999999999999999999\r\n".to_owned(),
        format!("*{}\r\n", REPLY_ITEMS_MAX + 1),
        "*1\r\n".repeat(REPLY_DEPTH_MAX + 2) + "$1\r\na\r\n",
        "-".repeat(REPLY_LINE_BYTES_MAX),
    ] {
        let peer = answers_once(malformed.into_bytes(), false).await;
        let target = at(&peer.addr);
        let keys = [["a"], ["b"], ["c"]];
        for answer in join_all(keys.iter().map(|keys| read(&lanes, &target, keys))).await {
            let fault = answer.unwrap_err();
            assert!(fault.reason.contains("malformed"), "{fault}");
            assert!(fault.may_have_run, "it was sent");
        }
        assert_eq!(values(&read_at_last(&lanes, &target, &["d"]).await), values_of(&["d"]));
        assert_eq!(peer.accepted(), 2);
        wait_until("the first connection is closed", SOON, || async { peer.open() == 1 }).await;
    }
}

#[tokio::test]
async fn a_caller_whose_reply_was_whole_has_it_though_the_next_one_is_malformed() {
    let peer = answers_once([reply_to("a").as_bytes(), b"?\r\n"].concat(), false).await;
    let (lanes, target) = (lanes().await, at(&peer.addr));
    let (a, b, c) = tokio::join!(
        read(&lanes, &target, &["a"]),
        read(&lanes, &target, &["b"]),
        read(&lanes, &target, &["c"])
    );
    assert_eq!(values(&a.unwrap()), values_of(&["a"]));
    for fault in [b.unwrap_err(), c.unwrap_err()] {
        assert!(fault.reason.contains("malformed"), "{fault}");
    }
}

#[tokio::test]
async fn a_connection_closed_in_the_middle_of_a_reply_is_an_error_and_no_value() {
    let lanes = lanes().await;
    let whole = reply_to("a");
    for sent in [0, 1, 5, 9, whole.len() - 1] {
        let peer = answers_once(whole.as_bytes()[..sent].to_vec(), true).await;
        let target = at(&peer.addr);
        let (a, b) = tokio::join!(read(&lanes, &target, &["a", "a2"]), read(&lanes, &target, &["b"]));
        for fault in [a.unwrap_err(), b.unwrap_err()] {
            assert!(fault.reason.contains("closed") || fault.reason.contains("lost"), "{fault}");
            assert!(fault.may_have_run, "it was sent");
        }
        assert_eq!(values(&read_at_last(&lanes, &target, &["d"]).await), values_of(&["d"]));
    }
}

#[tokio::test]
async fn rows_of_another_shape_are_faults_of_their_keys_only() {
    let replies = ["*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*1\r\n:5\r\n", "-WRONGTYPE Operation\r\n"].concat();
    let peer = answers_once(replies.into_bytes(), true).await;
    let (lanes, target) = (lanes().await, at(&peer.addr));
    let rows = read(&lanes, &target, &["wide", "number", "wrong"]).await.unwrap();
    let refused = |why: &str| KeyFault::Refused(why.into());
    assert_eq!(
        rows.faults,
        [
            (0, refused("an answer to HMGET of another shape")),
            (1, refused("a cell of HMGET that is no string")),
            (2, refused("WRONGTYPE Operation")),
        ]
    );
}

/// Sends one value that is larger than the answer to a pipeline may be.
async fn send_too_much(conn: &mut Conn) {
    const PIECE: usize = 8 << 20;
    let pieces = REPLY_BYTES_MAX.div_ceil(PIECE) + 1;
    conn.send(format!("*1\r\n${}\r\n", pieces * PIECE)).await;
    let piece = vec![b'x'; PIECE];
    for _ in 0..pieces {
        conn.send(&piece).await;
    }
    conn.send("\r\n").await;
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused_and_the_lane_goes_on() {
    let peer = Peer::start(|mut conn: Conn| async move {
        conn.log_in().await;
        while let Some(key) = conn.key().await {
            if key == "large" { send_too_much(&mut conn).await } else { conn.answer(&key).await }
        }
    })
    .await;
    let (lanes, target) = (lanes().await, at(&peer.addr));
    let (large, next) =
        tokio::join!(read(&lanes, &target, &["before", "large"]), read(&lanes, &target, &["next"]));
    let large = large.unwrap();
    assert_eq!(large.block.bytes.len(), 0);
    assert_eq!(large.faults.len(), 2);
    for (_, fault) in large.faults {
        assert!(matches!(&fault, KeyFault::Refused(why) if why.contains("bytes")), "{fault:?}");
    }
    assert_eq!(values(&next.unwrap()), values_of(&["next"]), "what follows is its own");
    assert_eq!(peer.accepted(), 1, "the same connection");
}

//! A server whose cluster goes away: it says so, answers in time, and recovers by itself.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::program::{Background, get, post_batch, run, slotwise};
use crate::support::{SOON, cluster, wait_until};

/// Deadline of the requests, and how much longer an answer may take on a busy machine.
const TIMEOUT: Duration = Duration::from_millis(400);
const LATE_MAX: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn a_server_outlives_the_loss_of_all_of_redis() {
    let mut cluster = cluster(3, 0).await;
    let urls = cluster.urls();
    run(&mut slotwise(["load", "--synthetic", "50", "--redis-url", &urls])).exits(0);
    let mut server =
        Background::start(&mut slotwise(["serve", "--listen", "127.0.0.1:0", "--redis-url", &urls]));
    let address = server.told("listens on http://").await;
    let ready = || async { get(&format!("http://{address}/readyz")).await.0 == 200 };
    assert!(ready().await);
    let ids: Vec<String> = (1..=50).map(|number| format!("u{number:04}")).collect();
    let timeout_ms = u64::try_from(TIMEOUT.as_millis()).unwrap();
    let body = json!({"ids": ids, "features": ["risk_segment"], "timeout_ms": timeout_ms});
    assert_eq!(post_batch(&address, &body).await.1["summary"]["found"], 50);

    (0..3).for_each(|node| cluster.kill_node(node).unwrap());
    for _ in 0..3 {
        let begun = Instant::now();
        let (status, answer) = post_batch(&address, &body).await;
        assert!(begun.elapsed() < TIMEOUT + LATE_MAX, "{:?}", begun.elapsed());
        assert_eq!((status, &answer["summary"]["unavailable"]), (200, &json!(50)), "{answer}");
        assert!(answer["rows"][0]["error"].is_string(), "{answer}");
    }
    wait_until("readiness is gone", SOON, || async { !ready().await }).await;
    let (status, answer) = get(&format!("http://{address}/readyz")).await;
    assert_eq!((status, answer["problems"].as_array().unwrap().len()), (503, 3), "{answer}");
    assert_eq!(get(&format!("http://{address}/healthz")).await.0, 200);
    let one = format!("http://{address}/v1/features/u0001?features=a&timeout_ms=200");
    let (status, answer) = get(&one).await;
    assert_eq!((status, &answer["error"]["code"]), (504, &json!("deadline_exceeded")), "{answer}");

    for node in 0..3 {
        cluster.restart_node(node).await.unwrap();
    }
    wait_until("readiness is back", SOON, ready).await;
    // The servers have lost their keys, and nothing else.
    let answers = || async { post_batch(&address, &body).await.1["summary"]["missing"] == 50 };
    wait_until("every shard answers again", SOON, answers).await;
    run(&mut slotwise(["load", "--synthetic", "50", "--redis-url", &urls])).exits(0);
    assert_eq!(post_batch(&address, &body).await.1["summary"]["found"], 50);
    server.send(Signal::SIGTERM);
    server.ended().await.exits(0);
}

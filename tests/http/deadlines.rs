//! Deadlines are the caller's: on every route, from the head of the request to the head of the answer.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;
use slotwise::FeatureStore;
use slotwise::devcluster::LocalCluster;
use slotwise::http::{HttpOptions, TIMEOUT_HEADER};
use slotwise::shard::RedisSettings;
use slotwise::store::{EntityOptions, StoreOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::canary::Canary;
use crate::cluster::{SOON, cluster, unique_prefix, wait_until};
use crate::support::Api;
use crate::wire::serve;

const BATCH: &str = r#"{"ids":["u1"],"features":["f"]}"#;
const WRITE: &str = r#"{"features":{"f":1}}"#;
const ROW: &str = r#"{"id":"u1","features":{"f":1}}"#;
/// Every route under `/v1`, and what to send.
const ROUTES: [(&str, &str, &str); 6] = [
    ("POST", "/v1/features/batch?", BATCH),
    ("GET", "/v1/features/u1?features=f&", ""),
    ("PUT", "/v1/features/u1?", WRITE),
    ("POST", "/v1/features/load?", ROW),
    ("GET", "/v1/entities/u1?", ""),
    ("GET", "/v1/cluster?", ""),
];

#[tokio::test]
async fn every_route_takes_a_deadline_and_refuses_one_that_can_not_be() {
    let options = HttpOptions { load_timeout_max: Duration::from_secs(30), ..HttpOptions::default() };
    let api = Api::with(options, StoreOptions::default()).await;
    for (method, path, body) in ROUTES {
        let send = |query: &str, headers: &[&str]| {
            let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap());
            for value in headers {
                request = request.header(TIMEOUT_HEADER, *value);
            }
            api.call(request.uri(format!("{path}{query}")).body(Body::from(body)).unwrap())
        };
        for (query, headers) in
            [("", &[][..]), ("timeout_ms=5000", &[]), ("timeout_ms=5000", &["6000", "7000"])]
        {
            let answer = send(query, headers).await;
            assert_eq!(answer.status, 200, "{path} {query} {headers:?}: {}", answer.text());
        }
        for (query, headers, says) in [
            ("timeout_ms=0", &[][..], "timeout_ms: 0 is not between 1 and 30000"),
            ("", &["30001"], "timeout_ms: 30001 is not between 1 and 30000"),
            ("timeout_ms=5", &["30001"], "timeout_ms: 30001 is not between 1 and 30000"),
            ("", &["5 s"], "x-timeout-ms: \"5 s\" is not a whole number of milliseconds"),
        ] {
            let (status, code, message) = send(query, headers).await.error();
            assert_eq!((status, code.as_str(), message.as_str()), (400, "invalid_timeout", says), "{path}");
        }
    }
    for path in ["/v1/features/batch", "/v1/features/u1"] {
        let method = if path.ends_with("batch") { Method::POST } else { Method::PUT };
        let body = if path.ends_with("batch") { BATCH } else { WRITE };
        let body = body.replacen('{', r#"{"timeout_ms":0,"#, 1);
        assert_eq!(api.send(method, path, body).await.error().1, "invalid_timeout");
    }
    api.clean().await;
}

async fn own_api(cluster: &LocalCluster, options: HttpOptions, limits: StoreOptions) -> Api {
    let settings = RedisSettings::from_urls(cluster.urls().split(',')).unwrap();
    let kind = EntityOptions { prefix: unique_prefix(), ..EntityOptions::default() };
    Api::of(FeatureStore::connect(settings, vec![kind], limits).await.unwrap(), options)
}

/// Sends bytes, waits for the head of the answer; its status, and how long that took.
async fn timed(address: &str, request: &[u8]) -> (u16, Duration) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let begun = Instant::now();
    stream.write_all(request).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    (std::str::from_utf8(&head[9..]).unwrap().parse().unwrap(), begun.elapsed())
}

fn request(method: &str, path: &str, header: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{header}content-length: {length}\r\n\r\n{body}").into()
}

/// Beside what the machine adds: reading the request, writing the answer, two hops over a socket.
const LATE_MAX: Duration = Duration::from_millis(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_there_at_its_deadline_whatever_the_cluster_does() {
    const TIMEOUT: Duration = Duration::from_millis(60);
    let cluster = cluster(3, 0).await;
    let api = own_api(&cluster, HttpOptions::default(), StoreOptions::default()).await;
    let (url, stop) = serve(&api, HttpOptions::default()).await;
    let ids: Vec<String> = (0..1_000).map(|number| format!("u{number}")).collect();
    let features: Vec<String> = (0..10).map(|number| format!("f{number}")).collect();
    let large = json!({"ids": ids, "features": features, "timeout_ms": 60}).to_string();
    (0..3).for_each(|node| cluster.pause_node(node).unwrap());
    let canary = Canary::start();
    let header = "x-timeout-ms: 60\r\n";
    let mut worst = Duration::ZERO;
    for (method, path, body, expected) in [
        ("POST", "/v1/features/batch", large.as_str(), 200),
        ("POST", "/v1/features/batch?timeout_ms=9000", BATCH, 200),
        ("GET", "/v1/features/u1?features=f", "", 504),
        ("GET", "/v1/entities/u1", "", 504),
        ("PUT", "/v1/features/u1", WRITE, 503),
        ("POST", "/v1/features/load", ROW, 504),
    ] {
        for _ in 0..10 {
            let (status, took) = timed(&url[7..], &request(method, path, header, body)).await;
            assert!(
                status == expected || (path.ends_with("u1") && status == 504),
                "{method} {path}: {status}"
            );
            // A read may end a little earlier: the time to write the answer is kept back.
            assert!(took >= TIMEOUT * 3 / 4 || method == "PUT", "{method} {path}: {took:?}");
            worst = worst.max(took.saturating_sub(TIMEOUT));
        }
    }
    let allowed = LATE_MAX + canary.allowance();
    println!("late by {worst:?} at most; {allowed:?} are allowed here");
    assert!(worst < allowed, "{worst:?} late, {allowed:?} allowed");
    (0..3).for_each(|node| cluster.resume_node(node).unwrap());
    stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_the_body_counts() {
    let api = Api::new().await;
    let (url, stop) = serve(&api, HttpOptions::default()).await;
    for path in ["/v1/features/batch?timeout_ms=50", "/v1/features/load?timeout_ms=50"] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{");
        let (status, took) = timed(&url[7..], head.as_bytes()).await;
        assert_eq!(status, 504, "{path}");
        assert!((Duration::from_millis(50)..SOON).contains(&took), "{path}: {took:?}");
    }
    stop().await;
}

#[tokio::test]
async fn a_load_beyond_its_deadline_says_what_was_written() {
    let api = Api::new().await;
    let endless = futures::stream::iter([Ok::<_, std::io::Error>(format!("{ROW}\n"))]);
    let body = Body::from_stream(futures::StreamExt::chain(endless, futures::stream::pending()));
    let (status, code, message) = api.post("/v1/features/load?timeout_ms=50", body).await.error();
    assert_eq!((status, code.as_str()), (504, "deadline_exceeded"));
    assert_eq!(
        message,
        "the deadline passed; the rows under way may or may not have been written; up to line 1, 1 rows were \
         written and 0 rejected"
    );
    api.clean().await;
}

/// How many reads of entities a node has been asked for.
async fn reads(cluster: &LocalCluster, node: usize) -> u64 {
    let info = cluster.client(node).await.unwrap().call(&["INFO", "commandstats"]).await.unwrap();
    let line = info
        .as_str()
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_hmget:calls="))
        .map(str::to_owned);
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_takes_its_work_with_it() {
    const IN_FLIGHT: usize = 100;
    let cluster = cluster(1, 0).await;
    let limits = StoreOptions {
        shard_commands_in_flight_max: IN_FLIGHT,
        pipeline_commands_max: IN_FLIGHT,
        ..StoreOptions::default()
    };
    let options = HttpOptions { requests_in_flight_max: 1, ..HttpOptions::default() };
    let api = own_api(&cluster, options.clone(), limits).await;
    let (url, stop) = serve(&api, options).await;
    let ids: Vec<String> = (0..20_000).map(|number| format!("u{number}")).collect();
    let body = json!({"ids": ids, "features": ["f"], "timeout_ms": 30_000}).to_string();
    cluster.pause_node(0).unwrap();
    let mut caller = TcpStream::connect(&url[7..]).await.unwrap();
    caller.write_all(&request("POST", "/v1/features/batch", "", &body)).await.unwrap();
    let client = reqwest::Client::new();
    let is_busy = || async {
        let answer = client.get(format!("{url}/v1/cluster")).send().await.unwrap();
        answer.status() == 503
    };
    wait_until("the only place taken", SOON, is_busy).await;
    drop(caller);
    wait_until("the place free again", SOON, || async { !is_busy().await }).await;
    cluster.resume_node(0).unwrap();
    // What was still to come would come before this.
    let one = format!("{url}/v1/features/u1?features=f&timeout_ms=20000");
    assert_eq!(client.get(one).send().await.unwrap().status(), 200);
    let reads = reads(&cluster, 0).await;
    assert!(reads <= IN_FLIGHT as u64 + 1, "{reads}");
    stop().await;
}

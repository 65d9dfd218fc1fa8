//! Answers hold to the types that describe them, and the whole thing works over a socket.

use serde::de::DeserializeOwned;
use serde_json::json;
use slotwise::http::wire::{
    BatchAnswer, ClusterAnswer, EntityAnswer, ReadyAnswer, RowAnswer, RowLine, StatusAnswer,
};
use slotwise::http::{HttpOptions, run};
use slotwise::store::StoreOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::cluster::{SOON, wait_until};
use crate::support::{Answer, Api};

fn read<T: DeserializeOwned>(answer: &Answer) -> T {
    serde_json::from_slice(&answer.bytes).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

#[tokio::test]
async fn answers_are_what_the_description_says() {
    let api = Api::new().await;
    api.fill("u1", &[("a", "1")]).await;
    let body = json!({"ids": ["u1", "u2"], "features": ["a"]}).to_string();
    let batch: BatchAnswer = read(&api.post("/v1/features/batch", body.clone()).await);
    assert_eq!(
        batch.rows.iter().map(|row| row.status).collect::<Vec<_>>(),
        [StatusAnswer::Found, StatusAnswer::Missing]
    );
    let row: RowAnswer = read(&api.get("/v1/features/u1?features=a").await);
    assert_eq!((row.id.as_str(), row.values.len()), ("u1", 1));
    let request = axum::http::Request::post("/v1/features/batch").header("accept", "application/x-ndjson");
    let lines = api.call(request.body(body.into()).unwrap()).await.text();
    let lines: Vec<RowLine> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let entity: EntityAnswer = read(&api.get("/v1/entities/u1").await);
    assert_eq!(entity.fields.len(), 1);
    let cluster: ClusterAnswer = read(&api.get("/v1/cluster").await);
    assert_eq!(cluster.slots_covered, 16_384);
    assert!(read::<ReadyAnswer>(&api.get("/readyz").await).ready);
    api.clean().await;
}

/// The API on a socket of its own; hands back its address, and what stops it.
pub(crate) async fn serve(api: &Api, options: HttpOptions) -> (String, impl AsyncFnOnce()) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let router = api.router.clone();
    let server = tokio::spawn(async move {
        let shutdown = async { stopped.await.unwrap_or_default() };
        run(listener, router, &options, shutdown).await
    });
    let stop = async move || {
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    };
    (url, stop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_refused_unread_still_gets_its_answer_over_a_socket() {
    let options = HttpOptions { load_body_bytes_max: 1_000, ..HttpOptions::default() };
    let api = Api::with(options.clone(), StoreOptions::default()).await;
    let (url, stop) = serve(&api, options).await;
    let client = reqwest::Client::new();
    for path in ["/v1/features/batch", "/v1/features/load"] {
        for _ in 0..3 {
            let sent = client.post(format!("{url}{path}")).body(vec![b'x'; 20 << 20]).send().await;
            assert_eq!(sent.unwrap().status(), 413, "{path}");
        }
    }
    stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_ends_early_is_told_over_a_socket_too() {
    let api = Api::new().await;
    let (url, stop) = serve(&api, HttpOptions::default()).await;
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let head = b"POST /v1/features/load HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n";
    let rows = b"{\"id\":\"a\",\"features\":{\"f\":1}}\n{\"id\":\"b\",\"features\":{\"f\":1}}";
    stream.write_all(&[&head[..], rows].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(
        answer.contains("end of file before message length reached; up to line 1, 1 rows were written"),
        "{answer}"
    );
    assert_eq!(api.store.count_entities().await.unwrap(), 1);
    stop().await;
    api.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_and_a_batch_work_over_a_socket() {
    const ROWS: usize = 20_000;
    let api = Api::new().await;
    let (url, stop) = serve(&api, HttpOptions::default()).await;
    let client = reqwest::Client::new();
    let lines: String =
        (0..ROWS).map(|n| format!("{{\"id\":\"u{n}\",\"features\":{{\"n\":{n}}}}}\n")).collect();
    let answer = client.post(format!("{url}/v1/features/load")).body(lines).send().await.unwrap();
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["written"], ROWS);
    let ids: Vec<String> = (0..1_000).map(|n| format!("u{}", n * 7_919 % ROWS)).collect();
    let body = json!({"ids": ids, "features": ["n"], "timeout_ms": 10_000});
    let answer = client.post(format!("{url}/v1/features/batch")).json(&body).send().await.unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    for (row, id) in answer["rows"].as_array().unwrap().iter().zip(&ids) {
        assert_eq!((row["id"].as_str(), row["values"][0].as_str()), (Some(id.as_str()), Some(&id[1..])));
    }
    assert_eq!(answer["summary"]["found"], 1_000);
    stop().await;
    api.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_answered_when_all_connections_are_taken() {
    let options = HttpOptions { connections_max: 2, ..HttpOptions::default() };
    let api = Api::with(options.clone(), StoreOptions::default()).await;
    let (url, stop) = serve(&api, options).await;
    let held = [TcpStream::connect(&url[7..]).await.unwrap(), TcpStream::connect(&url[7..]).await.unwrap()];
    let client = reqwest::Client::new();
    for _ in 0..100 {
        for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 404), ("/v1/cluster", 503)] {
            let answer = client.get(format!("{url}{path}")).send().await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(answer.headers().contains_key("retry-after"), status == 503);
        }
    }
    drop(held);
    let answers = || async { client.get(format!("{url}/v1/cluster")).send().await.unwrap().status() == 200 };
    wait_until("a place that is free again", SOON, answers).await;
    stop().await;
}

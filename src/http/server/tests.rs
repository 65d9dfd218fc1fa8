//! The server over real sockets, with handlers that wait for the test.

use std::net::SocketAddr;

use axum::routing::get;
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
/// Far more than anything here takes; reached only where a promise is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than the sockets of both sides hold.
const LARGE_BYTES: usize = 64 << 20;

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<Result<(), HttpError>>,
    /// Hears `true` when a request comes in and `false` when its handler ends or is dropped.
    handled: mpsc::Receiver<bool>,
    /// Lets waiting handlers answer.
    go: watch::Sender<bool>,
}

struct OnDrop(mpsc::Sender<bool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.try_send(false);
    }
}

async fn start(options: HttpOptions) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, handled) = mpsc::channel(100);
    let tell_large = tell.clone();
    let (go, wait) = watch::channel(false);
    let handler = move || {
        let (tell, mut wait) = (tell.clone(), wait.clone());
        async move {
            tell.send(true).await.unwrap();
            let _end = OnDrop(tell);
            wait.wait_for(|go| *go).await.unwrap();
            "done"
        }
    };
    let large = {
        let tell = tell_large;
        move || {
            let end = OnDrop(tell.clone());
            let piece = bytes::Bytes::from(vec![b'x'; 1 << 20]);
            let pieces = futures::stream::iter(0..LARGE_BYTES >> 20).map(move |_| {
                let _ = &end;
                Ok::<_, io::Error>(piece.clone())
            });
            std::future::ready(axum::body::Body::from_stream(pieces))
        }
    };
    let is_crowded = |crowded: Option<Extension<Crowded>>| std::future::ready(crowded.is_some().to_string());
    let router =
        Router::new().route("/", get(handler)).route("/large", get(large)).route("/crowded", get(is_crowded));
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        run(listener, router, &options, shutdown).await
    });
    Running { address, stop: Some(stop), server, handled, go }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn request(&mut self) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(REQUEST).await.unwrap();
        assert_eq!(self.next_handled().await, Some(true));
        stream
    }

    async fn next_handled(&mut self) -> Option<bool> {
        timeout(PATIENCE, self.handled.recv()).await.unwrap()
    }

    fn shut_down(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    async fn ended(self) {
        timeout(PATIENCE, self.server).await.unwrap().unwrap().unwrap();
    }
}

/// Everything that comes until the connection ends.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A connection that is cut off may end in a reset.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut text)).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// A grace period that no test is to wait for.
fn patient() -> HttpOptions {
    HttpOptions { shutdown_grace: 10 * PATIENCE, ..HttpOptions::default() }
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_its_request() {
    let mut running = start(patient()).await;
    let stream = running.request().await;
    drop(stream);
    assert_eq!(running.next_handled().await, Some(false), "the handler was never allowed to go on");
}

#[tokio::test]
async fn requests_in_flight_are_finished_after_a_shutdown_began() {
    let mut running = start(patient()).await;
    let stream = running.request().await;
    running.shut_down();
    let address = running.address;
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("no new connections");
    assert!(!running.server.is_finished());
    running.go.send(true).unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("done"), "{answer}");
    running.ended().await;
}

#[tokio::test]
async fn connections_that_are_open_and_idle_do_not_hold_a_shutdown_up() {
    let mut running = start(patient()).await;
    running.go.send(true).unwrap();
    let unused = running.connect().await;
    let mut kept = running.request().await;
    let mut answer = [0; 15];
    kept.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    running.shut_down();
    running.ended().await;
    drop((unused, kept));
}

#[tokio::test]
async fn what_is_not_finished_within_the_grace_period_is_cut_off() {
    let grace = HttpOptions { shutdown_grace: Duration::from_millis(50), ..HttpOptions::default() };
    let mut running = start(grace).await;
    let stream = running.request().await;
    running.shut_down();
    assert_eq!(running.next_handled().await, Some(false));
    running.ended().await;
    assert_eq!(rest(stream).await, "");
}

#[tokio::test]
async fn a_client_that_never_ends_its_header_is_cut_off() {
    let options = HttpOptions { header_read_timeout: Duration::from_millis(50), ..patient() };
    let running = start(options).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    rest(stream).await;
    drop(running);
}

#[tokio::test]
async fn a_connection_beyond_all_limits_waits_for_a_place() {
    let options = HttpOptions { connections_max: 1, health_connections_max: 0, ..patient() };
    let mut running = start(options).await;
    let first = running.request().await;
    let mut second = running.connect().await;
    second.write_all(REQUEST).await.unwrap();
    // The first one ends before the second is even looked at.
    drop(first);
    assert_eq!(running.next_handled().await, Some(false));
    assert_eq!(running.next_handled().await, Some(true));
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_answered_once_and_told_apart() {
    let options = HttpOptions { connections_max: 1, health_connections_max: 1, ..patient() };
    let mut running = start(options).await;
    let _first = running.request().await;
    for _ in 0..3 {
        let mut more = running.connect().await;
        more.write_all(b"GET /crowded HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let answer = rest(more).await;
        assert!(answer.contains("connection: close") && answer.ends_with("true"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_beyond_its_limits_is_refused() {
    let options = HttpOptions { headers_max: 4, header_bytes_max: 10_000, ..patient() };
    let running = start(options).await;
    for header in ["a: 1\r\n".repeat(5), format!("a: {}\r\n", "1".repeat(10_000))] {
        let mut stream = running.connect().await;
        stream.write_all(format!("GET / HTTP/1.1\r\n{header}\r\n").as_bytes()).await.unwrap();
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_never_reads_its_answer_is_cut_off() {
    let options = HttpOptions { write_timeout: Duration::from_millis(50), ..patient() };
    let mut running = start(options).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(running.next_handled().await, Some(false), "its answer is dropped");
    assert!(rest(stream).await.len() < LARGE_BYTES);
}

//! How a server stops: it says so, finishes what it has begun, and takes nothing new.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use slotwise::devcluster::LocalCluster;
use tempfile::TempDir;

use crate::program::{Background, Ran, get, post_batch, slotwise};
use crate::support::{SOON, cluster, report_row, wait_until};

/// A server over a cluster of its own, whose nodes can be stopped.
struct Scene {
    cluster: LocalCluster,
    server: Background,
    address: String,
    _home: TempDir,
}

impl Scene {
    async fn start(drain_ms: u64) -> Self {
        let (cluster, home) = (cluster(1, 0).await, tempfile::tempdir().unwrap());
        let config = home.path().join("slotwise.toml");
        std::fs::write(&config, format!("[http]\nshutdown_drain_ms = {drain_ms}\n")).unwrap();
        let args = ["serve", "--listen", "127.0.0.1:0", "--redis-url", &cluster.urls()];
        let mut server = Background::start(slotwise(args).arg("--config").arg(&config));
        let address = server.told("listens on http://").await;
        Self { cluster, server, address, _home: home }
    }

    /// A batch that waits for the cluster.
    async fn slow_request(&self) -> tokio::task::JoinHandle<(u16, serde_json::Value)> {
        self.cluster.pause_node(0).unwrap();
        let address = self.address.clone();
        let request = tokio::spawn(async move {
            let body = json!({"ids": ["u1", "u2"], "features": ["f"], "timeout_ms": 20_000});
            post_batch(&address, &body).await
        });
        let port = self.address.rsplit(':').next().unwrap().parse().unwrap();
        wait_until("the request at the server", SOON, || async { connections_to(port) > 0 }).await;
        request
    }

    async fn readiness(&self) -> (u16, serde_json::Value) {
        get(&format!("http://{}/readyz", self.address)).await
    }

    async fn refuses(&self) {
        let refused = || async { TcpStream::connect(&self.address).is_err() };
        wait_until("no connection is accepted", SOON, refused).await;
    }

    async fn ended(self) -> Ran {
        self.server.ended().await
    }
}

/// Established connections whose server has this port, as the kernel lists them.
fn connections_to(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.filter(|line| line[1].ends_with(&format!(":{port:04X}")) && line[3] == ESTABLISHED).count()
}

#[tokio::test]
async fn a_request_under_way_is_finished_and_meanwhile_the_server_says_that_it_stops() {
    let scene = Scene::start(1_500).await;
    let client = reqwest::Client::new();
    assert_eq!(scene.readiness().await.0, 200);
    let slow = scene.slow_request().await;
    scene.server.send(Signal::SIGTERM);
    let stops = (503, json!({"ready": false, "problems": ["shutting down"]}));
    wait_until("it is no longer ready", SOON, || async { scene.readiness().await == stops }).await;
    let answer = client.get(format!("http://{}/healthz", scene.address)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["connection"]), (200, &"close".parse().unwrap()));
    scene.refuses().await;
    assert!(!slow.is_finished());
    scene.cluster.resume_node(0).unwrap();
    let (status, answer) = slow.await.unwrap();
    assert_eq!((status, &answer["summary"]["missing"]), (200, &json!(2)), "{answer}");
    let ran = scene.ended().await.exits(0);
    assert!(ran.err.ends_with("stopped\n"), "{}", ran.err);
    report_row(
        "| 9 | SIGTERM with a batch under way | lanes | 1 | 2 | 2 | 0 | 0 | – | – | the batch was finished, `/readyz` said 503 \
         meanwhile, nothing new was taken, exit status 0 |",
    );
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    // While it drains, and while it waits for a request.
    for drain_ms in [600_000, 0] {
        let scene = Scene::start(drain_ms).await;
        let slow = scene.slow_request().await;
        scene.server.send(Signal::SIGTERM);
        match drain_ms {
            0 => scene.refuses().await,
            _ => wait_until("it drains", SOON, || async { scene.readiness().await.0 == 503 }).await,
        }
        assert!(!slow.is_finished());
        let begun = Instant::now();
        scene.server.send(Signal::SIGTERM);
        let ran = scene.ended().await.exits(1);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(ran.err.contains("a second signal"), "{}", ran.err);
        assert!(slow.await.is_err(), "it was cut off");
    }
}

#[tokio::test]
async fn ctrl_c_drains_nothing() {
    let scene = Scene::start(600_000).await;
    scene.server.send(Signal::SIGINT);
    scene.ended().await.exits(0);
}

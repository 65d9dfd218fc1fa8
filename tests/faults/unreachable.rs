//! Addresses that lead to no cluster: one line that says which and why, in under five seconds.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use slotwise::FeatureStore;
use slotwise::shard::RedisSettings;
use slotwise::shard::node::{NodeClient, NodeOptions};
use slotwise::slot::NodeAddr;

use crate::support::features::{kind, options};
use crate::support::{SOON, free_first_port, server, wait_until};

/// Connects, and brings the error's text; it has come in time and in one line.
async fn refused(addresses: &[String]) -> String {
    let settings = RedisSettings::from_urls(addresses).unwrap();
    let begun = Instant::now();
    let connecting = Box::pin(FeatureStore::connect(settings, vec![kind("p:")], options()));
    let text = connecting.await.unwrap_err().to_string();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(text.lines().count(), 1, "{text}");
    for address in addresses {
        assert!(text.contains(address.as_str()), "{text}");
    }
    text
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_named() {
    let port = free_first_port();
    let text = refused(&[format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", port + 1)]).await;
    assert!(text.to_lowercase().contains("refused"), "{text}");
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_named() {
    refused(&["no-such-host.invalid:6379".to_owned()]).await;
}

#[tokio::test]
async fn an_address_that_accepts_and_never_answers_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = [listener.local_addr().unwrap().to_string()];
    let accepting = async {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
        }
    };
    tokio::select! {
        text = refused(&address) => assert!(!text.is_empty()),
        () = accepting => {}
    }
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_named() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = [listener.local_addr().unwrap().to_string()];
    let answering = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    };
    tokio::select! {
        text = refused(&address) => assert!(!text.is_empty()),
        () = answering => {}
    }
}

/// A server of its own, killed at the end.
struct Alone(Child);

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_server_that_is_no_cluster_is_said_to_be_none() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_first_port());
    let mut command = Command::new(server().await.path());
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(dir.path());
    let _alone = Alone(command.stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap());
    let addr = NodeAddr::new("127.0.0.1", port);
    let answers = || async { NodeClient::connect(&addr, &NodeOptions::default()).await.is_ok() };
    wait_until("the server answers", SOON, answers).await;
    let text = refused(&[addr.to_string()]).await;
    assert!(text.to_lowercase().contains("cluster support disabled"), "{text}");
}

//! What can't be is said plainly, and nothing is half started.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use slotwise::devcluster::{ClusterSpec, DevClusterError, LocalCluster, ServerBinary};

use crate::run;
use crate::support::certs::Certs;
use crate::support::{self, free_first_port, processes_in, server};

#[tokio::test]
async fn a_taken_port_is_named_and_nothing_is_started() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("cluster");
    for offset in [1, 10_002] {
        let first = free_first_port();
        let taken = TcpListener::bind(("127.0.0.1", first + offset)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let spec = ClusterSpec {
            first_port: Some(first),
            dir: Some(dir.clone()),
            ..ClusterSpec::new(server().await, 3)
        };
        let error = LocalCluster::start(spec).await.unwrap_err().to_string();
        assert!(error.contains(&format!("port {port} ")) && error.contains("already taken"), "{error}");
        assert!(!dir.exists());
    }
}

#[tokio::test]
async fn a_server_without_tls_is_named_where_tls_is_asked_for_and_the_way_on_is_told() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/devcluster/server_without_tls.sh");
    let without = ServerBinary::at(&path).await.unwrap();
    assert!(!without.has_tls().await);
    assert!(server().await.has_tls().await, "the tests need a server with TLS: run `make redis`");
    let certs = Certs::new();
    let spec = ClusterSpec { tls: Some(certs.of_nodes(false)), ..ClusterSpec::new(without, 3) };
    let error = LocalCluster::start(spec).await.unwrap_err().to_string();
    assert!(
        error.contains("server_without_tls.sh was built without TLS") && error.contains("make redis"),
        "{error}"
    );
}

#[tokio::test]
async fn a_folder_that_can_not_be_written_is_named_and_nothing_is_left() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a-file");
    std::fs::write(&file, "kept").unwrap();
    let below_a_file = file.join("cluster");
    for dir in [below_a_file, PathBuf::from("/proc/cluster")] {
        let spec = ClusterSpec { dir: Some(dir.clone()), ..ClusterSpec::new(server().await, 3) };
        let error = LocalCluster::start(spec).await.unwrap_err().to_string();
        assert!(error.starts_with(dir.to_str().unwrap()), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
}

#[tokio::test]
async fn a_folder_of_somebody_else_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let port = free_first_port();
    let theirs = home.path().join(format!("node-{}", port + 1));
    std::fs::create_dir(&theirs).unwrap();
    std::fs::write(theirs.join("theirs"), "kept").unwrap();
    let spec = ClusterSpec {
        first_port: Some(port),
        dir: Some(home.path().to_owned()),
        ..ClusterSpec::new(server().await, 2)
    };
    let error = LocalCluster::start(spec).await.unwrap_err().to_string();
    assert!(error.contains("already exists") && error.contains(&format!("node-{}", port + 1)), "{error}");
    assert_eq!(std::fs::read_to_string(theirs.join("theirs")).unwrap(), "kept");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_server_that_dies_while_starting_shows_the_end_of_its_log() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("cluster");
    let mut spec = ClusterSpec { dir: Some(dir.clone()), ..ClusterSpec::new(server().await, 2) };
    spec.extra_config.push(("maxmemory".to_owned(), "a-lot".to_owned()));
    let error = LocalCluster::start(spec).await.unwrap_err();
    assert!(matches!(error, DevClusterError::ServerDied { .. }), "{error}");
    assert!(error.to_string().contains("maxmemory a-lot"), "{error}");
    assert!(processes_in(&dir).is_empty() && !dir.exists());
}

/// A program that answers `--version` like a server. Written by another process: a descriptor that is open for
/// writing here could be inherited by a server that starts meanwhile, and then the program could not be run.
fn pretend_server(path: &Path, version: &str) {
    let text = format!("#!/bin/sh\necho '{version}'\n");
    let write = r#"printf '%s' "$1" >"$2" && chmod +x "$2""#;
    assert!(Command::new("sh").args(["-c", write, "sh", &text]).arg(path).status().unwrap().success());
}

#[tokio::test]
async fn a_server_too_old_is_refused_with_its_version_and_the_one_needed() {
    let home = tempfile::tempdir().unwrap();
    let old = home.path().join("redis-server");
    pretend_server(&old, "Redis server v=7.0.15 sha=00000000:0 malloc=libc bits=64 build=0");
    let by_path = ServerBinary::at(&old).await.unwrap_err().to_string();
    let by_folder = ServerBinary::at(home.path()).await.unwrap_err().to_string();
    for said in [by_path, by_folder] {
        assert!(said.contains("Redis 7.0.15, too old") && said.contains("needed: Redis 7.4"), "{said}");
    }
    let dir = home.path().join("cluster");
    let (code, out, err) = run(support::slotwise()
        .env("SLOTWISE_REDIS_SERVER", &old)
        .args(["cluster", "up", "--dir"])
        .arg(&dir));
    assert_eq!((code, out.as_str(), err.lines().count()), (1, "", 1), "{err}");
    assert!(err.contains("SLOTWISE_REDIS_SERVER") && err.contains("Redis 7.0.15, too old"), "{err}");
    assert!(!dir.exists());
}

#[test]
fn the_folder_is_one_per_first_port_where_none_is_given() {
    let home = tempfile::tempdir().unwrap();
    let (code, out, err) = run(support::slotwise()
        .env("SLOTWISE_CACHE_DIR", home.path())
        .args(["cluster", "status", "--port", "7205"]));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains(&format!("no cluster in {}/clusters/7205", home.path().display())), "{err}");
}

#[test]
fn wrong_usage_is_exit_status_2() {
    for args in [&["cluster"][..], &["cluster", "up", "--shards", "0"], &["cluster", "up", "--port", "x"]] {
        let (code, out, err) = run(support::slotwise().args(args));
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
    }
    let (code, out, _) = run(support::slotwise().args(["cluster", "up", "--help"]));
    assert_eq!(code, 0);
    assert!(out.contains("Examples:"), "{out}");
}

//! Clusters that outlive the command: up, status, down.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use slotwise::devcluster::{ClusterSpec, down, status};

use crate::support::{self, SOON, free_first_port, processes_in, server, start, wait_until};
use crate::{run, send};

fn cluster_command(what: &str, dir: &Path, more: &[&str]) -> (i32, String, String) {
    run(support::slotwise().args(["cluster", what, "--dir"]).arg(dir).args(more))
}

/// Stops a detached cluster even if the test fails before it does.
struct DownAtEnd(PathBuf);

impl Drop for DownAtEnd {
    fn drop(&mut self) {
        let _ = cluster_command("down", &self.0, &[]);
    }
}

#[tokio::test]
async fn up_status_and_down_go_round() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().canonicalize().unwrap().join("cluster");
    let port = free_first_port();
    let shape = ["--shards", "2", "--replicas", "1", "--port", &port.to_string()];
    let _cleanup = DownAtEnd(dir.clone());

    let (code, _, err) = cluster_command("status", &dir, &[]);
    assert_eq!(code, 1);
    assert!(err.contains("no cluster in"), "{err}");

    let (code, urls, err) = cluster_command("up", &dir, &shape);
    assert_eq!(code, 0, "{err}");
    let expected: Vec<String> = (port..port + 4).map(|port| format!("redis://127.0.0.1:{port}")).collect();
    assert_eq!(urls.trim_end(), expected.join(","));
    assert_eq!(processes_in(&dir).len(), 4);

    let (code, out, _) = cluster_command("status", &dir, &[]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(out.matches("  8192  ").count(), 2, "{out}");
    assert_eq!(out.matches(" replica ").count(), 2, "{out}");
    assert!(out.contains("\nok: every node agrees"), "{out}");

    // A second `up` finds what it asks for; another shape is not what runs.
    let (code, again, err) = cluster_command("up", &dir, &shape);
    assert_eq!((code, again), (0, urls));
    assert!(err.contains("already up"), "{err}");
    let (code, out, err) = cluster_command("up", &dir, &["--shards", "3", "--port", &port.to_string()]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("2 shards with 1 replica each") && err.contains("already up"), "{err}");

    let (code, _, err) = cluster_command("down", &dir, &[]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("4 stopped, 0 killed"), "{err}");
    assert!(processes_in(&dir).is_empty() && !dir.exists());
    let (code, _, err) = cluster_command("down", &dir, &[]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("nothing to stop"), "{err}");
}

/// A detached cluster in `dir`, started from this process.
async fn detached(dir: &Path, shards: usize) -> Vec<u32> {
    let spec = ClusterSpec { dir: Some(dir.to_owned()), ..ClusterSpec::new(server().await, shards) };
    let state = start(spec).await.detach().unwrap();
    state.nodes.iter().map(|node| node.pid).collect()
}

#[tokio::test]
async fn a_node_that_is_gone_or_hangs_is_reported_and_down_ends_all() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().canonicalize().unwrap().join("cluster");
    let _cleanup = DownAtEnd(dir.clone());
    let pids = detached(&dir, 3).await;
    let ok = status(&dir).await.unwrap();
    assert_eq!(ok.degraded, None);
    assert_eq!(ok.nodes.iter().map(|node| node.slots).sum::<usize>(), 16_384);

    send(pids[0], Signal::SIGKILL);
    wait_until("the end of the killed node", SOON, || async { processes_in(&dir).len() == 2 }).await;
    let degraded = status(&dir).await.unwrap();
    assert!(!degraded.nodes[0].alive && degraded.nodes[1].alive);
    assert!(degraded.degraded.unwrap().contains("is gone"));
    let (code, out, _) = cluster_command("status", &dir, &[]);
    assert_eq!(code, 1);
    assert!(out.contains("degraded: "), "{out}");
    let port = degraded.nodes[0].addr.port.to_string();
    let (code, _, err) = cluster_command("up", &dir, &["--port", &port]);
    assert_eq!(code, 1);
    assert!(err.contains("already up") && err.contains("degraded"), "{err}");

    send(pids[1], Signal::SIGSTOP);
    let done = down(&dir).await.unwrap().unwrap();
    assert_eq!((done.stopped, done.killed, done.gone), (1, 1, 1));
    assert!(processes_in(&dir).is_empty() && !dir.exists());
}

#[tokio::test]
async fn the_remains_of_a_crash_are_cleared_away_by_the_next_up() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().canonicalize().unwrap().join("cluster");
    let _cleanup = DownAtEnd(dir.clone());
    for pid in detached(&dir, 1).await {
        send(pid, Signal::SIGKILL);
    }
    wait_until("the end of the killed node", SOON, || async { processes_in(&dir).is_empty() }).await;
    std::fs::write(dir.join("theirs"), "kept").unwrap();
    let port = free_first_port().to_string();
    let (code, _, err) = cluster_command("up", &dir, &["--shards", "1", "--port", &port]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("no longer runs"), "{err}");
    assert_eq!(cluster_command("status", &dir, &[]).0, 0);
    assert_eq!(cluster_command("down", &dir, &[]).0, 0);
    // What is not ours stays, and so does the folder it is in.
    let kept: Vec<_> = std::fs::read_dir(&dir).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(kept, ["theirs"]);
}

#[tokio::test]
async fn down_never_touches_a_process_that_got_the_number_of_a_dead_server() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().canonicalize().unwrap().join("cluster");
    let _cleanup = DownAtEnd(dir.clone());
    let pids = detached(&dir, 1).await;
    send(pids[0], Signal::SIGKILL);
    wait_until("the end of the killed node", SOON, || async { processes_in(&dir).is_empty() }).await;
    let mut bystander = Command::new("sleep").arg("600").spawn().unwrap();
    let file = dir.join("cluster.json");
    let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    state["nodes"][0]["pid"] = bystander.id().into();
    std::fs::write(&file, state.to_string()).unwrap();

    let done = down(&dir).await.unwrap().unwrap();
    assert_eq!((done.stopped, done.killed, done.gone), (0, 0, 1));
    assert!(bystander.try_wait().unwrap().is_none(), "the bystander was killed");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

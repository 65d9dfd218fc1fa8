//! Nothing is left behind: no process, no file, however the owner goes.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use slotwise::devcluster::{ClusterSpec, LocalCluster};

use crate::send;
use crate::support::{
    self, SOON, cluster, free_first_port, guard_runs, processes_in, server, shared_cluster, wait_until,
    wait_until_nothing_is_left,
};

#[tokio::test]
async fn nothing_is_left_after_a_drop() {
    let cluster = cluster(3, 1).await;
    let (dir, guard) = (cluster.dir().to_owned(), cluster.guard_pid());
    assert_eq!(processes_in(&dir).len(), 6);
    assert!(guard_runs(guard));
    drop(cluster);
    // At once: dropping waits for the ends.
    assert_eq!(processes_in(&dir), Vec::<u32>::new());
    assert!(!dir.exists() && !guard_runs(guard));
}

#[tokio::test]
async fn nothing_is_left_after_a_stop_with_a_node_paused() {
    let cluster = cluster(2, 0).await;
    let dir = cluster.dir().to_owned();
    cluster.pause_node(0).unwrap();
    cluster.stop().await.unwrap();
    assert!(processes_in(&dir).is_empty() && !dir.exists());
}

#[tokio::test]
async fn nothing_is_left_after_a_panic_in_a_thread() {
    let (told, dir) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let cluster = runtime.block_on(cluster(1, 0));
        told.send(cluster.dir().to_owned()).unwrap();
        panic!("this panic is part of the test");
    });
    assert!(thread.join().is_err());
    let dir: PathBuf = dir.recv().unwrap();
    assert!(processes_in(&dir).is_empty() && !dir.exists());
}

#[tokio::test]
async fn nothing_is_left_of_a_start_that_is_given_up_half_way() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().canonicalize().unwrap().join("given-up");
    let spec = ClusterSpec { dir: Some(dir.clone()), ..ClusterSpec::new(server().await, 3) };
    let running = || async { processes_in(&dir).len() == 3 };
    tokio::select! {
        biased;
        () = wait_until("three servers", SOON, running) => {}
        _ = LocalCluster::start(spec) => panic!("the start was over before it could be given up"),
    }
    assert!(processes_in(&dir).is_empty() && !dir.exists());
}

/// Runs this test again in a process of its own, which owns a cluster and may be killed.
fn owner_process(test: &str, report: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("SLOTWISE_TEST_REPORT", report)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// In the owner's process: where to report to.
fn report_path() -> Option<PathBuf> {
    std::env::var_os("SLOTWISE_TEST_REPORT").map(PathBuf::from)
}

/// In the owner's process: tells the folder and the guard of its cluster.
fn report(path: &Path, cluster: &LocalCluster) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, format!("{}\n{}", cluster.guard_pid(), cluster.dir().display())).unwrap();
    std::fs::rename(draft, path).unwrap();
}

async fn read_report(path: &Path) -> (PathBuf, u32) {
    wait_until("the owner's report", SOON, || async { path.exists() }).await;
    let text = std::fs::read_to_string(path).unwrap();
    let (guard, dir) = text.split_once('\n').unwrap();
    (PathBuf::from(dir), guard.parse().unwrap())
}

async fn nothing_is_left_after(signal: Signal, test: &str) {
    if let Some(path) = report_path() {
        report(&path, shared_cluster().await);
        // The test ends this process.
        return std::future::pending().await;
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("report");
    let mut owner = owner_process(test, &path);
    let (dir, guard) = read_report(&path).await;
    assert_eq!(processes_in(&dir).len(), 3);
    send(owner.id(), signal);
    assert_eq!(owner.wait().unwrap().signal(), Some(signal as i32));
    wait_until_nothing_is_left(&dir).await;
    wait_until("the guard's end", SOON, || async { !guard_runs(guard) }).await;
}

#[tokio::test]
async fn nothing_is_left_after_the_owner_is_killed() {
    nothing_is_left_after(Signal::SIGKILL, "left_behind::nothing_is_left_after_the_owner_is_killed").await;
}

#[tokio::test]
async fn nothing_is_left_after_the_owner_is_interrupted() {
    nothing_is_left_after(Signal::SIGINT, "left_behind::nothing_is_left_after_the_owner_is_interrupted")
        .await;
}

#[tokio::test]
async fn nothing_is_left_of_a_shared_cluster_after_the_tests_end() {
    if let Some(path) = report_path() {
        return report(&path, shared_cluster().await);
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("report");
    let mut owner =
        owner_process("left_behind::nothing_is_left_of_a_shared_cluster_after_the_tests_end", &path);
    assert!(owner.wait().unwrap().success());
    let (dir, guard) = read_report(&path).await;
    wait_until_nothing_is_left(&dir).await;
    wait_until("the guard's end", SOON, || async { !guard_runs(guard) }).await;
}

#[tokio::test]
async fn nothing_is_left_after_ctrl_c_in_the_middle_of_up() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().canonicalize().unwrap().join("a folder").join("in a folder");
        let port = free_first_port().to_string();
        let mut up = support::slotwise()
            .args(["cluster", "up", "--shards", "4", "--port", &port, "--dir"])
            .arg(&dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("four servers", SOON, || async { processes_in(&dir).len() == 4 }).await;
        send(up.id(), signal);
        let ended = up.wait().unwrap();
        match signal {
            Signal::SIGKILL => assert_eq!(ended.signal(), Some(9)),
            _ => assert_eq!(ended.code(), Some(1)),
        }
        wait_until_nothing_is_left(&dir).await;
        // Nor the folders made on the way.
        wait_until("an empty home", SOON, || async { std::fs::read_dir(home.path()).unwrap().count() == 0 })
            .await;
    }
}

//! `slotwise batch` with limits, wrong usage, and a shard that does not answer.

use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use crate::program::{Background, on_cluster, run, run_with, slotwise};
use crate::redis::redis;
use crate::support::{SOON, cluster, shared_cluster, unique_prefix, wait_until};

#[tokio::test]
async fn what_is_wrong_about_a_batch_shows_before_there_is_an_output_file() {
    let prefix = unique_prefix();
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let ids = path("ids.txt");
    std::fs::write(&ids, "u1\n").unwrap();
    let folder = home.path().to_str().unwrap();
    let long = "x".repeat(1025);
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--ids", &ids], 2, "--features"),
        (&["--features", "a"], 2, "--ids"),
        (&["--ids", &ids, "--features", ""], 2, "feature 1: a feature name is empty"),
        (&["--ids", &ids, "--features", "a,,b"], 2, "feature 2: a feature name is empty"),
        (&["--ids", &ids, "--features", &long], 2, "1025 bytes, the limit is 1024"),
        (&["--ids", &ids, "--features", "a,b,a"], 2, "features: \"a\" is given twice"),
        (&["--ids", &ids, "--features", "a", "--feature", "a"], 2, "features: \"a\" is given twice"),
        (&["--ids", &ids, "--features", "a", "--format", "xml"], 2, "known are"),
        (&["--ids", &ids, "--features", "a", "--ids-format", "csv"], 2, "known are lines and json"),
        (&["--ids", &ids, "--features", "a", "--batch-size", "0"], 2, "--batch-size"),
        (&["--ids", &ids, "--features", "a", "--batch-size", "100001"], 2, "more than the limit of 100000"),
        (&["--ids", &ids, "--features", "a", "--timeout-ms", "0"], 2, "--timeout-ms"),
        (&["--ids", &ids, "--features", "a", "--timeout-ms", "30001"], 2, "not between 1 and 30000"),
        (&["--ids", &path("absent"), "--features", "a"], 1, "absent: No such file"),
        (&["--ids", folder, "--features", "a"], 1, "is a directory"),
    ];
    for (args, code, says) in cases {
        let args = ["batch"].iter().chain(*args).copied();
        let mut command = on_cluster(&prefix, args).await;
        let ran = run(command.args(["--output", &path("rows")])).exits(*code);
        assert_eq!(ran.out, "");
        ran.says(&[says]);
        assert!(!ran.err.contains("stopped after"), "{}", ran.err);
    }
    for (output, code, says) in [(folder, 2, "is a folder"), (&path("no/where"), 1, "no/where.partial")] {
        let batch = ["batch", "--ids", &ids, "--features", "a", "--output", output];
        run(&mut on_cluster(&prefix, batch).await).exits(code).says_in_one_line(&[says]);
    }
    let partial = path("rows.partial");
    std::fs::write(&partial, "u1\n").unwrap();
    let batch = ["batch", "--ids", &partial, "--features", "a", "--output", &path("rows")];
    run(&mut on_cluster(&prefix, batch).await).exits(2).says_in_one_line(&["is the list of ids"]);
    assert_eq!(std::fs::read_to_string(&partial).unwrap(), "u1\n");
}

#[tokio::test]
async fn a_batch_keeps_to_the_limits_of_the_config_without_being_told() {
    let prefix = unique_prefix();
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        config.path(),
        "[read]\nbatch_ids_max = 7\nbatch_cells_max = 10\nrequest_timeout_max_ms = 3000\n",
    )
    .unwrap();
    let list: String = (0..100).map(|number| format!("u{number}\n")).collect();
    let args = ["batch", "--ids", "-", "--features", "a,b,c", "--config", config.path().to_str().unwrap()];
    let ran = run_with(&mut on_cluster(&prefix, args).await, list.as_bytes()).exits(0);
    assert_eq!(ran.ndjson().len(), 100);
    let mut command = on_cluster(&prefix, args).await;
    let ran = run_with(command.args(["--batch-size", "4"]), list.as_bytes()).exits(2);
    ran.says_in_one_line(&["--batch-size: with 3 features at most 3 fit"]);
}

#[tokio::test]
async fn an_empty_list_is_no_rows() {
    let prefix = unique_prefix();
    let args = ["batch", "--ids", "-", "--features", "a"];
    assert_eq!(run_with(&mut on_cluster(&prefix, args).await, b"").exits(0).out, "");
    let mut csv = on_cluster(&prefix, args).await;
    assert_eq!(run_with(csv.args(["--format", "csv"]), b"").exits(0).out, "id,status,a\n");
}

#[tokio::test]
async fn a_key_that_is_no_hash_is_unavailable_and_says_why() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    redis(cluster, &["SET", &format!("{prefix}text"), "no hash"]).await;
    let args = ["batch", "--ids", "-", "--features", "a"];
    let ran = run_with(&mut on_cluster(&prefix, args).await, b"text\nu1\n").exits(3);
    ran.says(&["0 found, 0 partial, 1 missing, 1 unavailable"]);
    let why = "refused by the server: WRONGTYPE Operation against a key holding the wrong kind of value";
    let expected = [
        json!({"id": "text", "status": "unavailable", "features": {"a": null}, "error": why}),
        json!({"id": "u1", "status": "missing", "features": {"a": null}}),
    ];
    assert_eq!(ran.ndjson(), expected);
}

#[tokio::test]
async fn a_paused_shard_makes_its_rows_unavailable_and_only_those() {
    let cluster = cluster(3, 0).await;
    let home = tempfile::tempdir().unwrap();
    let output = home.path().join("rows");
    run(&mut slotwise(["load", "--synthetic", "300", "--redis-url", &cluster.urls()])).exits(0);
    let args = ["batch", "--ids", "-", "--features", "risk_segment", "--timeout-ms", "800", "--output"];
    let mut command = slotwise(args);
    command.arg(&output).args(["--redis-url", &cluster.urls()]).stdin(Stdio::piped());
    let mut batch = Background::start(&mut command);
    // It is connected once there is a file.
    let begun = || async { home.path().join("rows.partial").exists() };
    wait_until("the output file", SOON, begun).await;
    cluster.pause_node(1).unwrap();
    let mut ids = batch.stdin();
    (1..=300).for_each(|number| writeln!(ids, "u{number:04}").unwrap());
    drop(ids);
    batch.ended().await.exits(3).says(&["300 rows:", " unavailable; 3 shards"]);
    cluster.resume_node(1).unwrap();
    let text = std::fs::read_to_string(&output).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 300);
    for (row, number) in rows.iter().zip(1..) {
        let id = format!("u{number:04}");
        let slot = redis(&cluster, &["CLUSTER", "KEYSLOT", &format!("fs:user:{id}")]).await;
        let paused = (5461..=10_921).contains(&slot.parse::<u16>().unwrap());
        assert_eq!(row["id"], json!(id));
        assert_eq!(row["status"], json!(if paused { "unavailable" } else { "found" }), "{row}");
        assert_eq!(
            row["error"].as_str().is_some_and(|why| why.contains("deadline exceeded")),
            paused,
            "{row}"
        );
    }
}

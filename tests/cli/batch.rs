//! `slotwise batch`: every id a row, in order, with the values that Redis holds.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use arrow_array::cast::AsArray;
use arrow_ipc::reader::StreamReader;
use serde_json::{Value, json};

use crate::program::{Background, on_cluster, run, run_with, slotwise};
use crate::redis::{Features, hash, redis, users};
use crate::support::{SOON, shared_cluster, unique_prefix, wait_until};

const USERS: usize = 20_000;
const FEATURES: [&str; 3] = ["risk_segment", "avg_amount_30d", "absent"];

/// All users, 1 % of ids that nobody has, and some that come again, shuffled; each with what is expected.
fn shuffled() -> Vec<(String, Option<Features>)> {
    let users = users(USERS as u64).into_iter().map(|(id, features)| (id, Some(features)));
    let mut ids: Vec<_> = users.collect();
    ids.extend_from_within(500..800);
    ids.extend((0..USERS / 100).map(|number| (format!("nobody {number}"), None)));
    // 7919 is prime and divides no such count: every place is met once.
    assert!(!ids.len().is_multiple_of(7919));
    (0..ids.len()).map(|place| ids[(place * 7919 + 13) % ids.len()].clone()).collect()
}

/// Cells of a row, as [`FEATURES`] asks for them.
fn cells(features: Option<&Features>) -> Vec<Option<&str>> {
    FEATURES.iter().map(|name| features?.get(*name).map(String::as_str)).collect()
}

fn status(features: Option<&Features>) -> &'static str {
    if features.is_some() { "partial" } else { "missing" }
}

#[tokio::test]
async fn every_id_of_a_shuffled_list_is_a_row_in_order_with_the_values_of_redis() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    run(&mut on_cluster(&prefix, ["load", "--synthetic", &USERS.to_string()]).await).exits(0);
    let ids = shuffled();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ids.txt").to_str().unwrap().to_owned();
    let list: String = ids.iter().map(|(id, _)| format!("{id}\n")).collect();
    std::fs::write(&file, list).unwrap();
    let features = FEATURES.join(",");
    let batch = ["batch", "--ids", &file, "--features", &features, "--batch-size", "3000"];

    let ndjson = run(&mut on_cluster(&prefix, batch).await).exits(0);
    ndjson.says(&["20500 rows: 0 found, 20300 partial, 200 missing, 0 unavailable; 3 shards"]);
    let rows = ndjson.ndjson();
    assert_eq!(rows.len(), ids.len());
    for (row, (id, user)) in rows.iter().zip(&ids) {
        let named: serde_json::Map<_, _> = FEATURES
            .iter()
            .zip(cells(user.as_ref()))
            .map(|(name, cell)| ((*name).into(), json!(cell)))
            .collect();
        assert_eq!(*row, json!({"id": id, "status": status(user.as_ref()), "features": named}));
    }
    for (row, (id, _)) in rows.iter().zip(&ids).step_by(997) {
        let held = hash(cluster, &format!("{prefix}{id}")).await;
        for name in FEATURES {
            assert_eq!(row["features"][name].as_str(), held.get(name).map(String::as_str), "{id}");
        }
    }

    let csv = run(on_cluster(&prefix, batch).await.args(["--format", "csv"])).exits(0);
    let mut reader = csv::Reader::from_reader(csv.out.as_bytes());
    assert_eq!(
        reader.headers().unwrap(),
        ["id", "status", "risk_segment", "avg_amount_30d", "absent"].as_slice()
    );
    let records: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), ids.len());
    for (record, (id, user)) in records.iter().zip(&ids) {
        let cells = cells(user.as_ref()).into_iter().map(Option::unwrap_or_default);
        assert!(record.iter().eq([id, status(user.as_ref())].into_iter().chain(cells)), "{record:?}");
    }

    let json = run(on_cluster(&prefix, batch).await.args(["--format", "json"])).exits(0);
    let answer: Value = serde_json::from_str(&json.out).unwrap();
    assert!(json.out.ends_with("}\n"));
    assert_eq!((&answer["summary"]["partial"], &answer["summary"]["missing"]), (&json!(20_300), &json!(200)));
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), ids.len());
    for (row, (id, user)) in rows.iter().zip(&ids) {
        let values = cells(user.as_ref());
        assert_eq!(*row, json!({"id": id, "status": status(user.as_ref()), "values": values}));
    }
}

#[tokio::test]
async fn a_stream_of_arrow_holds_the_values_of_every_window_and_not_a_byte_more() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let ids: Vec<String> = (0..25).map(|number| format!("u{number}")).collect();
    for id in ids.iter().step_by(2) {
        redis(cluster, &["HSET", &format!("{prefix}{id}"), "a", id]).await;
    }
    let home = tempfile::tempdir().unwrap();
    let output = home.path().join("rows.arrows");
    let args = ["batch", "--ids", "-", "--features", "a", "--format", "arrow", "--batch-size", "10"];
    let mut command = on_cluster(&prefix, args).await;
    run_with(command.arg("--output").arg(&output), ids.join("\n").as_bytes()).exits(0);

    let mut stream = std::io::Cursor::new(std::fs::read(&output).unwrap());
    let batches: Vec<_> = StreamReader::try_new(&mut stream, None).unwrap().map(Result::unwrap).collect();
    assert_eq!(stream.position(), stream.get_ref().len() as u64);
    assert_eq!(batches.len(), 3);
    let column = |index: usize| {
        let texts = batches.iter().flat_map(move |batch| batch.column(index).as_string::<i32>().iter());
        texts.map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
    };
    let present = |number: usize| number.is_multiple_of(2);
    let cells = ids.iter().enumerate().map(|(number, id)| present(number).then(|| id.clone()));
    let statuses = (0..ids.len()).map(|number| if present(number) { "found" } else { "missing" });
    assert!(column(0).into_iter().eq(ids.iter().cloned().map(Some)));
    assert!(column(1).into_iter().eq(cells));
    assert!(column(2).into_iter().eq(statuses.map(|status| Some(status.to_owned()))));
}

#[test]
fn a_binary_format_is_not_written_to_a_terminal() {
    for args in [&["batch", "--ids", "-", "--features", "a"][..], &["get", "u1", "a"]] {
        let terminal = nix::pty::openpty(None, None).unwrap();
        let mut command = slotwise(args);
        command.args(["--redis-url", "redis://127.0.0.1:1", "--format", "arrow"]);
        let output = command.stdout(terminal.slave).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--format arrow is binary, and standard output is a terminal"), "{said}");
    }
}

#[tokio::test]
async fn ids_and_features_may_hold_anything() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let ids = ["two\nlines", " spaces ", "q\"uo'te", "{tag}x", "{}", "🦀", "a\\b"];
    let mut list = String::new();
    for id in ids {
        redis(cluster, &["HSET", &format!("{prefix}{id}"), "a,b", id, "c d", "1"]).await;
        list.push_str(&format!("{}\r\n", json!(id)));
    }
    let args = ["batch", "--ids", "-", "--ids-format", "json", "--features", "c d", "--feature", "a,b"];
    let ran = run_with(&mut on_cluster(&prefix, args).await, list.as_bytes()).exits(0);
    let expected: Vec<Value> = ids
        .iter()
        .map(|id| json!({"id": id, "status": "found", "features": {"c d": "1", "a,b": id}}))
        .collect();
    assert_eq!(ran.ndjson(), expected);
}

#[tokio::test]
async fn an_output_file_has_its_name_only_once_it_is_complete() {
    let prefix = unique_prefix();
    let home = tempfile::tempdir().unwrap();
    let (output, partial) = (home.path().join("rows.ndjson"), home.path().join("rows.ndjson.partial"));
    std::fs::write(&output, "of the last run").unwrap();
    let args = ["batch", "--ids", "-", "--features", "a", "--output", output.to_str().unwrap()];
    let mut batch = Background::start(on_cluster(&prefix, args).await.stdin(Stdio::piped()));
    let mut ids = batch.stdin();
    for number in 0..25_000 {
        writeln!(ids, "u{number}").unwrap();
    }
    ids.flush().unwrap();
    let begun = || async { partial.metadata().is_ok_and(|file| file.len() > 0) };
    wait_until("the first rows", SOON, begun).await;
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "of the last run");
    drop(ids);
    let ran = batch.ended().await.exits(0);
    assert_eq!(ran.out, "");
    assert_eq!(std::fs::read_to_string(&output).unwrap().lines().count(), 25_000);
    assert!(!partial.exists());
}

#[tokio::test]
async fn a_pipe_or_a_device_as_output_stays_what_it_is() {
    let prefix = unique_prefix();
    let home = tempfile::tempdir().unwrap();
    let pipe = home.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).unwrap()
    });
    let args = ["batch", "--ids", "-", "--features", "a", "--output", pipe.to_str().unwrap()];
    run_with(&mut on_cluster(&prefix, args).await, b"u1\nu2\n").exits(0);
    assert_eq!(reader.join().unwrap().lines().count(), 2);
    let left: Vec<_> =
        std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["pipe"]);
}

#[tokio::test]
async fn a_bad_id_in_the_middle_is_named_and_the_rows_before_it_are_kept() {
    let prefix = unique_prefix();
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let long = "x".repeat(1025);
    for (bad, says) in [
        (&b""[..], "ids.txt:4001: the line is blank; an id is needed"),
        (b"\xff", "ids.txt:4001: the id is not UTF-8"),
        (long.as_bytes(), "ids.txt:4001: an entity id has 1025 bytes, the limit is 1024"),
    ] {
        let good: String = (0..4_000).map(|number| format!("u{number}\n")).collect();
        std::fs::write(path("ids.txt"), [good.as_bytes(), bad, b"\nu5\n"].concat()).unwrap();
        let output = path("rows.ndjson");
        let args = ["batch", "--ids", &path("ids.txt"), "--features", "a", "--output", &output];
        let ran = run(on_cluster(&prefix, args).await.args(["--batch-size", "1500"])).exits(1);
        ran.says_in_one_line(&["stopped after 4000 rows", says]);
        assert_eq!(std::fs::read_to_string(path("rows.ndjson.partial")).unwrap().lines().count(), 4_000);
        assert!(!home.path().join("rows.ndjson").exists());
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_ends_the_batch_quietly() {
    let prefix = unique_prefix();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ids.txt").to_str().unwrap().to_owned();
    let list: String = (0..50_000).map(|number| format!("u{number}\n")).collect();
    std::fs::write(&file, list).unwrap();
    let args = ["batch", "--ids", &file, "--features", "a", "--batch-size", "1000"];
    let mut command = on_cluster(&prefix, args).await;
    let mut batch = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut head = BufReader::new(batch.stdout.take().unwrap());
    let mut line = String::new();
    head.read_line(&mut line).unwrap();
    assert!(line.starts_with(r#"{"id":"u0","status":"missing""#), "{line}");
    drop(head);
    let output = batch.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(1), String::new()));
}

/// Most memory that a batch over `count` ids took, in KiB.
async fn peak_memory_kib(prefix: &str, count: usize) -> u64 {
    let list = tempfile::NamedTempFile::new().unwrap();
    let ids: String = (0..count).map(|number| format!("u{:04}\n", 1 + number % USERS)).collect();
    std::fs::write(list.path(), ids).unwrap();
    let args = ["batch", "--ids", list.path().to_str().unwrap(), "--features", "country_iso,risk_segment"];
    let mut command = on_cluster(prefix, args).await;
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (status, child) = (format!("/proc/{}/status", child.id()), Mutex::new(child));
    let peak = Mutex::new(0);
    wait_until("the end of the batch", SOON, || async {
        // The mark only rises; once the process has ended, it is gone.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        if let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            *peak.lock().unwrap() = line.trim().trim_end_matches(" kB").parse().unwrap();
        }
        child.lock().unwrap().try_wait().unwrap().is_some()
    })
    .await;
    assert!(child.into_inner().unwrap().wait().unwrap().success());
    peak.into_inner().unwrap()
}

#[tokio::test]
async fn ten_times_the_ids_take_hardly_more_memory() {
    let prefix = unique_prefix();
    run(&mut on_cluster(&prefix, ["load", "--synthetic", &USERS.to_string()]).await).exits(0);
    let few = peak_memory_kib(&prefix, 40_000).await;
    let many = peak_memory_kib(&prefix, 400_000).await;
    assert!(few > 0 && 2 * many < 3 * few, "{few} KiB for 40,000 ids, {many} KiB for 400,000");
}

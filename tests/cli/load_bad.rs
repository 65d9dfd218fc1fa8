//! `slotwise load` with bad rows and wrong usage: nothing is lost in silence, nothing is half done.

use serde_json::{Value, json};
use slotwise::model::limits::INPUT_LINE_BYTES_MAX;

use crate::program::{Ran, on_cluster, run, run_with};
use crate::redis::{count, hash, redis};
use crate::support::{shared_cluster, unique_prefix};

/// Loads `content` as a file of that name; the run and the rejects, each with its source checked.
async fn load(prefix: &str, name: &str, content: &[u8]) -> (Ran, Vec<Value>) {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path(name), content).unwrap();
    let args = ["load", &path(name), "--rejects", &path("rejects.ndjson")];
    let ran = run(&mut on_cluster(prefix, args).await);
    let rejects = std::fs::read_to_string(path("rejects.ndjson")).unwrap();
    let mut rejects: Vec<Value> = rejects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for reject in &mut rejects {
        assert_eq!(reject.as_object_mut().unwrap().remove("source"), Some(json!(path(name))));
    }
    // Rows that a server refuses come after those that no server saw.
    rejects.sort_by_key(|reject| reject["line"].as_u64());
    (ran, rejects)
}

#[tokio::test]
async fn every_bad_line_of_a_csv_is_rejected_by_name_and_the_others_are_loaded() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    redis(cluster, &["SET", &format!("{prefix}text"), "no hash"]).await;
    let long = "x".repeat(1025);
    let head = format!("id,a,b\nok1,1,2\nshort,1\n,1,2\n{long},1,2\nempty,,\nlong,1,2,3\ntext,1,2\n");
    let content = [head.as_bytes(), b"bytes,\xff,2\n\"open\"x,1,2\nok2,,2\n\"never,1,2\n"].concat();
    let (ran, rejects) = load(&prefix, "in.csv", &content).await;
    ran.exits(3).says(&["2 rows written, 9 rejected"]);
    let wrongtype =
        "refused by the server: WRONGTYPE Operation against a key holding the wrong kind of value";
    let expected = [
        json!({"line": 3, "error": "2 columns, the header has 3", "row": "short,1"}),
        json!({"line": 4, "error": "field \"id\": an entity id is empty", "row": ",1,2"}),
        json!({
            "line": 5,
            "error": "field \"id\": an entity id has 1025 bytes, the limit is 1024",
            "row": format!("{long},1,2"),
        }),
        json!({"line": 6, "error": "no features: every cell besides \"id\" is empty", "row": "empty,,"}),
        json!({"line": 7, "error": "4 columns, the header has 3", "row": "long,1,2,3"}),
        json!({"line": 8, "error": wrongtype, "row": r#"{"id":"text","features":{"a":"1","b":"2"}}"#}),
        json!({"line": 9, "error": "column 2 \"a\": not UTF-8", "row": "bytes,\u{fffd},2"}),
        json!({"line": 10, "error": "text after a closing quote", "row": "\"open\"x,1,2"}),
        json!({"line": 12, "error": "a quote is opened and never closed", "row": "\"never,1,2"}),
    ];
    assert_eq!(rejects, expected);
    assert_eq!(count(cluster, &prefix).await, 3);
    assert_eq!(hash(cluster, &format!("{prefix}ok2")).await, [("b".into(), "2".into())].into());
}

#[tokio::test]
async fn every_bad_line_of_ndjson_is_rejected_by_name_and_the_others_are_loaded() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let long = "x".repeat(1025);
    let bad = [
        (r#"{"id":"n","features":{"a":1"#.to_owned(), "not valid JSON: EOF while parsing an object"),
        (r#"{"id":"n","features":{"a":null}}"#.to_owned(), "feature \"a\": null; leave the feature out"),
        (r#"{"id":"","features":{"a":1}}"#.to_owned(), "field \"id\": an entity id is empty"),
        (
            format!(r#"{{"id":"{long}","features":{{"a":1}}}}"#),
            "field \"id\": an entity id has 1025 bytes, the limit is 1024",
        ),
        (r#"{"id":"n","features":{"a":1},"x":2}"#.to_owned(), "unknown field \"x\""),
        (r#"{"id":7,"features":{"a":1}}"#.to_owned(), "field \"id\": ids are strings, not a number"),
        (r#"{"id":"n"}"#.to_owned(), "field \"features\" is missing"),
        (r#"{"id":"n","features":{}}"#.to_owned(), "field \"features\": no features"),
        (r#"{"id":"n","features":{"a":[1]}}"#.to_owned(), "feature \"a\": an array"),
        (r#"{"id":"n","features":{"a":1,"a":2}}"#.to_owned(), "feature \"a\" comes twice"),
        ("[]".to_owned(), "not an array"),
    ];
    let mut content = b"{\"id\":\"ok1\",\"features\":{\"a\":1}}\n\xff\xfe\n".to_vec();
    for (line, _) in &bad {
        content.extend_from_slice(format!("{line}\n").as_bytes());
    }
    content.resize(content.len() + INPUT_LINE_BYTES_MAX + 1, b'y');
    content.extend_from_slice(b"\n{\"id\":\"ok2\",\"features\":{\"a\":1}}\n");
    let (ran, rejects) = load(&prefix, "in.ndjson", &content).await;
    ran.exits(3).says(&["2 rows written, 13 rejected"]);
    assert_eq!(
        rejects[0],
        json!({"line": 2, "error": "not UTF-8, from byte 0 on", "row": "\u{fffd}\u{fffd}"})
    );
    for ((number, (line, error)), reject) in (3..).zip(&bad).zip(&rejects[1..]) {
        assert_eq!((&reject["line"], &reject["row"]), (&json!(number), &json!(line)));
        assert!(reject["error"].as_str().unwrap().contains(error), "{reject}");
    }
    let error =
        format!("the line has {} bytes, the limit is {INPUT_LINE_BYTES_MAX}", INPUT_LINE_BYTES_MAX + 1);
    assert_eq!(rejects[12], json!({"line": 14, "error": error, "row": null}));
    assert_eq!(count(cluster, &prefix).await, 2);
}

#[tokio::test]
async fn without_a_rejects_file_the_first_bad_rows_are_shown_and_the_others_counted() {
    let prefix = unique_prefix();
    let mut command = on_cluster(&prefix, ["load", "-", "--format", "ndjson"]).await;
    let ran = run_with(&mut command, "no row\n".repeat(12).as_bytes()).exits(3);
    assert_eq!(ran.err.matches("rejected: -:").count(), 10, "{}", ran.err);
    ran.says(&["rejected: -:10: not valid JSON", "and 2 more; --rejects FILE keeps them all"]);
    ran.says(&["0 rows written, 12 rejected"]);
    let args = ["load", "-", "--format", "ndjson", "--rejects", "-"];
    let ran = run_with(&mut on_cluster(&prefix, args).await, b"no row\n").exits(3);
    assert_eq!((ran.ndjson().len(), &ran.ndjson()[0]["line"]), (1, &json!(1)));
}

#[tokio::test]
async fn rejected_rows_never_go_over_the_rows_to_load() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("rows.csv").to_str().unwrap().to_owned();
    std::fs::write(&path, "id,a\nu1,1\nbad\n").unwrap();
    let other_name = home.path().join(".").join("rows.csv").to_str().unwrap().to_owned();
    let ran = run(&mut on_cluster(&prefix, ["load", &path, "--rejects", &other_name]).await).exits(2);
    ran.says_in_one_line(&["--rejects", "rows.csv", "is one of the files to load"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "id,a\nu1,1\nbad\n");
    assert_eq!(count(cluster, &prefix).await, 0);
}

#[tokio::test]
async fn wrong_usage_exits_with_2_and_a_missing_file_with_1_and_nothing_is_written() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (good, text, absent) = (path("good.csv"), path("good.txt"), path("absent.csv"));
    let rejects = path("rejects");
    std::fs::write(&good, "id,a\nu1,1\n").unwrap();
    std::fs::write(&text, "id,a\nu1,1\n").unwrap();
    std::fs::write(path("nameless.csv"), "ids,a\nu1,1\n").unwrap();
    std::fs::write(&rejects, "of the last run").unwrap();
    let folder = home.path().to_str().unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--synthetic", "3", &good], 2, "cannot be used with"),
        (&[], 2, "required"),
        (&["--synthetic", "0"], 2, "'--synthetic <N>'"),
        (&[&good, "--seed", "4"], 2, "cannot be used with"),
        (&["--synthetic", "3", "--ttl-seconds", "0"], 2, "'--ttl-seconds <N>': 0 is not in 1..=60000000000"),
        (&["--synthetic", "3", "--ttl-seconds", "60000000001"], 2, "1..=60000000000"),
        (&["--synthetic", "3", "--ttl-seconds", "soon"], 2, "soon"),
        (&[&good, "--format", "xml"], 2, "csv"),
        (&[&good, &text], 2, "good.txt: the name does not tell the format"),
        (&["-"], 2, "name the format with --format"),
        (&[&good, &absent], 1, "absent.csv: No such file"),
        (&[&good, &path("nameless.csv")], 1, "nameless.csv:1: header: no column \"id\""),
        (&[folder, "--format", "csv"], 1, "is a directory"),
        (&[&good, "--rejects", &path("no/where")], 1, "no/where"),
    ];
    for (args, code, says) in cases {
        let args = ["load"].iter().chain(*args).copied();
        let mut command = on_cluster(&prefix, args).await;
        if *code == 2 {
            command.args(["--rejects", &rejects]);
        }
        let ran = run(&mut command).exits(*code);
        assert_eq!(ran.out, "");
        ran.says(&[says]);
    }
    assert_eq!(count(cluster, &prefix).await, 0);
    assert_eq!(std::fs::read_to_string(&rejects).unwrap(), "of the last run");
}

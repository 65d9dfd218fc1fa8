//! A schema on the command line: feature sets, typed rows, defaults, values that are not of their type.

use serde_json::json;

use crate::program::{on_cluster, run, run_with};
use crate::redis::{hash, redis};
use crate::support::{shared_cluster, unique_prefix};

const CONFIG: &str = r#"
[[entity]]
name = "user"

[[entity.feature]]
name = "count"
type = "int64"
kind = "batch"
default = 0

[[entity.feature]]
name = "clicks"
type = "int64"
kind = "streaming"
ttl_seconds = 60

[[entity.feature]]
name = "risk"
type = "string"
kind = "batch"

[[entity.feature_set]]
name = "fraud"
features = ["risk", "count"]
"#;

fn config() -> tempfile::NamedTempFile {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), CONFIG).unwrap();
    config
}

#[tokio::test]
async fn a_feature_set_is_written_as_its_types_with_defaults_where_they_are_asked_for() {
    let (cluster, prefix, config) = (shared_cluster().await, unique_prefix(), config());
    let path = config.path().to_str().unwrap();
    redis(cluster, &["HSET", &format!("{prefix}u1"), "risk", "low", "count", "12"]).await;
    redis(cluster, &["HSET", &format!("{prefix}u2"), "risk", "high"]).await;
    let args = ["batch", "--config", path, "--ids", "-", "--feature-set", "fraud"];
    let plain = run_with(&mut on_cluster(&prefix, args).await, b"u1\nu2\n").exits(0);
    assert_eq!(
        plain.ndjson(),
        [
            json!({"id": "u1", "status": "found", "features": {"risk": "low", "count": 12}}),
            json!({"id": "u2", "status": "partial", "features": {"risk": "high", "count": null}}),
        ]
    );
    let csv = ["--defaults", "--format", "csv"];
    let ran = run_with(on_cluster(&prefix, args).await.args(csv), b"u1\nu2\nnobody\n").exits(0);
    assert_eq!(ran.out, "id,status,risk,count\nu1,found,low,12\nu2,partial,high,0\nnobody,missing,,0\n");
    let get = ["get", "--config", path, "--feature-set", "fraud", "--defaults", "u2"];
    let row = run(&mut on_cluster(&prefix, get).await).exits(0);
    assert_eq!(row.ndjson()[0]["features"], json!({"risk": "high", "count": 0}));
    let all = run(&mut on_cluster(&prefix, ["get", "--config", path, "u1"]).await).exits(0);
    assert_eq!(all.ndjson()[0]["features"], json!({"risk": "low", "count": 12}));
}

#[tokio::test]
async fn values_that_are_not_of_their_type_are_counted_by_feature_and_told_by_the_exit_status() {
    let (cluster, prefix, config) = (shared_cluster().await, unique_prefix(), config());
    let path = config.path().to_str().unwrap();
    for (id, count) in [("u1", "12"), ("u2", "many"), ("u3", "1.5")] {
        redis(cluster, &["HSET", &format!("{prefix}{id}"), "count", count, "risk", "low"]).await;
    }
    let args = ["batch", "--config", path, "--ids", "-", "--features", "risk,count", "--batch-size", "1"];
    for format in ["ndjson", "json", "csv"] {
        let mut command = on_cluster(&prefix, args).await;
        let ran = run_with(command.args(["--format", format]), b"u1\nu2\nu3\n").exits(3);
        ran.says(&["3 rows: 3 found", "unparsable: 2 values of \"count\" are no int64\n"]);
        assert_eq!(ran.out.contains("unparsable"), format != "csv", "{}", ran.out);
    }
    let get = run(&mut on_cluster(&prefix, ["get", "--config", path, "u2", "count"]).await).exits(3);
    assert_eq!(get.ndjson()[0]["features"], json!({"count": {"unparsable": "many"}}));
}

#[tokio::test]
async fn a_load_rejects_what_the_schema_does_not_allow() {
    let (cluster, prefix, config) = (shared_cluster().await, unique_prefix(), config());
    let path = config.path().to_str().unwrap();
    let args = ["load", "--config", path, "--format", "csv", "-"];
    let rows = b"id,count,risk,clicks\nu1,12,low,\nu2,many,low,\nu3,3,low,4\n";
    let ran = run_with(&mut on_cluster(&prefix, args).await, rows).exits(3);
    ran.says(&[
        "1 rows written, 2 rejected",
        "rejected: -:3: feature \"count\": the value is no int64 (a whole number of 64 bits)",
        "rejected: -:4: feature \"clicks\": it is a streaming feature",
    ]);
    assert_eq!(hash(cluster, &format!("{prefix}u1")).await.len(), 2);
    assert!(hash(cluster, &format!("{prefix}u2")).await.is_empty());
}

#[tokio::test]
async fn a_feature_set_that_cannot_be_is_wrong_usage() {
    let (prefix, config) = (unique_prefix(), config());
    let path = config.path().to_str().unwrap();
    let unknown = "feature_set: \"other\" is not configured; there is fraud";
    for (args, says) in [
        (&["batch", "--ids", "-", "--feature-set", "other"][..], unknown),
        (&["get", "u1", "--feature-set", "other"], unknown),
        (&["batch", "--ids", "-", "--feature-set", "fraud", "--features", "a"], "cannot be used with"),
        (&["get", "u1", "a", "--feature-set", "fraud"], "cannot be used with"),
        (&["batch", "--ids", "-"], "required arguments were not provided"),
    ] {
        let args = args.iter().copied().chain(["--config", path]);
        run_with(&mut on_cluster(&prefix, args).await, b"").exits(2).says(&[says]);
    }
    let broken = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(broken.path(), CONFIG.replace("default = 0", "default = \"none\"")).unwrap();
    let args = ["get", "u1", "--config", broken.path().to_str().unwrap()];
    let ran = run(&mut on_cluster(&prefix, args).await).exits(2);
    ran.says_in_one_line(&[
        "entity[0].feature[0].default: a default of type int64 is an integer, not string",
    ]);
}

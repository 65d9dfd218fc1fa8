//! `slotwise serve`: it answers, counts, logs, and ends when it is asked to.

use std::net::TcpListener;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::program::{Background, get, on_cluster, post_batch, run};
use crate::redis::users;
use crate::support::{shared_cluster, unique_prefix};

/// A server on a free port, and its address.
async fn served(prefix: &str, more: &[&str]) -> (Background, String) {
    let args = ["serve", "--listen", "127.0.0.1:0"].iter().chain(more).copied();
    let mut server = Background::start(&mut on_cluster(prefix, args).await);
    let address = server.told("listens on http://").await;
    (server, address)
}

/// The value of a line of the metrics page.
fn metric(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}")).parse().unwrap()
}

#[tokio::test]
async fn a_server_answers_batches_counts_them_and_ends_on_sigterm() {
    let prefix = unique_prefix();
    run(&mut on_cluster(&prefix, ["load", "--synthetic", "300"]).await).exits(0);
    let (server, address) = served(&prefix, &[]).await;
    assert_eq!(get(&format!("http://{address}/healthz")).await, (200, json!({"status": "ok"})));
    assert_eq!(get(&format!("http://{address}/readyz")).await.1["ready"], json!(true));

    let users = users(300);
    let ids: Vec<&str> = users.iter().rev().map(|(id, _)| id.as_str()).chain(["nobody"]).collect();
    for _ in 0..5 {
        let body = json!({"ids": ids, "features": ["risk_segment", "tx_count_7d"], "timeout_ms": 5000});
        let (status, answer) = post_batch(&address, &body).await;
        assert_eq!(status, 200, "{answer}");
        let expected: Vec<Value> = users
            .iter()
            .rev()
            .map(|(id, f)| json!({"id": id, "status": "found", "values": [f["risk_segment"], f["tx_count_7d"]]}))
            .chain([json!({"id": "nobody", "status": "missing", "values": [null, null]})])
            .collect();
        assert_eq!(answer["rows"], json!(expected));
        assert_eq!(answer["summary"]["shards"], 3);
    }

    let page = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    let p = |quantile: &str| {
        metric(
            &page,
            &format!("slotwise_read_duration_recent_seconds{{kind=\"batch\",quantile=\"{quantile}\"}}"),
        )
    };
    assert!(0.0 < p("0.5") && p("0.5") <= p("0.99") && p("0.99") <= p("0.999"), "{page}");
    assert!(metric(&page, "slotwise_read_duration_seconds_count{kind=\"batch\"}") >= 5.0);
    assert!(page.contains("# TYPE slotwise_read_duration_seconds histogram"), "{page}");
    for (status, rows) in [("found", 1500.0), ("missing", 5.0), ("partial", 0.0), ("unavailable", 0.0)] {
        assert_eq!(
            metric(&page, &format!("slotwise_rows_total{{kind=\"batch\",status=\"{status}\"}}")),
            rows
        );
    }
    for shard in shared_cluster().await.addrs() {
        let labels = format!("shard=\"{shard}\",operation=\"read\"");
        let of = |quantile: &str| {
            let series = format!(
                "slotwise_shard_pipeline_duration_recent_seconds{{{labels},quantile=\"{quantile}\"}}"
            );
            metric(&page, &series)
        };
        assert!(0.0 < of("0.5") && of("0.5") <= of("0.999"), "{page}");
        assert_eq!(metric(&page, &format!("slotwise_shard_pipeline_commands_count{{{labels}}}")), 5.0);
    }

    server.send(Signal::SIGTERM);
    let ran = server.ended().await.exits(0);
    assert!(ran.out.is_empty() && ran.err.ends_with("stopped\n"), "{ran:?}");
}

#[tokio::test]
async fn a_batch_of_one_cohort_is_one_pipeline() {
    let prefix = unique_prefix();
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("slotwise.toml");
    let ids: Vec<String> = (1..=500).map(|number| format!("u{number:04}")).collect();
    std::fs::write(home.path().join("vip.txt"), ids.join("\n")).unwrap();
    let text = "[[entity]]\nname = \"user\"\n[[entity.cohort]]\nname = \"vip\"\nmembers_file = \"vip.txt\"\n";
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    run(&mut on_cluster(&prefix, ["load", "--synthetic", "500", "--config", config]).await).exits(0);
    let (_server, address) = served(&prefix, &["--config", config]).await;
    let body = json!({"ids": ids, "features": ["risk_segment"], "timeout_ms": 5000});
    let (_, answer) = post_batch(&address, &body).await;
    assert_eq!((&answer["summary"]["found"], &answer["summary"]["shards"]), (&json!(500), &json!(1)));
    let page = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    let pipelines: f64 = page
        .lines()
        .filter(|line| {
            line.starts_with("slotwise_shard_pipeline_commands_count{") && line.contains("\"read\"")
        })
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(pipelines, 1.0, "{page}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run(&mut on_cluster(&unique_prefix(), ["serve", "--listen", &address]).await).exits(1);
    ran.says_in_one_line(&["can't listen on", &address, "in use"]);
}

#[tokio::test]
async fn json_logs_are_json_on_every_line_and_hold_no_secret() {
    let prefix = unique_prefix();
    let urls = shared_cluster().await.urls().replace("redis://", "redis://default:hunter2secret@");
    let args = ["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--log", "debug"];
    let mut command = on_cluster(&prefix, args).await;
    let mut server = Background::start(command.env("SLOTWISE_REDIS_URL", urls));
    let line = server.told("\"message\":\"listening\"").await;
    let address = line.split("\"address\":\"").nth(1).unwrap().split('"').next().unwrap();
    let body = json!({"ids": ["s3cretid"], "features": ["a"], "timeout_ms": 5000});
    assert_eq!(post_batch(address, &body).await.0, 200);
    assert_eq!(get(&format!("http://{address}/v1/features/s3cretid")).await.0, 400);
    server.send(Signal::SIGTERM);
    let ran = server.ended().await.exits(0);
    let logs: Vec<Value> = ran.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests: Vec<&Value> = logs.iter().filter(|log| log["message"] == "http request").collect();
    assert_eq!(requests.len(), 2, "{}", ran.err);
    assert_eq!((&requests[0]["route"], &requests[0]["status"]), (&json!("/v1/features/batch"), &json!(200)));
    for log in &logs {
        assert!(log["timestamp"].is_string() && log["level"].is_string(), "{log}");
    }
    assert!(!ran.err.contains("hunter2secret") && !ran.err.contains("s3cretid"), "{}", ran.err);
    assert_eq!(ran.out, "");
}

//! Native histograms as Prometheus sees them: a real one scrapes a server. Needs the feature `native-histograms`, and
//! SLOTWISE_PROMETHEUS, the folder of `prometheus`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[allow(dead_code, reason = "the tests of the command line use the rest")]
#[path = "../cli/program.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use program::{Background, on_cluster, run};
use support::{SOON, unique_prefix, wait_until};

const ACCEPT: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// The program that the environment names.
fn prometheus() -> PathBuf {
    let folder = std::env::var_os("SLOTWISE_PROMETHEUS")
        .expect("this test needs a real Prometheus: set SLOTWISE_PROMETHEUS to the folder of `prometheus`");
    let program = Path::new(&folder).join("prometheus");
    assert!(program.is_file(), "SLOTWISE_PROMETHEUS: there is no {}", program.display());
    program
}

/// A Prometheus that scrapes one server; it is killed with the test.
struct Prometheus {
    child: Child,
    address: String,
    home: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs: [{{ job_name: slotwise, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
        );
        std::fs::write(home.path().join("prometheus.yml"), config).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let child = Command::new(prometheus())
            .arg(format!("--config.file={}", home.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", home.path().join("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .arg("--enable-feature=native-histograms")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, address: free.to_string(), home }
    }

    /// The values that a query has now; none where there is no answer yet.
    async fn values(&self, query: &str) -> Vec<f64> {
        let request =
            reqwest::Client::new().get(format!("http://{}/api/v1/query?query={query}", self.address));
        let Ok(answer) = request.send().await else { return Vec::new() };
        let answer: Value = answer.json().await.unwrap_or_default();
        let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let value = |series: &Value| series["value"][1].as_str().and_then(|value| value.parse().ok());
        result.iter().filter_map(value).filter(|value: &f64| value.is_finite()).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "prometheus: {}", self.log());
        }
        // Fails only for a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn prometheus_has_quantiles_of_native_histograms_and_of_the_classic_ones() {
    let prefix = unique_prefix();
    run(&mut on_cluster(&prefix, ["load", "--synthetic", "10"]).await).exits(0);
    let mut server = Background::start(&mut on_cluster(&prefix, ["serve", "--listen", "127.0.0.1:0"]).await);
    let address = server.told("listens on http://").await;
    let read = async || {
        let url = format!("http://{address}/v1/features/u0001?features=risk_segment");
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200);
    };
    let prometheus = Prometheus::start(&address);
    let queries = [
        "histogram_quantile(0.99,rate(slotwise_read_duration_native_seconds[1m]))",
        "histogram_quantile(0.99,rate(slotwise_shard_pipeline_duration_native_seconds{operation=\"read\"}[1m]))",
        "histogram_quantile(0.99,rate(slotwise_http_request_duration_native_seconds{method=\"GET\"}[1m]))",
        "histogram_quantile(0.99,rate(slotwise_read_duration_seconds_bucket[1m]))",
    ];
    for query in queries {
        wait_until(&format!("a value of {query}"), SOON, || async {
            read().await;
            let values = prometheus.values(query).await;
            values.iter().any(|seconds| (1e-6..10.0).contains(seconds))
        })
        .await;
    }
}

#[tokio::test]
async fn metrics_are_text_without_native_histograms_unless_protobuf_is_preferred() {
    let mut server =
        Background::start(&mut on_cluster(&unique_prefix(), ["serve", "--listen", "127.0.0.1:0"]).await);
    let address = server.told("listens on http://").await;
    let ask = async |accept: &str| {
        let request =
            reqwest::Client::new().get(format!("http://{address}/metrics")).header("accept", accept);
        let answer = request.send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (kind, String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned())
    };
    // The first is there to be counted.
    for accept in ["*/*", "text/plain", "application/openmetrics-text"] {
        let (kind, page) = ask(accept).await;
        assert!(kind.starts_with("text/plain") && !page.contains("_native_"), "{accept}: {kind}\n{page}");
    }
    let (kind, page) = ask(ACCEPT).await;
    assert!(kind.starts_with("application/vnd.google.protobuf; proto=io.prometheus.client"), "{kind}");
    assert!(page.contains("slotwise_http_request_duration_native_seconds"));
    assert!(page.contains("slotwise_http_request_duration_seconds"));
}

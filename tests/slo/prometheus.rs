//! The real Prometheus, as a child process, and its HTTP API.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::wait_until;

/// A Prometheus that scrapes one target every second and evaluates rules as often; it ends with this.
pub(crate) struct Prometheus {
    child: Child,
    address: String,
    client: reqwest::Client,
}

/// The folder that holds `prometheus` and `promtool`.
fn folder() -> PathBuf {
    let folder = std::env::var_os("SLOTWISE_PROMETHEUS")
        .expect("this test needs the real Prometheus: SLOTWISE_PROMETHEUS names the folder it is in; `make test` sets it");
    PathBuf::from(folder)
}

impl Prometheus {
    pub(crate) async fn start(home: &Path, rules: &Path, target: &str) -> Self {
        let config = home.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}/*.yml']\n\
             scrape_configs:\n- job_name: slotwise\n  static_configs: [{{targets: ['{target}']}}]\n",
            rules.display()
        );
        std::fs::write(&config, text).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let log = std::fs::File::create(home.join("prometheus.log")).unwrap();
        let child = Command::new(folder().join("prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", home.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("SLOTWISE_PROMETHEUS names a folder with `prometheus` in it");
        let ours = Self { child, address, client: reqwest::Client::new() };
        wait_until("Prometheus is ready", Duration::from_secs(60), || async {
            let ready = ours.client.get(format!("http://{}/-/ready", ours.address)).send().await;
            ready.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        ours
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let mut url = url::Url::parse(&format!("http://{}/api/v1/{path}", self.address)).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        let answer = self.client.get(url).send().await.unwrap();
        let mut answer: Value = answer.json().await.unwrap();
        match answer["status"].as_str() {
            Some("success") if answer["warnings"].is_null() => Ok(answer["data"].take()),
            _ => Err(answer.to_string()),
        }
    }

    /// What an instant query brings: each series with its value. Errors in Prometheus' words.
    pub(crate) async fn query(&self, expression: &str) -> Result<Vec<(Value, f64)>, String> {
        let data = self.get("query", &[("query", expression)]).await?;
        let number = |value: &Value| value[1].as_str().unwrap().parse::<f64>().unwrap();
        Ok(match data["resultType"].as_str().unwrap() {
            "scalar" => vec![(Value::Null, number(&data["result"]))],
            _ => {
                let series = data["result"].as_array().unwrap();
                series.iter().map(|one| (one["metric"].clone(), number(&one["value"]))).collect()
            }
        })
    }

    /// The one value of an expression; `None` where it has none, or is not a number.
    pub(crate) async fn value(&self, expression: &str) -> Option<f64> {
        let found = self.query(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"));
        assert!(found.len() <= 1, "{expression} has several values: {found:?}");
        found.first().map(|(_, value)| *value).filter(|value| value.is_finite())
    }

    /// Every rule that it has: its name, its expression, and what went wrong in its last evaluation.
    pub(crate) async fn rules(&self) -> Vec<(String, String, Option<String>)> {
        let data = self.get("rules", &[]).await.unwrap();
        let groups = data["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        rules
            .map(|rule| {
                let error = Some(text(&rule["lastError"])).filter(|error| !error.is_empty());
                (text(&rule["name"]), text(&rule["query"]), error)
            })
            .collect()
    }

    /// The names of the alerts that fire now.
    pub(crate) async fn firing(&self) -> Vec<String> {
        let firing = self.query("count by (alertname) (ALERTS{alertstate=\"firing\"})").await.unwrap();
        firing.iter().map(|(labels, _)| labels["alertname"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The API in process, over a real cluster, and what every answer is held to.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use proptest::test_runner::TestCaseError;
use serde_json::Value;
use slotwise::FeatureStore;
use slotwise::http::{HttpOptions, HttpState, router};
use slotwise::shard::RedisSettings;
use slotwise::store::{EntityOptions, StoreOptions};
use tokio::runtime::Runtime;
use tower::ServiceExt;

use crate::cluster;

/// Longest time for one answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);
/// What messages of errors are cut to, and the mark of the cut.
const MESSAGE_BYTES_MAX: usize = 1_024 + '…'.len_utf8();

/// The API, on a runtime of its own.
pub(crate) struct Api {
    runtime: Runtime,
    router: Router,
}

/// An answer that has kept the promises that hold for all of them.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
}

impl Api {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(async {
            let settings =
                RedisSettings::from_urls(cluster::shared_cluster().await.urls().split(',')).unwrap();
            let kind = EntityOptions {
                prefix: cluster::unique_prefix(),
                batch_ttl_seconds: 600,
                ..EntityOptions::default()
            };
            // Long, because a busy machine is not what is looked for.
            let limits = StoreOptions { request_timeout: ANSWER_TIME_MAX / 2, ..StoreOptions::default() };
            FeatureStore::connect(settings, vec![kind], limits).await.unwrap()
        });
        let options = HttpOptions { body_bytes_max: 8_192, ..HttpOptions::default() };
        let router = router(HttpState::new(store, None, options));
        Self { runtime, router }
    }

    /// Sends a request; what it gets, where that is an answer of the house.
    pub(crate) fn ask(&self, request: Request<Body>) -> Result<Answer, TestCaseError> {
        let head = request.method() == "HEAD";
        let asked = async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            (parts, to_bytes(body, 100 << 20).await.unwrap())
        };
        let timed = self.runtime.block_on(async { tokio::time::timeout(ANSWER_TIME_MAX, asked).await });
        let (parts, bytes) = timed.map_err(|_| TestCaseError::fail("there is no answer"))?;
        let status = parts.status.as_u16();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        let answer = Answer { status, json };
        if head && bytes.is_empty() {
            return Ok(answer);
        }
        let kept = match status {
            200 => true,
            400..=499 | 503 | 504 => answer.is_the_houses_error(&parts.headers),
            _ => false,
        };
        if kept {
            Ok(answer)
        } else {
            Err(TestCaseError::fail(format!("{status}: {}", bytes.escape_ascii())))
        }
    }
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.json["error"]["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn message(&self) -> &str {
        self.json["error"]["message"].as_str().unwrap_or_default()
    }

    fn is_the_houses_error(&self, headers: &HeaderMap) -> bool {
        let code_is_a_name = self.code().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        headers.get("content-type").is_some_and(|kind| kind == "application/json")
            && headers.get("x-request-id").is_some_and(|id| self.json["request_id"] == id.to_str().unwrap())
            && !self.code().is_empty()
            && code_is_a_name
            && (1..=MESSAGE_BYTES_MAX).contains(&self.message().len())
            && self.names_the_place()
    }

    /// Is what is wrong with the request named by its place?
    fn names_the_place(&self) -> bool {
        let message = self.message();
        let begins = |places: &[&str]| places.iter().any(|place| message.starts_with(place));
        match self.code() {
            "invalid_body" => {
                message.ends_with("it is empty; JSON is needed")
                    || message.ends_with("it is no JSON object")
                    || message.ends_with('…')
                    || message.rsplit_once(" at line ").is_some_and(|(_, place)| place.contains(" column "))
            }
            "invalid_query" => begins(&[
                "unknown query parameter \"",
                "a query parameter's name is no UTF-8",
                "features: ",
                "feature_set: ",
                "defaults: ",
                "timeout_ms: ",
                "ttl_seconds: ",
                "entity: ",
            ]),
            "invalid_id" => begins(&["ids[", "the id in the path: "]),
            "invalid_feature" => begins(&["features["]),
            "invalid_features" => begins(&["field \"features\": ", "feature \"", "not valid JSON: "]),
            "no_features" | "too_many_features" | "feature_twice" => begins(&["features: "]),
            "too_many_ids" => begins(&["ids: "]),
            "too_many_cells" => begins(&["ids × features: "]),
            "invalid_timeout" => begins(&["timeout_ms: "]),
            "invalid_ttl" => begins(&["ttl_seconds: "]),
            "unknown_entity" => begins(&["entity: "]),
            "unknown_feature_set" => begins(&["feature_set: "]),
            "features_or_feature_set" => message == "give exactly one of features and feature_set",
            // Not about a place in the request.
            "body_too_large" | "unknown_route" | "method_not_allowed" | "not_acceptable" | "no_metrics" => {
                true
            }
            "deadline_exceeded" | "attempts_exhausted" | "overloaded" => true,
            _ => false,
        }
    }
}

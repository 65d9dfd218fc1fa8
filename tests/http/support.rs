//! A router over a store of its own, and requests to it.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;
use slotwise::FeatureStore;
use slotwise::http::{HttpOptions, HttpState, router};
use slotwise::model::{EntityId, FeatureName, FeatureRow, FeatureValue};
use slotwise::shard::RedisSettings;
use slotwise::store::{EntityOptions, LoadOptions, StoreOptions};
use tower::ServiceExt;

use super::cluster;

/// A store on the tests' cluster whose kinds have prefixes that nobody else has.
pub(crate) async fn test_store(kinds: Vec<EntityOptions>, limits: StoreOptions) -> FeatureStore {
    let settings = RedisSettings::from_urls(cluster::shared_cluster().await.urls().split(',')).unwrap();
    let prefix = cluster::unique_prefix();
    let own = |kind: EntityOptions| EntityOptions {
        prefix: format!("{prefix}{}:", kind.name),
        batch_ttl_seconds: 600,
        ..kind
    };
    FeatureStore::connect(settings, kinds.into_iter().map(own).collect(), limits).await.unwrap()
}

pub(crate) struct Api {
    pub(crate) store: FeatureStore,
    pub(crate) router: Router,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{}", self.text());
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status, code and message of an error, which has to be whole.
    pub(crate) fn error(&self) -> (u16, String, String) {
        assert!(self.status >= 400, "{}", self.text());
        let answer = self.json();
        assert_eq!(answer["request_id"], self.header("x-request-id"), "{answer}");
        let text = |name: &str| answer["error"][name].as_str().unwrap().to_owned();
        (self.status, text("code"), text("message"))
    }
}

impl Api {
    pub(crate) async fn new() -> Self {
        Self::with(HttpOptions::default(), StoreOptions::default()).await
    }

    pub(crate) async fn with(options: HttpOptions, limits: StoreOptions) -> Self {
        Self::of(test_store(vec![EntityOptions::default()], limits).await, options)
    }

    pub(crate) fn of(store: FeatureStore, options: HttpOptions) -> Self {
        let router = router(HttpState::new(store.clone(), None, options));
        Self { store, router }
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 100 << 20).await.unwrap().to_vec();
        assert!(parts.headers.contains_key("x-request-id"), "every answer has one");
        Answer { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        self.call(Request::builder().method(method).uri(path).body(body.into()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Method::POST, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Method::PUT, path, body).await
    }

    /// A batch read that has to succeed.
    pub(crate) async fn batch(&self, body: &Value) -> Value {
        let answer = self.post("/v1/features/batch", body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    }

    /// Writes batch features.
    pub(crate) async fn fill(&self, id: &str, features: &[(&str, &str)]) {
        let feature =
            |(name, value): &(&str, &str)| (FeatureName::new(*name).unwrap(), FeatureValue::from(*value));
        let row =
            FeatureRow { id: EntityId::new(id).unwrap(), features: features.iter().map(feature).collect() };
        let report = self
            .store
            .bulk_load(futures::stream::iter([row]), LoadOptions::default(), |_, result| result.unwrap())
            .await;
        assert_eq!(report.unwrap().written, 1);
    }

    /// Removes what the test wrote. What a failed test leaves goes away by its TTL.
    pub(crate) async fn clean(&self) {
        for kind in self.store.entities() {
            self.store.entity(Some(&kind.name)).unwrap().reset().await.unwrap();
        }
    }
}

/// Every byte percent-encoded, so that nothing has a meaning of its own.
pub(crate) fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

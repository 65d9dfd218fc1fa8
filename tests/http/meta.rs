//! What surrounds the routes: ids of requests, unknown routes and methods, overload, health, the description.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use slotwise::http::{HttpOptions, paths};
use slotwise::store::StoreOptions;

use crate::support::{Answer, Api};

async fn with_id(api: &Api, id: &str, path: &str) -> Answer {
    api.call(Request::get(path).header("x-request-id", id).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_request_id_comes_back_in_every_answer() {
    let api = Api::new().await;
    for path in ["/healthz", "/v1/features/u1?features=f", "/nowhere", "/v1/features/u1", "/"] {
        assert_eq!(with_id(&api, "req/17", path).await.header("x-request-id"), "req/17", "{path}");
    }
    assert_eq!(with_id(&api, "req-17", "/nowhere").await.json()["request_id"], "req-17");
    let (first, second) = (api.get("/healthz").await, api.get("/healthz").await);
    assert_eq!(first.header("x-request-id").len(), 32);
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    assert_eq!(with_id(&api, "has a space", "/healthz").await.header("x-request-id").len(), 32);
}

#[tokio::test]
async fn unknown_routes_and_methods_are_json_errors() {
    let api = Api::new().await;
    for path in ["/nowhere", "/v1", "/v1/features", "/v1/features/a/b", "/healthz/"] {
        let (status, code, _) = api.get(path).await.error();
        assert_eq!((status, code.as_str()), (404, "unknown_route"), "{path}");
    }
    let answer = api.get("/v1/features/batch").await;
    assert_eq!(answer.error().1, "method_not_allowed");
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    let answer = api.send(Method::DELETE, "/v1/features/u1", Body::empty()).await;
    assert_eq!((answer.error().0, answer.header("allow")), (405, "GET,HEAD,PUT"));
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let api = Api::new().await;
    for (path, status) in
        [("/healthz", 200), ("/v1/features/u1?features=f", 200), ("/v1/features/u1", 400), ("/no", 404)]
    {
        let answer = api.send(Method::HEAD, path, Body::empty()).await;
        assert_eq!((answer.status, answer.bytes.len()), (status, 0), "{path}");
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
    }
}

#[tokio::test]
async fn an_overloaded_server_says_so_at_once_and_still_answers_for_its_health() {
    let options = HttpOptions { requests_in_flight_max: 0, ..HttpOptions::default() };
    let api = Api::with(options, StoreOptions::default()).await;
    for path in ["/v1/features/u1?features=f", "/v1/cluster", "/"] {
        let answer = api.get(path).await;
        assert_eq!((answer.error().0, answer.error().1.as_str()), (503, "overloaded"), "{path}");
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert_eq!(api.get("/healthz").await.json(), json!({"status": "ok"}));
    assert_eq!(api.get("/readyz").await.status, 200);
    assert_eq!(api.get("/metrics").await.status, 404);
}

#[tokio::test]
async fn loads_have_a_bound_of_their_own() {
    let options = HttpOptions { loads_in_flight_max: 0, ..HttpOptions::default() };
    let api = Api::with(options, StoreOptions::default()).await;
    let (status, code, message) = api.post("/v1/features/load", "").await.error();
    assert_eq!((status, code.as_str()), (503, "overloaded"));
    assert_eq!(message, "0 loads are under way, which is the limit; try again");
    assert_eq!(api.get("/v1/cluster").await.status, 200);
}

#[tokio::test]
async fn a_healthy_cluster_is_ready_and_shown() {
    let api = Api::new().await;
    let ready = api.get("/readyz").await;
    assert_eq!((ready.status, ready.json()), (200, json!({"ready": true, "problems": []})));
    let cluster = api.get("/v1/cluster").await.json();
    assert_eq!(cluster["slots_covered"], 16_384);
    assert!(cluster["server"].as_str().unwrap().contains(' '), "{cluster}");
    assert!(cluster["version"].as_u64().unwrap() > 0 && cluster["age_seconds"].as_f64().unwrap() >= 0.0);
    let shards = cluster["shards"].as_array().unwrap();
    let slots: u64 = shards.iter().map(|shard| shard["slot_count"].as_u64().unwrap()).sum();
    assert_eq!(slots, 16_384);
    let ranges: u64 = shards
        .iter()
        .flat_map(|shard| shard["slots"].as_array().unwrap())
        .map(|range| range[1].as_u64().unwrap() - range[0].as_u64().unwrap() + 1)
        .sum();
    assert_eq!(ranges, slots);
    let options = api.store.options();
    assert_eq!(
        cluster["entities"],
        json!([{
            "name": "user", "prefix": options.prefix, "batch_ttl_seconds": 600, "streaming_ttl_seconds": 300,
            "feature_sets": [], "cohorts": [],
        }])
    );
}

#[tokio::test]
async fn without_metrics_their_page_says_so() {
    let api = Api::new().await;
    let (status, code, _) = api.get("/metrics").await.error();
    assert_eq!((status, code.as_str()), (404, "no_metrics"));
}

#[tokio::test]
async fn the_status_page_needs_nothing_from_elsewhere() {
    let api = Api::new().await;
    let page = api.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    let text = page.text();
    for foreign in ["http://", "https://", "src=", "@import", "<link"] {
        assert!(!text.contains(foreign), "{foreign}");
    }
    for (path, _) in operations(&api).await {
        assert!(path == "/" || text.contains(&path), "{path} is not on the page");
    }
}

async fn document(api: &Api) -> Value {
    api.get("/openapi.json").await.json()
}

/// Every path of the description, with its methods.
async fn operations(api: &Api) -> BTreeMap<String, BTreeSet<String>> {
    let document = document(api).await;
    let methods =
        |item: &Value| item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
    document["paths"].as_object().unwrap().iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

#[tokio::test]
async fn the_description_lists_exactly_the_routes() {
    let api = Api::new().await;
    let described = operations(&api).await;
    let mut routed = BTreeMap::new();
    for path in paths() {
        // No route takes TRACE; the refusal names what it does take.
        let answer = api.send(Method::TRACE, &path.replace("{id}", "x"), Body::empty()).await;
        assert_eq!(answer.status, 405, "{path}");
        let methods = answer.header("allow").split(',').filter(|method| *method != "HEAD").map(str::to_owned);
        routed.insert(path.to_owned(), methods.collect::<BTreeSet<_>>());
    }
    assert_eq!(described, routed);
}

#[tokio::test]
async fn every_reference_of_the_description_leads_somewhere() {
    let api = Api::new().await;
    let document = document(&api).await;
    let text = document.to_string();
    let known = document["components"]["schemas"].as_object().unwrap();
    let mut count = 0;
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(known.contains_key(name), "{name}");
        count += 1;
    }
    assert!(count > 20, "{count}");
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(
                names.insert(operation["operationId"].as_str().unwrap()),
                "{method} {path} has a name twice"
            );
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(response["content"].is_object(), "{method} {path} {status}");
            }
        }
    }
}

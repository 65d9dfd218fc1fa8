//! What bad input gets: status, code, and a message that names the place.

use axum::http::Method;
use serde_json::json;
use slotwise::http::HttpOptions;
use slotwise::model::EntityId;
use slotwise::slot::CohortTag;
use slotwise::store::{CohortMembers, CohortOptions, EntityOptions, StoreOptions};

use crate::support::{Api, test_store};

async fn limited() -> Api {
    let limits = StoreOptions {
        batch_ids_max: 3,
        batch_features_max: 4,
        batch_cells_max: 8,
        ..StoreOptions::default()
    };
    Api::with(HttpOptions { body_bytes_max: 4_096, ..HttpOptions::default() }, limits).await
}

const NO_JSON: &str = "the body is not what this route takes: ";

/// Bodies that are no batch: body, message.
fn bodies_of_another_shape() -> Vec<(&'static str, String)> {
    vec![
        ("", format!("{NO_JSON}it is empty; JSON is needed")),
        ("{", format!("{NO_JSON}EOF while parsing an object at line 1 column 1")),
        (
            r#"{"ids":["a"],"features":["f"],"feature":1}"#,
            format!(
                "{NO_JSON}feature: unknown field `feature`, expected one of `ids`, `features`, `feature_set`, \
                 `defaults`, `timeout_ms`, `entity` at line 1 column 39"
            ),
        ),
        (r#"{"features":["f"]}"#, format!("{NO_JSON}missing field `ids` at line 1 column 18")),
        (
            "{\"ids\":[\"a\",\n7],\"features\":[\"f\"]}",
            format!("{NO_JSON}ids[1]: invalid type: integer `7`, expected a string at line 2 column 1"),
        ),
        (
            r#"{"ids":"a","features":["f"]}"#,
            format!(
                "{NO_JSON}ids: invalid type: string \"a\", expected a list of strings at line 1 column 10"
            ),
        ),
        (
            r#"{"ids":["a"],"features":["f"],"timeout_ms":-1}"#,
            format!("{NO_JSON}timeout_ms: invalid value: integer `-1`, expected u64 at line 1 column 45"),
        ),
    ]
}

/// Batches that ask for what can't be: body, code, message.
fn batches_that_cannot_be(long: &str) -> Vec<(String, &'static str, &'static str)> {
    vec![
        (
            r#"{"ids":["a"],"features":["f"],"timeout_ms":0}"#.to_owned(),
            "invalid_timeout",
            "timeout_ms: 0 is not between 1 and 30000",
        ),
        (
            r#"{"ids":["a"],"features":["f"],"timeout_ms":30001}"#.to_owned(),
            "invalid_timeout",
            "timeout_ms: 30001 is not between 1 and 30000",
        ),
        (r#"{"ids":["a",""],"features":["f"]}"#.to_owned(), "invalid_id", "ids[1]: an entity id is empty"),
        (
            format!(r#"{{"ids":["a","b","{long}"],"features":["f"]}}"#),
            "invalid_id",
            "ids[2]: an entity id has 1025 bytes, the limit is 1024",
        ),
        (
            r#"{"ids":["a"],"features":["f",""]}"#.to_owned(),
            "invalid_feature",
            "features[1]: a feature name is empty",
        ),
        (
            format!(r#"{{"ids":["a"],"features":["{long}"]}}"#),
            "invalid_feature",
            "features[0]: a feature name has 1025 bytes, the limit is 1024",
        ),
        (
            r#"{"ids":["a"],"features":[]}"#.to_owned(),
            "no_features",
            "features: the list is empty; name at least one feature",
        ),
        (
            r#"{"ids":["a","b","c",""],"features":["f"]}"#.to_owned(),
            "too_many_ids",
            "ids: 4 are more than the limit of 3",
        ),
        (
            r#"{"ids":["a"],"features":["1","2","3","4","5"]}"#.to_owned(),
            "too_many_features",
            "features: 5 are more than the limit of 4",
        ),
        (
            r#"{"ids":["a","b","c"],"features":["1","2","3"]}"#.to_owned(),
            "too_many_cells",
            "ids × features: 9 cells are more than the limit of 8; ask in smaller batches",
        ),
        (
            r#"{"ids":["a"],"features":["f"],"entity":"item"}"#.to_owned(),
            "unknown_entity",
            "entity: \"item\" is not configured; there is user",
        ),
    ]
}

#[tokio::test]
async fn a_bad_batch_is_told_where_it_is_wrong() {
    let api = limited().await;
    for (body, message) in bodies_of_another_shape() {
        let error = api.post("/v1/features/batch", body).await.error();
        assert_eq!(error, (400, "invalid_body".to_owned(), message), "{body}");
    }
    for (body, code, message) in batches_that_cannot_be(&"x".repeat(1025)) {
        let error = api.post("/v1/features/batch", body.clone()).await.error();
        assert_eq!(error, (400, code.to_owned(), message.to_owned()), "{body}");
    }
    let (status, code, message) = api.post("/v1/features/batch", &b"{\"ids\":[\"\xff\"]}"[..]).await.error();
    assert_eq!((status, code.as_str()), (400, "invalid_body"));
    assert!(message.contains("invalid unicode code point at line 1"), "{message}");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let api = limited().await;
    for (method, path) in [(Method::POST, "/v1/features/batch"), (Method::PUT, "/v1/features/u1")] {
        let error = api.send(method, path, "x".repeat(4_097)).await.error();
        assert_eq!(
            error,
            (413, "body_too_large".into(), "the body is larger than the limit of 4096 bytes".into())
        );
    }
}

#[tokio::test]
async fn a_bad_read_of_one_entity_is_told_where_it_is_wrong() {
    let api = limited().await;
    let long = "x".repeat(1025);
    let cases = [
        (
            "/v1/features/u1".to_owned(),
            "no_features",
            "features: name the features to read, such as ?features=a,b, or a feature_set; GET /v1/entities/{id} shows everything \
             an entity has",
        ),
        (
            "/v1/features/u1?features=".to_owned(),
            "no_features",
            "features: name the features to read, such as ?features=a,b, or a feature_set; GET /v1/entities/{id} shows everything \
             an entity has",
        ),
        ("/v1/features/u1?features=a,,b".into(), "invalid_feature", "features[1]: a feature name is empty"),
        (
            format!("/v1/features/u1?features=a&features={long}"),
            "invalid_feature",
            "features[1]: a feature name has 1025 bytes, the limit is 1024",
        ),
        (
            "/v1/features/u1?features=a,b,c,d,e".into(),
            "too_many_features",
            "features: 5 are more than the limit of 4",
        ),
        (
            "/v1/features/u1?features=a&timeout=5".into(),
            "invalid_query",
            "unknown query parameter \"timeout\"; this route takes features, feature_set, defaults, timeout_ms, entity",
        ),
        (
            "/v1/features/u1?features=a&timeout_ms=fast".into(),
            "invalid_query",
            "timeout_ms: \"fast\" is not a whole number from 0 on",
        ),
        (
            "/v1/features/u1?features=a&timeout_ms=0".into(),
            "invalid_timeout",
            "timeout_ms: 0 is not between 1 and 30000",
        ),
        ("/v1/features/u1?features=%FF".into(), "invalid_query", "features: the value is no UTF-8"),
        ("/v1/features/%FF?features=a".into(), "invalid_id", "the id in the path: it is no UTF-8"),
        ("/v1/entities/%FF".into(), "invalid_id", "the id in the path: it is no UTF-8"),
        ("/v1/features/".into(), "invalid_id", "the id in the path: it is empty"),
        ("/v1/entities/".into(), "invalid_id", "the id in the path: it is empty"),
        (
            format!("/v1/entities/{long}"),
            "invalid_id",
            "the id in the path: an entity id has 1025 bytes, the limit is 1024",
        ),
        (
            "/v1/cluster?x=1".into(),
            "invalid_query",
            "unknown query parameter \"x\"; this route takes timeout_ms",
        ),
    ];
    for (path, code, message) in cases {
        assert_eq!(api.get(&path).await.error(), (400, code.to_owned(), message.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_bad_write_is_told_where_it_is_wrong_and_writes_nothing() {
    let api = Api::new().await;
    let cases = [
        (r#"{"features":{}}"#, "invalid_features", "field \"features\": no features"),
        (
            r#"{"features":[]}"#,
            "invalid_features",
            "field \"features\": an object of names and values is needed, not an array",
        ),
        (
            r#"{"features":{"a":1,"b":null}}"#,
            "invalid_features",
            "feature \"b\": null; leave the feature out",
        ),
        (
            r#"{"features":{"a":1,"b":[1]}}"#,
            "invalid_features",
            "feature \"b\": an array; a value is a string, a number or a boolean",
        ),
        (r#"{"features":{"a":1,"a":2}}"#, "invalid_features", "feature \"a\" comes twice"),
        (r#"{"features":{"":1}}"#, "invalid_features", "field \"features\": a feature name is empty"),
        (
            r#"{"features":{"a":1},"ttl_seconds":0}"#,
            "invalid_ttl",
            "ttl_seconds: 0 is not between 1 and 60000000000",
        ),
        (
            r#"{"features":{"a":1},"ttl_seconds":60000000001}"#,
            "invalid_ttl",
            "ttl_seconds: 60000000001 is not between 1 and 60000000000",
        ),
        (
            r#"{"features":{"a":1},"ttl":9}"#,
            "invalid_body",
            "the body is not what this route takes: ttl: unknown field `ttl`, expected one of `features`, \
             `ttl_seconds`, `timeout_ms`, `entity` at line 1 column 25",
        ),
        (
            r#"{"features":{"a":1},"ttl_seconds":1.5}"#,
            "invalid_body",
            "the body is not what this route takes: ttl_seconds: invalid type: floating point `1.5`, expected \
             u64 at line 1 column 37",
        ),
    ];
    for (body, code, message) in cases {
        let error = api.put("/v1/features/u1", body).await.error();
        assert_eq!(error, (400, code.to_owned(), message.to_owned()), "{body}");
    }
    assert_eq!(api.store.count_entities().await.unwrap(), 0);
}

#[tokio::test]
async fn the_content_type_is_not_held_against_a_client() {
    let api = Api::new().await;
    let request = axum::http::Request::post("/v1/features/batch")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(r#"{"ids":["a"],"features":["f"]}"#.into());
    assert_eq!(api.call(request.unwrap()).await.status, 200);
}

#[tokio::test]
async fn an_id_that_looks_like_a_cohorts_key_is_named_by_its_place() {
    let cohort = CohortOptions {
        name: "vip".to_owned(),
        tags: vec![CohortTag::new("vip").unwrap()],
        members: CohortMembers::Listed(vec![EntityId::new("u1").unwrap()]),
    };
    let kind = EntityOptions { cohorts: vec![cohort], ..EntityOptions::default() };
    let api = Api::of(test_store(vec![kind], StoreOptions::default()).await, HttpOptions::default());
    let problem = "the id \"{vip}:x\" begins with {vip}:, which marks the keys of a cohort; it can't be told \
                   from a member";
    let batch = api.post("/v1/features/batch", r#"{"ids":["u1","{vip}:x"],"features":["f"]}"#).await;
    assert_eq!(batch.error(), (400, "invalid_id".into(), format!("ids[1]: {problem}")));
    for alone in [
        api.get("/v1/features/%7Bvip%7D:x?features=f").await,
        api.get("/v1/entities/%7Bvip%7D:x").await,
        api.put("/v1/features/%7Bvip%7D:x", r#"{"features":{"f":1}}"#).await,
    ] {
        assert_eq!(alone.error(), (400, "invalid_id".into(), format!("the id in the path: {problem}")));
    }
    let cohorts = &api.get("/v1/cluster").await.json()["entities"][0]["cohorts"];
    assert_eq!(*cohorts, json!([{"name": "vip", "tags": ["vip"], "members": 1}]));
    let key = &api.get("/v1/entities/u1").await.json()["key"];
    assert_eq!(*key, format!("{}{{vip}}:u1", api.store.options().prefix));
}

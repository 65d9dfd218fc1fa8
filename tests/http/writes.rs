//! Writes: streaming and in bulk.

use axum::body::Body;
use axum::http::{Method, Request};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use serde_json::json;
use slotwise::http::HttpOptions;
use slotwise::store::StoreOptions;

use crate::support::Api;

#[tokio::test]
async fn a_streaming_write_gives_each_field_its_ttl_and_leaves_the_others_alone() {
    let api = Api::new().await;
    api.fill("u1", &[("country", "NL")]).await;
    let answer =
        api.put("/v1/features/u1", r#"{"features":{"clicks":7,"hot":true},"ttl_seconds":120}"#).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"written": 2, "ttl_seconds": 120})));
    let entity = api.get("/v1/entities/u1").await.json();
    assert_eq!((&entity["id"], &entity["exists"]), (&json!("u1"), &json!(true)));
    assert!((590..=600).contains(&entity["key_ttl_seconds"].as_i64().unwrap()), "{entity}");
    assert!(entity["slot"].as_u64().unwrap() < 16_384);
    assert!(entity["shard"].as_str().unwrap().starts_with("127.0.0.1:"));
    let fields: Vec<_> = entity["fields"].as_array().unwrap().iter().collect();
    assert_eq!(fields.iter().map(|field| &field["name"]).collect::<Vec<_>>(), ["clicks", "country", "hot"]);
    assert_eq!(fields.iter().map(|field| &field["value"]).collect::<Vec<_>>(), ["7", "NL", "true"]);
    let ttls: Vec<i64> = fields.iter().map(|field| field["ttl_seconds"].as_i64().unwrap()).collect();
    assert!((110..=120).contains(&ttls[0]) && ttls[1] == -1 && (110..=120).contains(&ttls[2]), "{ttls:?}");
    api.clean().await;
}

#[tokio::test]
async fn a_streaming_write_without_a_ttl_gets_the_kinds_own() {
    let api = Api::new().await;
    let answer = api.put("/v1/features/u1", r#"{"features":{"clicks":7}}"#).await;
    assert_eq!(answer.json(), json!({"written": 1, "ttl_seconds": 300}));
    api.clean().await;
}

#[tokio::test]
async fn an_entity_that_is_not_there_is_shown_as_such() {
    let api = Api::new().await;
    let entity = api.get("/v1/entities/nobody").await;
    assert_eq!(entity.status, 200);
    let entity = entity.json();
    assert_eq!(
        (&entity["exists"], &entity["key_ttl_seconds"], &entity["fields"]),
        (&json!(false), &json!(-2), &json!([]))
    );
}

#[tokio::test]
async fn a_load_writes_good_lines_and_names_each_bad_one() {
    let api = Api::new().await;
    let body: &[u8] = b"{\"id\":\"u1\",\"features\":{\"f\":1}}\n\
        \n\
        {\"id\":\"\",\"features\":{\"f\":1}}\n\
        not json\n\
        {\"id\":\"u2\",\"features\":{\"f\":\"x\"}}\n\
        \xff\n\
        {\"id\":\"u3\",\"features\":{},\"more\":1}\n\
        {\"id\":\"u1\",\"features\":{\"f\":2}}";
    let answer = api.post("/v1/features/load?ttl_seconds=90", body).await;
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!((&answer["written"], &answer["rejected_count"]), (&json!(3), &json!(4)));
    let rejected: Vec<(u64, &str)> = answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["line"].as_u64().unwrap(), row["error"].as_str().unwrap()))
        .collect();
    assert_eq!(
        rejected,
        [
            (3, "field \"id\": an entity id is empty"),
            (4, "not valid JSON: expected ident at column 2"),
            (6, "not UTF-8, from byte 0 on"),
            (7, "unknown field \"more\"; a row has \"id\" and \"features\""),
        ]
    );
    let batch = api.batch(&json!({"ids": ["u1", "u2", "u3"], "features": ["f"]})).await;
    let values: Vec<_> = batch["rows"].as_array().unwrap().iter().map(|row| &row["values"][0]).collect();
    assert_eq!(values, [&json!("2"), &json!("x"), &json!(null)], "rows of one id are applied in order");
    let ttl = api.get("/v1/entities/u1").await.json()["key_ttl_seconds"].as_i64().unwrap();
    assert!((80..=90).contains(&ttl), "{ttl}");
    api.clean().await;
}

#[tokio::test]
async fn the_named_rejections_are_bounded_and_the_others_counted() {
    let api =
        Api::with(HttpOptions { load_rejections_max: 2, ..HttpOptions::default() }, StoreOptions::default())
            .await;
    let answer = api.post("/v1/features/load", "x\n".repeat(50)).await.json();
    assert_eq!((&answer["written"], &answer["rejected_count"]), (&json!(0), &json!(50)));
    assert_eq!(answer["rejected"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_empty_load_writes_nothing() {
    let api = Api::new().await;
    let answer = api.post("/v1/features/load", "").await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"written": 0, "rejected": [], "rejected_count": 0}))
    );
}

fn broken_body(rows: usize) -> Body {
    let line = |n| Ok(Bytes::from(format!("{{\"id\":\"u{n}\",\"features\":{{\"f\":1}}}}\n")));
    let half = Ok(Bytes::from_static(b"{\"id\":\"half\",\"features\":{\"f\":1}}"));
    let fault = Err(std::io::Error::other("connection reset"));
    Body::from_stream(stream::iter(0..rows).map(line).chain(stream::iter([half, fault])))
}

#[tokio::test]
async fn a_load_that_breaks_off_says_what_was_written_and_takes_no_half_line_for_a_row() {
    let api = Api::new().await;
    let answer = api.post("/v1/features/load", broken_body(5_000)).await;
    let (status, code, message) = answer.error();
    assert_eq!((status, code.as_str()), (400, "body_broken"));
    assert_eq!(
        message,
        "the body broke off: connection reset; up to line 5000, 5000 rows were written and 0 rejected"
    );
    assert_eq!(answer.json()["error"]["written"], 5_000);
    assert_eq!(api.store.count_entities().await.unwrap(), 5_000);
    api.clean().await;
}

#[tokio::test]
async fn a_load_beyond_the_byte_limit_is_refused_before_or_told_in_the_middle() {
    let options = HttpOptions { load_body_bytes_max: 100, ..HttpOptions::default() };
    let api = Api::with(options, StoreOptions::default()).await;
    let announced = api.post("/v1/features/load", "x".repeat(101)).await.error();
    assert_eq!(
        announced,
        (413, "body_too_large".into(), "the body is larger than the limit of 100 bytes".into())
    );
    let (status, code, message) = api.post("/v1/features/load", broken_body(100)).await.error();
    assert_eq!((status, code.as_str()), (413, "body_too_large"));
    assert!(message.ends_with("up to line 3, 3 rows were written and 0 rejected"), "{message}");
    api.clean().await;
}

#[tokio::test]
async fn a_load_with_a_bad_ttl_reads_nothing_of_its_body() {
    let api = Api::new().await;
    let endless = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let request =
        Request::builder().method(Method::POST).uri("/v1/features/load?ttl_seconds=0").body(endless);
    let (status, code, message) = api.call(request.unwrap()).await.error();
    assert_eq!((status, code.as_str()), (400, "invalid_ttl"));
    assert_eq!(message, "ttl_seconds: 0 is not between 1 and 60000000000");
}

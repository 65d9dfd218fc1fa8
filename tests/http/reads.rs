//! Reads: of a batch, of one entity, in each format.

use arrow_array::cast::AsArray;
use arrow_ipc::reader::StreamReader;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use slotwise::http::HttpOptions;
use slotwise::store::{EntityOptions, StoreOptions};

use crate::support::{Answer, Api, percent, test_store};

/// Ids that a careless layer would change, cut or refuse.
const ODD_IDS: [&str; 12] =
    ["a b", "\"q\"", "{x}", "}{", "line\nbreak", "🦀é", "a/b", "a%2Fb", "a+b", "..", "?x=1&y#z", "\u{0}"];

async fn accept(api: &Api, accept: &str, body: &Value) -> Answer {
    let request = Request::post("/v1/features/batch").header("accept", accept);
    api.call(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_batch_comes_back_in_the_order_asked_with_a_status_per_row() {
    let api = Api::new().await;
    api.fill("u1", &[("risk", "0.5"), ("country", "NL")]).await;
    api.fill("u2", &[("risk", "0.7")]).await;
    let answer = api
        .batch(&json!({"ids": ["u2", "nobody", "u1", "u2"], "features": ["country", "risk"], "timeout_ms": 2000}))
        .await;
    assert_eq!(answer["features"], json!(["country", "risk"]));
    assert_eq!(
        answer["rows"],
        json!([
            {"id": "u2", "status": "partial", "values": [null, "0.7"]},
            {"id": "nobody", "status": "missing", "values": [null, null]},
            {"id": "u1", "status": "found", "values": ["NL", "0.5"]},
            {"id": "u2", "status": "partial", "values": [null, "0.7"]},
        ])
    );
    let summary = &answer["summary"];
    assert_eq!(
        (&summary["found"], &summary["partial"], &summary["missing"], &summary["unavailable"]),
        (&json!(1), &json!(2), &json!(1), &json!(0))
    );
    assert!(summary["elapsed_ms"].as_f64().unwrap() > 0.0);
    api.clean().await;
}

#[tokio::test]
async fn a_batch_of_no_ids_is_an_empty_answer() {
    let api = Api::new().await;
    let answer = api.batch(&json!({"ids": [], "features": ["x"]})).await;
    assert_eq!(answer["rows"], json!([]));
}

#[tokio::test]
async fn one_entity_is_the_same_row_as_in_a_batch() {
    let api = Api::new().await;
    api.fill("u1", &[("a", "1"), ("b", "x y"), ("c", "")]).await;
    let row = api.get("/v1/features/u1?features=a,b&features=c,d&timeout_ms=2000&entity=user").await;
    assert_eq!(row.status, 200);
    assert_eq!(row.json(), json!({"id": "u1", "status": "partial", "values": ["1", "x y", "", null]}));
    let batch = api.batch(&json!({"ids": ["u1"], "features": ["a", "b", "c", "d"]})).await;
    assert_eq!(batch["rows"][0], row.json());
    let nobody = api.get("/v1/features/nobody?features=a").await;
    assert_eq!((nobody.status, nobody.json()["status"].clone()), (200, json!("missing")));
    api.clean().await;
}

#[tokio::test]
async fn odd_ids_and_features_pass_unchanged_through_path_query_and_body() {
    let api = Api::new().await;
    for id in ODD_IDS {
        let path = format!("/v1/features/{}", percent(id));
        let written = api.put(&path, json!({"features": {id: id}, "ttl_seconds": 60}).to_string()).await;
        assert_eq!(written.status, 200, "{id:?} {}", written.text());
        let read = api.get(&format!("{path}?features={}", percent(id))).await;
        assert_eq!(read.json(), json!({"id": id, "status": "found", "values": [id]}));
        let entity = api.get(&format!("/v1/entities/{}", percent(id))).await.json();
        assert_eq!(entity["key"], format!("{}{id}", api.store.options().prefix));
        assert_eq!((&entity["fields"][0]["name"], &entity["fields"][0]["value"]), (&json!(id), &json!(id)));
    }
    let batch = api.batch(&json!({"ids": ODD_IDS, "features": ODD_IDS})).await;
    for (number, id) in ODD_IDS.iter().enumerate() {
        let row = &batch["rows"][number];
        assert_eq!((&row["id"], &row["values"][number]), (&json!(id), &json!(id)));
    }
    api.clean().await;
}

#[tokio::test]
async fn an_id_called_like_a_route_is_reached_by_encoding_a_character() {
    let api = Api::new().await;
    for (id, path) in [("batch", "/v1/features/%62atch"), ("load", "/v1/features/%6Coad")] {
        let written = api.put(path, r#"{"features":{"f":1}}"#).await;
        assert_eq!(written.status, 200, "{}", written.text());
        assert_eq!(api.get(&format!("{path}?features=f")).await.json()["id"], id);
    }
    api.clean().await;
}

#[tokio::test]
async fn a_batch_is_answered_in_the_format_that_is_asked_for() {
    let api = Api::new().await;
    api.fill("u1", &[("a", "1,2"), ("b", "")]).await;
    let body = json!({"ids": ["u1", "u2"], "features": ["a", "b"]});
    let csv = accept(&api, "text/csv", &body).await;
    assert_eq!((csv.status, csv.header("content-type")), (200, "text/csv"));
    assert_eq!(csv.text(), "id,status,a,b\nu1,found,\"1,2\",\"\"\nu2,missing,,\n");
    let ndjson = accept(&api, "application/x-ndjson", &body).await;
    assert_eq!((ndjson.status, ndjson.header("content-type")), (200, "application/x-ndjson"));
    assert_eq!(
        ndjson.text(),
        "{\"id\":\"u1\",\"status\":\"found\",\"features\":{\"a\":\"1,2\",\"b\":\"\"}}\n\
         {\"id\":\"u2\",\"status\":\"missing\",\"features\":{\"a\":null,\"b\":null}}\n"
    );
    let arrow = accept(&api, "application/vnd.apache.arrow.stream", &body).await;
    assert_eq!((arrow.status, arrow.header("content-type")), (200, "application/vnd.apache.arrow.stream"));
    let batches: Vec<_> =
        StreamReader::try_new(&arrow.bytes[..], None).unwrap().map(Result::unwrap).collect();
    let columns: Vec<Vec<_>> =
        batches[0].columns().iter().map(|column| column.as_string::<i32>().iter().collect()).collect();
    let expected = [
        [Some("u1"), Some("u2")],
        [Some("1,2"), None],
        [Some(""), None],
        [Some("found"), Some("missing")],
        [None, None],
    ];
    assert_eq!((batches.len(), columns), (1, expected.map(Vec::from).into()));
    for json in ["*/*", "application/json", "text/html, */*;q=0.8"] {
        let answer = accept(&api, json, &body).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{json}");
    }
    let refused = accept(&api, "text/html", &body).await.error();
    assert_eq!((refused.0, refused.1.as_str()), (406, "not_acceptable"));
    assert!(
        refused.2.ends_with(
            "there is application/json, application/x-ndjson, text/csv, application/vnd.apache.arrow.stream"
        ),
        "{}",
        refused.2
    );
    api.clean().await;
}

#[tokio::test]
async fn a_large_batch_is_whole_and_in_order() {
    let api = Api::new().await;
    let lines: String =
        (0..3_000).map(|n| format!("{{\"id\":\"u{n}\",\"features\":{{\"n\":{n}}}}}\n")).collect();
    assert_eq!(api.post("/v1/features/load", lines).await.json()["written"], 3_000);
    let ids: Vec<String> = (0..3_000).rev().map(|n| format!("u{n}")).collect();
    let features: Vec<String> =
        (0..40).map(|n| if n == 20 { "n".to_owned() } else { format!("f{n}") }).collect();
    let body = json!({"ids": ids, "features": features, "timeout_ms": 20_000});
    let answer = api.batch(&body).await;
    for (row, id) in answer["rows"].as_array().unwrap().iter().zip(&ids) {
        assert_eq!((row["id"].as_str(), row["values"][20].as_str()), (Some(id.as_str()), Some(&id[1..])));
    }
    assert_eq!(answer["summary"]["partial"], 3_000);
    api.clean().await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_unavailable_in_a_batch_and_an_error_alone() {
    let api = Api::new().await;
    redis_set(&api, "odd").await;
    let batch = api.batch(&json!({"ids": ["odd", "u1"], "features": ["f"]})).await;
    assert_eq!(
        (&batch["rows"][0]["status"], &batch["rows"][1]["status"]),
        (&json!("unavailable"), &json!("missing"))
    );
    assert!(batch["rows"][0]["error"].as_str().unwrap().contains("WRONGTYPE"), "{batch}");
    for (status, code, message) in [
        api.get("/v1/features/odd?features=f").await.error(),
        api.get("/v1/entities/odd").await.error(),
        api.put("/v1/features/odd", r#"{"features":{"f":1}}"#).await.error(),
    ] {
        assert_eq!((status, code.as_str()), (502, "refused"), "{message}");
        assert!(message.contains("WRONGTYPE"), "{message}");
    }
    api.clean().await;
}

/// Puts a string where the hash of `id` should be.
async fn redis_set(api: &Api, id: &str) -> redis::cluster_async::ClusterConnection {
    let seeds = api.store.settings().seeds.iter().map(|seed| format!("redis://{seed}"));
    let client = redis::cluster::ClusterClient::new(seeds).unwrap();
    let mut connection = client.get_async_connection().await.unwrap();
    let key = format!("{}{id}", api.store.options().prefix);
    redis::cmd("SET").arg(key).arg("x").arg("EX").arg(60).exec_async(&mut connection).await.unwrap();
    connection
}

#[tokio::test]
async fn bytes_that_are_no_text_are_shown_as_base64() {
    let api = Api::new().await;
    let key = format!("{}raw", api.store.options().prefix);
    let mut connection = redis_set(&api, "other").await;
    redis::cmd("HSET").arg(&key).arg(b"\xfff").arg(b"\x00\xfe").exec_async(&mut connection).await.unwrap();
    redis::cmd("EXPIRE").arg(&key).arg(60).exec_async(&mut connection).await.unwrap();
    let entity = api.get("/v1/entities/raw").await.json();
    assert_eq!(
        entity["fields"],
        json!([{"name": {"base64": "/2Y="}, "value": {"base64": "AP4="}, "ttl_seconds": -1}])
    );
    api.clean().await;
}

#[tokio::test]
async fn where_several_kinds_are_served_a_request_names_one() {
    let store =
        test_store(["user", "merchant"].map(EntityOptions::new).into(), StoreOptions::default()).await;
    let api = Api::of(store, HttpOptions::default());
    let put = r#"{"features":{"f":"m"},"entity":"merchant"}"#;
    assert_eq!(api.put("/v1/features/x", put).await.status, 200);
    let load = "{\"id\":\"x\",\"features\":{\"f\":\"u\"}}";
    assert_eq!(api.post("/v1/features/load?entity=user", load).await.json()["written"], 1);
    for (kind, value) in [("user", "u"), ("merchant", "m")] {
        let row = api.get(&format!("/v1/features/x?features=f&entity={kind}")).await.json();
        assert_eq!(row["values"], json!([value]));
        let batch = api.batch(&json!({"ids": ["x"], "features": ["f"], "entity": kind})).await;
        assert_eq!(batch["rows"][0]["values"], json!([value]));
        let entity = api.get(&format!("/v1/entities/x?entity={kind}")).await.json();
        assert_eq!(entity["fields"][0]["value"], value);
    }
    let unnamed = api.get("/v1/features/x?features=f").await.error();
    assert_eq!((unnamed.0, unnamed.1.as_str()), (400, "entity_not_named"));
    assert!(unnamed.2.contains("user, merchant"), "{}", unnamed.2);
    let unknown = api.get("/v1/entities/x?entity=item").await.error();
    assert_eq!((unknown.0, unknown.1.as_str()), (400, "unknown_entity"));
    api.clean().await;
}

//! A schema over HTTP: feature sets, typed values, defaults, values that are not of their type, checked writes.

use std::collections::BTreeSet;

use axum::http::Request;
use serde_json::{Value, json};
use slotwise::http::HttpOptions;
use slotwise::http::wire::{BatchAnswer, RowAnswer, RowLine, TextOrBytes, ValueAnswer};
use slotwise::model::{FeatureClass, FeatureName, FeatureSpec, FeatureType, Schema};
use slotwise::store::{EntityOptions, StoreOptions};

use crate::support::{Api, test_store};

async fn typed() -> Api {
    let (batch, streaming) = (FeatureClass::Batch, FeatureClass::Streaming);
    let mut schema = Schema::default();
    for (name, feature_type, class, ttl_seconds, default) in [
        ("count", FeatureType::Int64, batch, None, Some("0")),
        ("score", FeatureType::Float64, batch, None, None),
        ("vip", FeatureType::Bool, batch, None, Some("false")),
        ("seen", FeatureType::TimestampMs, batch, None, None),
        ("country", FeatureType::String, batch, None, None),
        ("clicks", FeatureType::Int64, streaming, Some(120), None),
        ("hot", FeatureType::Bool, streaming, None, None),
    ] {
        let name = FeatureName::new(name).unwrap();
        let default = default.map(Into::into);
        schema.add_feature(FeatureSpec { name, feature_type, class, ttl_seconds, default }).unwrap();
    }
    let features = ["count", "score", "vip", "seen", "country"].map(|name| FeatureName::new(name).unwrap());
    schema.add_set("fraud", &features).unwrap();
    let kind = EntityOptions { schema, ..EntityOptions::default() };
    Api::of(test_store(vec![kind], StoreOptions::default()).await, HttpOptions::default())
}

/// Writes fields past the schema, as another program would.
async fn plain(api: &Api, id: &str, features: &[(&str, &str)]) {
    let kinds = vec![EntityOptions { schema: Schema::default(), ..api.store.options().clone() }];
    let settings = api.store.settings().clone();
    let store = slotwise::FeatureStore::connect(settings, kinds, StoreOptions::default()).await.unwrap();
    let unchecked = Api::of(store, HttpOptions::default());
    unchecked.fill(id, features).await;
}

const WHOLE: [(&str, &str); 5] =
    [("count", "-7"), ("score", "0.25"), ("vip", "true"), ("seen", "1760000000000"), ("country", "NL")];

#[tokio::test]
async fn a_feature_set_is_read_as_its_types_in_every_route() {
    let api = typed().await;
    api.fill("u1", &WHOLE).await;
    let values = json!([-7, 0.25, true, 1_760_000_000_000_i64, "NL"]);
    let answer = api.batch(&json!({"ids": ["u1", "nobody"], "feature_set": "fraud"})).await;
    assert_eq!(answer["features"], json!(["count", "score", "vip", "seen", "country"]));
    assert_eq!(answer["rows"][0], json!({"id": "u1", "status": "found", "values": values}));
    assert_eq!(
        answer["rows"][1],
        json!({"id": "nobody", "status": "missing", "values": [null, null, null, null, null]})
    );
    assert_eq!(answer["summary"].get("unparsable"), None);
    let row = api.get("/v1/features/u1?feature_set=fraud").await.json();
    assert_eq!(row, json!({"id": "u1", "status": "found", "values": values}));
    let listed = api.get("/v1/features/u1?features=vip,country,unlisted").await.json();
    assert_eq!(listed["values"], json!([true, "NL", null]), "listed features are typed too");

    let body = json!({"ids": ["u1"], "feature_set": "fraud"}).to_string();
    let accept = |format: &str| Request::post("/v1/features/batch").header("accept", format);
    let line = api.call(accept("application/x-ndjson").body(body.clone().into()).unwrap()).await.text();
    let row: RowLine = serde_json::from_str(&line).unwrap();
    assert_eq!(row.features["vip"], Some(ValueAnswer::Boolean(true)));
    let csv = api.call(accept("text/csv").body(body.into()).unwrap()).await.text();
    assert_eq!(csv, "id,status,count,score,vip,seen,country\nu1,found,-7,0.25,true,1760000000000,NL\n");
    let kind = &api.get("/v1/cluster").await.json()["entities"][0];
    assert_eq!(kind["feature_sets"], json!(["fraud"]));
    api.clean().await;
}

#[tokio::test]
async fn defaults_stand_in_for_absent_values_only_where_they_are_asked_for() {
    let api = typed().await;
    api.fill("half", &[("count", "4"), ("country", "NL")]).await;
    let ask = async |defaults: Value| {
        let mut body = json!({"ids": ["half", "nobody"], "feature_set": "fraud"});
        if !defaults.is_null() {
            body["defaults"] = defaults;
        }
        api.batch(&body).await["rows"].clone()
    };
    let without = json!([
        {"id": "half", "status": "partial", "values": [4, null, null, null, "NL"]},
        {"id": "nobody", "status": "missing", "values": [null, null, null, null, null]},
    ]);
    assert_eq!((ask(Value::Null).await, ask(json!(false)).await), (without.clone(), without));
    let with = ask(json!(true)).await;
    assert_eq!(with[0], json!({"id": "half", "status": "partial", "values": [4, null, false, null, "NL"]}));
    assert_eq!(with[1], json!({"id": "nobody", "status": "missing", "values": [0, null, false, null, null]}));
    let row = api.get("/v1/features/half?features=vip,count,seen&defaults=true").await.json();
    assert_eq!(row, json!({"id": "half", "status": "partial", "values": [false, 4, null]}));
    api.clean().await;
}

#[tokio::test]
async fn a_stored_value_that_is_not_of_its_type_is_reported_as_such_and_not_as_null() {
    let api = typed().await;
    plain(&api, "u1", &[("count", "many"), ("score", "0.5"), ("vip", "yes"), ("seen", "+5")]).await;
    let body = json!({"ids": ["u1", "u1"], "feature_set": "fraud", "defaults": true}).to_string();
    let answer = api.post("/v1/features/batch", body).await;
    let values = json!([{"unparsable": "many"}, 0.5, {"unparsable": "yes"}, 5, null]);
    assert_eq!(answer.json()["rows"][0], json!({"id": "u1", "status": "partial", "values": values}));
    assert_eq!(answer.json()["summary"]["unparsable"], 4);
    let described: BatchAnswer = serde_json::from_slice(&answer.bytes).unwrap();
    let unparsable = ValueAnswer::Unparsable { unparsable: TextOrBytes::Text("many".to_owned()) };
    assert_eq!(described.rows[1].values[0], Some(unparsable));
    let row: RowAnswer =
        serde_json::from_slice(&api.get("/v1/features/u1?features=vip").await.bytes).unwrap();
    assert!(matches!(row.values[0], Some(ValueAnswer::Unparsable { .. })));
    api.clean().await;
}

#[tokio::test]
async fn a_read_names_features_or_a_set_and_never_both() {
    let api = typed().await;
    let which = "give exactly one of features and feature_set";
    let unknown = "feature_set: \"fraud_v2\" is not configured; there is fraud";
    for (path, body, code, message) in [
        ("", json!({"ids": ["a"]}), "features_or_feature_set", which),
        (
            "",
            json!({"ids": ["a"], "features": ["x"], "feature_set": "fraud"}),
            "features_or_feature_set",
            which,
        ),
        ("", json!({"ids": ["a"], "feature_set": "fraud_v2"}), "unknown_feature_set", unknown),
        ("a?features=x&feature_set=fraud", Value::Null, "features_or_feature_set", which),
        ("a?feature_set=fraud_v2", Value::Null, "unknown_feature_set", unknown),
        (
            "a?features=x&defaults=1",
            Value::Null,
            "invalid_query",
            "defaults: \"1\" is neither true nor false",
        ),
    ] {
        let answer = match path {
            "" => api.post("/v1/features/batch", body.to_string()).await,
            path => api.get(&format!("/v1/features/{path}")).await,
        };
        assert_eq!(answer.error(), (400, code.to_owned(), message.to_owned()), "{path}{body}");
    }
}

#[tokio::test]
async fn a_write_that_breaks_the_schema_is_refused_by_the_features_name() {
    let api = typed().await;
    for (features, code, says) in [
        (
            json!({"clicks": 1.5}),
            "wrong_type",
            "feature \"clicks\": the value is no int64 (a whole number of 64 bits)",
        ),
        (json!({"hot": 1}), "wrong_type", "feature \"hot\": the value is no bool (true or false)"),
        (json!({"count": 1}), "wrong_kind", "feature \"count\": it is a batch feature"),
    ] {
        let (status, told, message) =
            api.put("/v1/features/u1", json!({"features": features}).to_string()).await.error();
        assert_eq!((status, told.as_str()), (400, code));
        assert!(message.starts_with(says), "{message}");
    }
    let rows = "{\"id\":\"u1\",\"features\":{\"count\":3.0,\"vip\":true}}\n\
        {\"id\":\"u2\",\"features\":{\"count\":\"many\"}}\n\
        {\"id\":\"u3\",\"features\":{\"clicks\":3}}\n\
        {\"id\":\"u4\",\"features\":{\"count\":\"12\",\"unlisted\":[]}}\n\
        {\"id\":\"u5\",\"features\":{\"count\":\"12\",\"unlisted\":\"x\"}}\n";
    let answer = api.post("/v1/features/load", rows).await.json();
    let lines = answer["rejected"].as_array().unwrap().iter().map(|row| row["line"].as_u64().unwrap());
    assert_eq!((&answer["written"], lines.collect::<BTreeSet<_>>()), (&json!(2), BTreeSet::from([2, 3, 4])));
    assert_eq!(api.store.count_entities().await.unwrap(), 2);
    let row = api.get("/v1/features/u1?features=count,vip").await.json();
    assert_eq!(row["values"], json!([3, true]), "a number without a fraction is a whole number");
    api.clean().await;
}

#[tokio::test]
async fn a_streaming_write_tells_the_shortest_ttl_that_the_schema_gives_its_features() {
    let api = typed().await;
    let answer = api.put("/v1/features/u1", r#"{"features":{"hot":true,"clicks":7}}"#).await;
    assert_eq!(answer.json(), json!({"written": 2, "ttl_seconds": 120}));
    let entity = api.get("/v1/entities/u1").await.json();
    let ttl = |field: usize| entity["fields"][field]["ttl_seconds"].as_i64().unwrap();
    assert!((110..=120).contains(&ttl(0)) && (290..=300).contains(&ttl(1)), "{entity}");
    api.clean().await;
}

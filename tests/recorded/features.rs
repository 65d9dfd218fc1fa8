//! Values that are there, that are not, and that are not of their type, of the features that a schema names.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use slotwise::FeatureStore;
use slotwise::http::{HttpOptions, HttpState, router};
use slotwise::model::{FeatureClass, FeatureSpec, FeatureType, Schema};
use slotwise::store::EntityOptions;
use tower::ServiceExt;

use super::Page;
use crate::support::features::{LONG, Oracle, id, kind, names, store};
use crate::support::{shared_cluster, unique_prefix};

const VALUES: &str = "slotwise_feature_values_total";
const ENCODED: &str = "slotwise_read_phase_duration_seconds_count";

/// A store of a kind whose schema names `count` and `score`, with entities whose rows are whole, partial and missing.
async fn scene(entity: &str) -> FeatureStore {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let mut schema = Schema::default();
    for (name, feature_type) in [("count", FeatureType::Int64), ("score", FeatureType::Float64)] {
        let name = names(&[name]).remove(0);
        let class = FeatureClass::Batch;
        schema
            .add_feature(FeatureSpec { name, feature_type, class, ttl_seconds: None, default: None })
            .unwrap();
    }
    let kind = EntityOptions { schema, ..kind(&prefix) };
    let store = store(cluster, EntityOptions { name: entity.to_owned(), ..kind }).await;
    let oracle = Oracle::of(cluster).await;
    for row in ["whole count 7 score 0.5 other x", "wrong count many score 1", "partial score half"] {
        oracle.say(&format!("HSET {prefix}{row}")).await;
    }
    oracle.say(&format!("SET {prefix}text word")).await;
    store
}

fn of(labels: &[[String; 3]; 4]) -> [(&'static str, Vec<&str>); 4] {
    labels.each_ref().map(|labels| (VALUES, labels.iter().map(String::as_str).collect()))
}

fn labels(entity: &str) -> [[String; 3]; 4] {
    let label = |feature: &str, outcome: &str| {
        [format!("entity=\"{entity}\""), format!("feature=\"{feature}\""), format!("outcome=\"{outcome}\"")]
    };
    [
        label("count", "present"),
        label("count", "missing"),
        label("score", "present"),
        label("score", "missing"),
    ]
}

#[tokio::test]
async fn values_are_counted_by_feature_in_every_row_that_was_read() {
    let page = Page::new().await;
    let store = scene("counted").await;
    let labels = labels("counted");
    let series = of(&labels);
    let grown = page
        .growth(series.each_ref().map(|(name, labels)| (*name, &labels[..])), async {
            let read = async |ids: &[&str], features: &[&str]| {
                let ids: Vec<_> = ids.iter().map(|text| id(text)).collect();
                store.batch_get_features(ids, names(features), LONG).await.unwrap();
            };
            // Whole, partial, missing, not readable, and one twice: count 3 of 5, score 4 of 5.
            read(&["whole", "wrong", "partial", "gone", "text", "whole"], &["other", "count", "score"]).await;
            // No row twice: count 2 of 3, score 3 of 3.
            read(&["whole", "wrong", "partial"], &["score", "count"]).await;
            // One alone: count 0 of 1.
            read(&["partial"], &["count"]).await;
            // Nothing that the schema names.
            read(&["whole", "gone"], &["other"]).await;
        })
        .await;
    assert_eq!(grown, [5.0, 4.0, 7.0, 1.0]);
    assert_eq!(page.sum(VALUES, &["feature=\"other\""]), 0.0, "a feature that nobody declared has no series");
}

#[tokio::test]
async fn values_of_another_type_are_counted_when_they_are_written_out() {
    let page = Page::new().await;
    let store = scene("typed").await;
    let router = router(HttpState::new(store, None, HttpOptions::default()));
    let call = async |request: Request<Body>| {
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        assert_eq!((status, to_bytes(answer.into_body(), 1 << 20).await.is_ok()), (200, true));
    };
    let batch = async |accept: &str, ids: &[&str]| {
        let body = serde_json::json!({ "ids": ids, "features": ["other", "count", "score"] }).to_string();
        let request = Request::post("/v1/features/batch").header("accept", accept);
        call(request.body(Body::from(body)).unwrap()).await;
    };
    let unparsable = |feature| ["entity=\"typed\"", feature, "outcome=\"unparsable\""];
    let [count, score] = [unparsable("feature=\"count\""), unparsable("feature=\"score\"")];
    let grown = page
        .growth([(VALUES, &count), (VALUES, &score), (ENCODED, &["phase=\"encode\""])], async {
            let all = ["whole", "wrong", "partial", "gone"];
            for accept in ["application/json", "application/x-ndjson", "text/csv"] {
                batch(accept, &all).await;
            }
            #[cfg(feature = "arrow")]
            batch("application/vnd.apache.arrow.stream", &all).await;
            batch("application/json", &["wrong"]).await;
            call(Request::get("/v1/features/wrong?features=score,count").body(Body::empty()).unwrap()).await;
        })
        .await;
    let parsing = if cfg!(feature = "arrow") { 3.0 } else { 2.0 };
    assert_eq!(grown, [parsing + 2.0, parsing, parsing + 2.0]);
}

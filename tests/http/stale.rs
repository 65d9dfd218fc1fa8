//! Rows that a replica answered: the answer says so, in every format.

use serde_json::json;
use slotwise::FeatureStore;
use slotwise::http::{HttpOptions, STALE_POSSIBLE_HEADER};
use slotwise::shard::RedisSettings;
use slotwise::store::{EntityOptions, StoreOptions};

use super::cluster::{SOON, cluster, wait_until};
use super::support::Api;

#[tokio::test]
async fn rows_of_replicas_are_counted_in_the_summary_and_in_the_head_of_the_answer() {
    let servers = cluster(1, 1).await;
    let settings = RedisSettings::from_urls(servers.urls().split(',')).unwrap();
    let store =
        FeatureStore::connect(settings, vec![EntityOptions::default()], StoreOptions::default()).await;
    let api = Api::of(store.unwrap(), HttpOptions::default());
    for id in ["u1", "u2"] {
        api.fill(id, &[("a", "1")]).await;
    }
    let (primary, replica) = (servers.client(0).await.unwrap(), servers.client(1).await.unwrap());
    let keys =
        async |node: &slotwise::shard::node::NodeClient| node.call(&["DBSIZE"]).await.unwrap().as_i64();
    wait_until("the replica has both", SOON, || async { keys(&primary).await == keys(&replica).await }).await;

    // A node does not tell of a replica that has copied nothing yet.
    let known = || async { api.store.topology().shards()[0].replicas.len() == 1 };
    wait_until("the store knows the replica", SOON, known).await;

    let body = json!({ "ids": ["u1", "u2"], "features": ["a"], "timeout_ms": 1_000 });
    assert_eq!(api.batch(&body).await["summary"].get("stale_possible"), None);
    let answer = api.get("/v1/features/u1?features=a").await;
    assert_eq!((answer.status, answer.header(STALE_POSSIBLE_HEADER)), (200, ""));

    servers.pause_node(0).unwrap();
    let summary = &api.batch(&body).await["summary"];
    assert_eq!(
        (summary["found"].as_u64(), summary["stale_possible"].as_u64()),
        (Some(2), Some(2)),
        "{summary}"
    );
    for accept in ["application/json", "application/x-ndjson", "text/csv"] {
        let request = axum::http::Request::post("/v1/features/batch").header("accept", accept);
        let answer = api.call(request.body(body.to_string().into()).unwrap()).await;
        assert_eq!((answer.status, answer.header(STALE_POSSIBLE_HEADER)), (200, "2"), "{accept}");
    }
    let answer = api.get("/v1/features/u1?features=a&timeout_ms=1000").await;
    assert_eq!((answer.status, answer.header(STALE_POSSIBLE_HEADER)), (200, "1"), "{}", answer.text());
    servers.resume_node(0).unwrap();
}

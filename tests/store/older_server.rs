//! Servers that can do less: the other way of writing is taken, or the connection is refused.

use slotwise::FeatureStore;
use slotwise::shard::{RedisSettings, StreamingWrite};
use slotwise::store::EntityOptions;

use super::schema::{assert_each_feature_has_its_own_ttl, schema};
use super::streaming::assert_streaming_keeps_its_promise;
use crate::support::features::{Oracle, kind, options, store};
use crate::support::{server, shared_cluster, start, unique_prefix};
use slotwise::devcluster::{ClusterSpec, LocalCluster};

async fn cluster_without(commands: &[&str]) -> LocalCluster {
    let mut spec = ClusterSpec::new(server().await, 1);
    let forget = |command: &&str| ("rename-command".to_owned(), format!("{command} \"\""));
    spec.extra_config.extend(commands.iter().map(forget));
    start(spec).await
}

#[tokio::test]
async fn hsetex_is_used_where_the_server_has_it() {
    let store = store(shared_cluster().await, kind(&unique_prefix())).await;
    let server = server().await.version();
    assert_eq!(store.capabilities().streaming_write, StreamingWrite::Hsetex, "{server}");
    assert_eq!(store.capabilities().server, server.to_string().to_lowercase());
}

#[tokio::test]
async fn without_hsetex_a_transaction_keeps_the_same_promise() {
    let cluster = cluster_without(&["HSETEX"]).await;
    let prefix = unique_prefix();
    let store = store(&cluster, kind(&prefix)).await;
    assert_eq!(store.capabilities().streaming_write, StreamingWrite::Transaction);
    assert_streaming_keeps_its_promise(&store, &Oracle::of(&cluster).await, &prefix).await;

    let prefix = unique_prefix();
    let typed = self::store(&cluster, EntityOptions { schema: schema(), ..kind(&prefix) }).await;
    assert_each_feature_has_its_own_ttl(&typed, &Oracle::of(&cluster).await, &prefix).await;
}

#[tokio::test]
async fn a_server_without_field_ttls_is_refused_with_its_version_and_the_one_needed() {
    let cluster = cluster_without(&["HSETEX", "HEXPIRE", "HTTL"]).await;
    let settings = RedisSettings::from_urls(cluster.urls().split(',')).unwrap();
    let kinds = vec![kind(&unique_prefix())];
    let connecting = Box::pin(FeatureStore::connect(settings, kinds, options()));
    let error = connecting.await.unwrap_err().to_string();
    let version = server().await.version().to_string().to_lowercase();
    for says in [&version, "needs Redis 7.4", "Valkey 9", &cluster.addrs()[0].to_string()] {
        assert!(error.contains(says), "{error}");
    }
}

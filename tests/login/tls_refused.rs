//! TLS that can't work: said in time, with the cause and what to do.

use slotwise::devcluster::LocalCluster;
use slotwise::shard::RedisSettings;

use super::refused;
use crate::support::certs::{Certs, tls_cluster};
use crate::support::shared_cluster;

/// The addresses of a cluster under another scheme.
fn urls(cluster: &LocalCluster, scheme: &str) -> Vec<String> {
    cluster.addrs().iter().map(|addr| format!("{scheme}://{addr}")).collect()
}

#[tokio::test]
async fn nodes_with_certificates_of_another_ca_are_not_talked_to() {
    let it = tls_cluster(false).await;
    let text = refused(it.settings("other-ca", None)).await;
    assert!(text.contains("certificate") && text.contains("tls_ca_file"), "{text}");
}

#[tokio::test]
async fn plain_text_to_nodes_that_speak_tls_is_told() {
    let it = tls_cluster(false).await;
    let text = refused(RedisSettings::from_urls(urls(&it.cluster, "redis")).unwrap()).await;
    assert!(text.contains("the address says rediss://"), "{text}");
}

#[tokio::test]
async fn tls_to_nodes_that_speak_plain_text_is_told() {
    let plain = urls(shared_cluster().await, "rediss");
    let settings = RedisSettings::from_urls_and_files(plain, &Certs::new().files("ca", None)).unwrap();
    let text = refused(settings).await;
    assert!(text.contains("without it the address says redis://"), "{text}");
}

#[tokio::test]
async fn no_client_certificate_where_one_is_wanted_is_told() {
    let it = tls_cluster(true).await;
    let text = refused(it.settings("ca", None)).await;
    assert!(text.contains("client certificate") && text.contains("tls_cert_file"), "{text}");
}

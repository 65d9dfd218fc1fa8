//! What the servers hold, as `redis-cli` tells it; and what synthetic users are made of.

use std::collections::BTreeMap;

use slotwise::devcluster::LocalCluster;
use slotwise::ingest::{SYNTHETIC_SEED, SyntheticUsers};

use crate::support::redis_cli_at;

pub(crate) type Features = BTreeMap<String, String>;

/// A command that goes to whichever node owns the key.
pub(crate) async fn redis(cluster: &LocalCluster, args: &[&str]) -> String {
    let answer = redis_cli_at(cluster.nodes()[0].addr(), &[&["-c"], args].concat()).await;
    answer.trim_end().to_owned()
}

/// All fields of a key.
pub(crate) async fn hash(cluster: &LocalCluster, key: &str) -> Features {
    let answer = redis(cluster, &["--json", "HGETALL", key]).await;
    serde_json::from_str(&answer).unwrap()
}

pub(crate) async fn ttl(cluster: &LocalCluster, key: &str) -> i64 {
    redis(cluster, &["TTL", key]).await.parse().unwrap()
}

/// How many keys begin with `prefix`.
pub(crate) async fn count(cluster: &LocalCluster, prefix: &str) -> usize {
    let mut count = 0;
    for addr in cluster.addrs() {
        let keys = redis_cli_at(&addr, &["--scan", "--pattern", &format!("{prefix}*")]).await;
        count += keys.lines().count();
    }
    count
}

/// Synthetic users as slotwise makes them, by id.
pub(crate) fn synthetic(count: u64, seed: u64) -> Vec<(String, Features)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    SyntheticUsers::new(count, seed)
        .map(|row| {
            let features =
                row.features.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
            (row.id.to_string(), features.collect())
        })
        .collect()
}

/// Synthetic users of the default seed.
pub(crate) fn users(count: u64) -> Vec<(String, Features)> {
    synthetic(count, SYNTHETIC_SEED)
}

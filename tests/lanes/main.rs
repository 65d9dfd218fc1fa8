//! Direct lanes: what callers get of them when a node misbehaves, and what nodes see of them. A scripted peer stands in
//! for the node where no server would do such a thing; what is said about Redis is held against real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../support/mod.rs"]
mod support;

mod callers;
mod connections;
mod hostile;
mod login;
mod peer;
mod replicas;
mod silent;
mod unasked;

use std::sync::Arc;
use std::time::{Duration, Instant};

use slotwise::devcluster::LocalCluster;
use slotwise::model::FeatureName;
use slotwise::shard::{
    Cluster, FaultKind, InFlight, LaneTransport, PipelineFault, RedisSettings, ShardRead, ShardRows,
    ShardTransport, Target,
};
use slotwise::slot::NodeAddr;
use support::{SOON, shared_cluster};

/// Lanes over a real cluster, one per node; scripted peers are reached as nodes that a redirect named.
async fn lanes() -> LaneTransport {
    lanes_with(|_| {}).await
}

/// The same with other settings.
async fn lanes_with(change: impl FnOnce(&mut RedisSettings)) -> LaneTransport {
    LaneTransport::new(connect(shared_cluster().await, change).await, 1)
}

async fn connect(cluster: &LocalCluster, change: impl FnOnce(&mut RedisSettings)) -> Arc<Cluster> {
    let mut settings = RedisSettings::from_urls(cluster.urls().split(',')).unwrap();
    change(&mut settings);
    Cluster::connect(settings).await.unwrap()
}

/// The node that a redirect named.
fn at(node: &NodeAddr) -> Target {
    Target::Redirect { node: node.clone(), asking: false }
}

/// Reads the feature `v` of some keys.
async fn read(
    transport: &dyn ShardTransport,
    target: &Target,
    keys: &[&str],
) -> Result<ShardRows, PipelineFault> {
    read_counted(transport, target, keys, SOON, InFlight::uncounted()).await
}

/// The same with a time after which the caller goes away, and with places among the commands in flight.
async fn read_counted(
    transport: &dyn ShardTransport,
    target: &Target,
    keys: &[&str],
    limit: Duration,
    place: InFlight,
) -> Result<ShardRows, PipelineFault> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    let features = [FeatureName::new("v").unwrap()];
    let read = ShardRead { target, keys: &keys, features: &features, deadline: Instant::now() + limit };
    match tokio::time::timeout(limit, transport.read(read, place)).await {
        Ok(answer) => answer,
        Err(_) => Err(PipelineFault { reason: GAVE_UP.into(), kind: FaultKind::Timeout, may_have_run: true }),
    }
}

/// What [`read_counted`] says where the caller has gone.
const GAVE_UP: &str = "the caller gave up";

/// Reads until it works, which must be soon.
async fn read_at_last(transport: &dyn ShardTransport, target: &Target, keys: &[&str]) -> ShardRows {
    let begun = Instant::now();
    loop {
        match read_counted(transport, target, keys, Duration::from_millis(200), InFlight::uncounted()).await {
            Ok(rows) => return rows,
            Err(fault) => assert!(begun.elapsed() < SOON, "{fault}"),
        }
        tokio::task::yield_now().await;
    }
}

/// The values of the first feature; all rows must have an answer.
fn values(rows: &ShardRows) -> Vec<Option<String>> {
    assert!(rows.faults.is_empty(), "{:?}", rows.faults);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    rows.block.spans.iter().map(|span| span.slice(&rows.block.bytes).map(text)).collect()
}

/// Those that a scripted peer gives.
fn values_of(keys: &[&str]) -> Vec<Option<String>> {
    keys.iter().map(|key| Some(peer::value_of(key))).collect()
}

//! Makes one cluster of servers that run, and waits until every node says so.

use std::future::Future;

use futures::future::{join_all, try_join_all};

use super::error::DevClusterError;
use super::limits::FULL_MESH_NODES_MAX;
use super::node::{Deadline, LocalNode};
use super::view::{SLOTS, View, agreement};
use crate::shard::node::{NodeClient, NodeError};
use crate::slot::NodeAddr;

/// Slots, acquaintance, replicas: in that order, since a replica must know its primary. The first `shards`
/// nodes are the primaries.
pub(super) async fn form(
    nodes: &mut [LocalNode],
    clients: &[NodeClient],
    shards: usize,
    deadline: Deadline,
) -> Result<(), DevClusterError> {
    try_join_all(
        clients.iter().take(shards).enumerate().map(|(shard, client)| assign(client, shard, shards)),
    )
    .await?;
    try_join_all((0..clients.len()).map(|me| introduce(nodes, clients, me))).await?;
    if clients.len() > shards {
        let ids = all_acquainted(nodes, clients, deadline).await?;
        let pairs = nodes.iter().zip(clients).skip(shards).filter_map(|(node, client)| {
            let primary = ids.get(node.shard())?;
            Some(async move { client.call(&["CLUSTER", "REPLICATE", primary]).await })
        });
        try_join_all(pairs).await?;
    }
    all_agree(clients, deadline, || nodes.iter_mut().try_for_each(LocalNode::check_alive)).await
}

/// Waits until every node says that the cluster is ok, and all say the same. `check` ends the wait early.
pub(super) async fn all_agree(
    clients: &[NodeClient],
    deadline: Deadline,
    check: impl FnMut() -> Result<(), DevClusterError>,
) -> Result<(), DevClusterError> {
    until(deadline, check, || async {
        let views = all_views(clients).await?;
        agreement(&views)
    })
    .await
}

/// Waits until every node knows every other; gives each node's id.
async fn all_acquainted(
    nodes: &mut [LocalNode],
    clients: &[NodeClient],
    deadline: Deadline,
) -> Result<Vec<String>, DevClusterError> {
    let alive = || nodes.iter_mut().try_for_each(LocalNode::check_alive);
    until(deadline, alive, || async {
        let views = all_views(clients).await?;
        views
            .iter()
            .map(|(addr, view)| {
                view.knows_all(views.len()).map_err(|why| format!("{addr}: {why}"))?;
                view.me()
                    .map(|(id, _)| id.to_owned())
                    .ok_or_else(|| format!("{addr}: it does not list itself"))
            })
            .collect()
    })
    .await
}

/// Looks again and again until `look` finds it, with the reason of the last look in the error.
async fn until<T, F: Future<Output = Result<T, String>>>(
    deadline: Deadline,
    mut check: impl FnMut() -> Result<(), DevClusterError>,
    look: impl Fn() -> F,
) -> Result<T, DevClusterError> {
    loop {
        check()?;
        match look().await {
            Ok(found) => return Ok(found),
            Err(why) => deadline.pause(|| why).await?,
        }
    }
}

/// Gives a primary its share of the slots. Distinct epochs from the start spare the nodes settling that later.
async fn assign(client: &NodeClient, shard: usize, shards: usize) -> Result<(), NodeError> {
    let bound = |shard: usize| shard * usize::from(SLOTS) / shards;
    let (low, high) = (bound(shard).to_string(), (bound(shard + 1) - 1).to_string());
    client.call(&["CLUSTER", "SET-CONFIG-EPOCH", &(shard + 1).to_string()]).await?;
    client.call(&["CLUSTER", "ADDSLOTSRANGE", &low, &high]).await?;
    Ok(())
}

/// Has node `me` meet others.
async fn introduce(nodes: &[LocalNode], clients: &[NodeClient], me: usize) -> Result<(), NodeError> {
    let Some(client) = clients.get(me) else {
        return Ok(());
    };
    let full_mesh = nodes.len() <= FULL_MESH_NODES_MAX;
    for (_, other) in
        nodes.iter().enumerate().filter(|(i, _)| if full_mesh { *i > me } else { me == 0 && *i > 0 })
    {
        let (port, bus) = (other.addr().port.to_string(), other.bus_port().to_string());
        client.call(&["CLUSTER", "MEET", &other.addr().host, &port, &bus]).await?;
    }
    Ok(())
}

async fn all_views(clients: &[NodeClient]) -> Result<Vec<(NodeAddr, View)>, String> {
    let views = join_all(clients.iter().map(view)).await;
    let named = clients.iter().zip(views);
    named.map(|(client, view)| Ok((client.addr().clone(), view.map_err(|e| e.to_string())?))).collect()
}

/// Asks one node what it sees.
pub(super) async fn view(client: &NodeClient) -> Result<View, NodeError> {
    let info = client.call(&["CLUSTER", "INFO"]).await?;
    let nodes = client.call(&["CLUSTER", "NODES"]).await?;
    let replication = client.call(&["INFO", "replication"]).await?;
    let text = |reply: &crate::shard::reply::Reply| reply.as_str().unwrap_or_default().to_owned();
    Ok(View::parse(&text(&info), &text(&nodes), &text(&replication)))
}

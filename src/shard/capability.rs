//! What the servers can do, asked once when connecting.

use std::sync::Arc;

use futures::future::join_all;

use crate::slot::NodeAddr;

use super::cluster::{Cluster, ConnectError, Target};
use super::command::Command;
use super::reply::Reply;

/// What would do, in words.
const NEEDED: &str = "Redis 7.4 or later, or Valkey 9 or later (field TTLs: HEXPIRE, HTTL)";

/// How a value and its field TTL are written in one atomic step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamingWrite {
    /// `HSETEX`, one command. Redis 8.0, Valkey 9.0.
    Hsetex,
    /// `MULTI`, `HSET`, `HEXPIRE`, `EXEC`. Redis 7.4.
    Transaction,
}

/// What all primaries can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Flavour and version of the first primary, such as `redis 8.0.2`.
    pub server: String,
    /// How streaming features are written.
    pub streaming_write: StreamingWrite,
}

impl Capabilities {
    /// Asks every primary. Errors where one is too old, with its version and the one needed, or where none answers.
    pub async fn of(cluster: &Cluster) -> Result<Self, ConnectError> {
        let topology = cluster.topology();
        let nobody = |why: &str| ConnectError::Unreachable {
            seeds: cluster.settings().seeds_text(),
            why: why.to_owned(),
        };
        if topology.shards().is_empty() {
            return Err(nobody("the cluster has no slots assigned"));
        }
        let asked = topology
            .shards()
            .iter()
            .map(|shard| async { ask(cluster, &Target::Shard(Arc::clone(shard))).await });
        let (mut found, mut unreachable) = (None::<Self>, None);
        for one in join_all(asked).await {
            let one = match one {
                Ok(one) => one,
                Err(error @ ConnectError::TooOld { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "a shard was not asked what it can do");
                    unreachable = Some(error);
                    continue;
                }
            };
            found = Some(match found {
                None => one,
                // A cluster in the middle of an upgrade writes in the way that all of it understands.
                Some(all) if one.streaming_write == StreamingWrite::Transaction => {
                    Self { streaming_write: StreamingWrite::Transaction, ..all }
                }
                Some(all) => all,
            });
        }
        // One shard that is down must not keep the others from being served.
        found.ok_or_else(|| unreachable.unwrap_or_else(|| nobody("the cluster has no primary")))
    }
}

async fn ask(cluster: &Cluster, target: &Target) -> Result<Capabilities, ConnectError> {
    let node = target.node().clone();
    let failed = |why: String| ConnectError::Unreachable { seeds: node.to_string(), why };
    let commands = [
        Command::new("INFO").arg("server"),
        Command::new("COMMAND").arg("INFO").arg("HEXPIRE").arg("HTTL").arg("HSETEX"),
    ];
    let answer = cluster.send(target, commands, None).await.map_err(|fault| failed(fault.to_string()))?;
    if answer.node != node {
        return Err(failed("it is not connected".to_owned()));
    }
    let mut replies = answer.replies.into_iter();
    let (Some(Ok(info)), Some(Ok(known))) = (replies.next(), replies.next()) else {
        return Err(failed("it does not answer INFO and COMMAND INFO; may the user run them?".into()));
    };
    let server = server_version(info.as_str().unwrap_or_default());
    let known: Vec<bool> =
        known.into_array().unwrap_or_default().iter().map(|entry| !matches!(entry, Reply::Nil)).collect();
    match known[..] {
        [true, true, hsetex] => Ok(Capabilities {
            server,
            streaming_write: if hsetex { StreamingWrite::Hsetex } else { StreamingWrite::Transaction },
        }),
        _ => Err(too_old(node, server)),
    }
}

fn too_old(node: NodeAddr, found: String) -> ConnectError {
    ConnectError::TooOld { node, found, needed: NEEDED }
}

/// `redis 8.0.2` or `valkey 9.0.1`, out of the answer to `INFO server`.
fn server_version(info: &str) -> String {
    let field =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    match (field("valkey_version"), field("redis_version")) {
        (Some(version), _) => format!("valkey {version}"),
        (None, Some(version)) => format!("redis {version}"),
        (None, None) => "a server of unknown version".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_either_flavour() {
        assert_eq!(server_version("# Server\r\nredis_version:7.0.15\r\nos:Linux\r\n"), "redis 7.0.15");
        let valkey = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.0.1\r\n";
        assert_eq!(server_version(valkey), "valkey 9.0.1");
        assert_eq!(server_version(""), "a server of unknown version");
    }
}

//! Connections to single nodes beside the driver's: those that a redirect named, which the driver may not know yet
//! (one that has been given its first slot this moment is in no topology), and replicas that are to be read from.
//!
//! Invariant: at most [`REDIRECT_CONNECTIONS_MAX`] connections; one that failed is dropped and opened anew.

use ahash::AHashMap;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value};
use tokio::sync::Mutex;

use crate::model::limits::REDIRECT_CONNECTIONS_MAX;
use crate::slot::NodeAddr;

use super::fault::PipelineFault;
use super::role::Role;
use super::settings::RedisSettings;

pub(super) struct NodeConnections {
    role: Role,
    open: Mutex<AHashMap<NodeAddr, MultiplexedConnection>>,
}

impl NodeConnections {
    pub(super) fn new(role: Role) -> Self {
        Self { role, open: Mutex::default() }
    }

    /// Sends a pipeline to `node` and brings a value or an error value per command.
    pub(super) async fn send(
        &self,
        settings: &RedisSettings,
        node: &NodeAddr,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, PipelineFault> {
        let connection = self.get(settings, node).await;
        let mut connection = connection.map_err(|error| PipelineFault::not_sent(&error.to_string()))?;
        let answer = connection.send_packed_commands(pipeline, 0, pipeline.len()).await;
        if answer.is_err() {
            self.open.lock().await.remove(node);
        }
        answer.map_err(|error| PipelineFault::unanswered(&error))
    }

    async fn get(&self, settings: &RedisSettings, node: &NodeAddr) -> RedisResult<MultiplexedConnection> {
        if let Some(connection) = self.open.lock().await.get(node) {
            return Ok(connection.clone());
        }
        // Opened without the lock: a node that does not answer must not hold up redirects to another.
        let mut connection = settings.node_connection(node).await?;
        if self.role == Role::Replica {
            connection.send_packed_command(&redis::cmd("READONLY")).await?.extract_error()?;
        }
        let mut open = self.open.lock().await;
        if open.len() >= REDIRECT_CONNECTIONS_MAX {
            // Any one: whoever needs it opens it again.
            let any = open.keys().next().cloned();
            any.and_then(|any| open.remove(&any));
        }
        open.insert(node.clone(), connection.clone());
        Ok(connection)
    }
}

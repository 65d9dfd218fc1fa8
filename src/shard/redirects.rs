//! Connections to nodes that a redirect named. The driver may not know such a node yet: one that has been given
//! its first slot this moment is in no topology.
//!
//! Invariant: at most [`REDIRECT_CONNECTIONS_MAX`] connections; one that failed is dropped and opened anew.

use ahash::AHashMap;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value};
use tokio::sync::Mutex;

use crate::model::limits::REDIRECT_CONNECTIONS_MAX;
use crate::slot::NodeAddr;

use super::fault::PipelineFault;
use super::settings::RedisSettings;

#[derive(Default)]
pub(super) struct RedirectConnections {
    open: Mutex<AHashMap<NodeAddr, MultiplexedConnection>>,
}

impl RedirectConnections {
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
        let connection = settings.node_connection(node).await?;
        let mut open = self.open.lock().await;
        if open.len() >= REDIRECT_CONNECTIONS_MAX {
            open.clear();
        }
        open.insert(node.clone(), connection.clone());
        Ok(connection)
    }
}

//! The short way of a read of one entity: one command to one shard, without a plan and a fan-out.
//!
//! Invariant: it brings a plain answer, or none within the deadline. Whatever else comes of it is left to the fan-out,
//! which asks again: a key that moved costs one more round trip here.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use crate::model::{EntityId, FeatureBatch, FeatureBatchBuilder, Projection, UnavailableReason};
use crate::shard::{ShardRead, ShardRows, Target};
use crate::slot::{PlanError, Slot};

use super::FeatureStore;
use super::error::RequestError;

impl FeatureStore {
    /// The row of one id; `None` where its shard is busy, or did not simply answer.
    pub(super) async fn read_one(
        &self,
        id: &EntityId,
        ids: &Arc<[EntityId]>,
        projection: &Arc<Projection>,
        deadline: Instant,
    ) -> Result<Option<FeatureBatch>, RequestError> {
        let engine = &*self.engine;
        let key = {
            let layout = self.kind.layout.load();
            let mut key = Vec::with_capacity(layout.prefix().len() + id.len() + KEY_EXTRA_BYTES);
            layout.append_key(id, &mut key).map_err(|error| PlanError::Key { index: 0, error })?;
            key
        };
        let topology = engine.transport.topology();
        let Some(shard) = topology.shard_of(Slot::for_key(&key)) else { return Ok(None) };
        let gate = engine.read_gates.gate(&shard.primary);
        let Some((passage, place)) = gate.pass_at_once() else { return Ok(None) };
        let target = Target::Shard(Arc::clone(shard));
        let read = ShardRead {
            target: &target,
            keys: &[&key],
            features: projection.names(),
            deadline: deadline.into_std(),
        };
        let mut batch = FeatureBatchBuilder::new(1, Arc::clone(projection));
        let late = UnavailableReason::DeadlineExceeded;
        match timeout_at(deadline, engine.transport.read(read, place)).await {
            Err(_) => {
                passage.fault();
                engine.transport.note_silence();
                batch.fail([0], &late(Some(format!("no answer from {}", shard.primary).into())));
            }
            Ok(Ok(ShardRows { node, block, faults })) if faults.is_empty() && node == shard.primary => {
                let block = batch.add_block(block);
                batch.place(0, block, 0);
            }
            Ok(Ok(_)) => return Ok(None),
            Ok(Err(_)) => {
                passage.fault();
                return Ok(None);
            }
        }
        drop(passage);
        Ok(Some(batch.finish(Arc::clone(ids), None, 1, &late(None))))
    }
}

/// Room for the braces of a cohort's tag, and for a short tag.
const KEY_EXTRA_BYTES: usize = 16;

//! The short way of a read of one entity: one command to one shard, without a plan and a fan-out.
//!
//! Invariant: it brings a plain answer, or none within the deadline. Whatever else comes of it is left to the fan-out,
//! which asks again: a key that moved costs one more round trip here.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::model::{EntityId, FeatureBatch, FeatureBatchBuilder, Projection, UnavailableReason};
use crate::shard::{ShardRead, ShardRows, Target};
use crate::slot::{PlanError, Slot};

use super::FeatureStore;
use super::error::RequestError;
use super::shard_read::patience;
use super::spans;

/// What came of the short way.
pub(super) enum OneRead {
    /// The row.
    Answered(FeatureBatch),
    /// The primary did not answer in its time; a replica may.
    Late,
    /// The shard is busy, or did not simply answer.
    Other,
}

impl FeatureStore {
    /// The row of one id, where that is simply to be had.
    pub(super) async fn read_one(
        &self,
        id: &EntityId,
        ids: &Arc<[EntityId]>,
        projection: &Arc<Projection>,
        deadline: Instant,
    ) -> Result<OneRead, RequestError> {
        let engine = &*self.engine;
        let key = self.key_of_one(id)?;
        let topology = engine.transport.topology();
        let Some(shard) = topology.shard_of(Slot::for_key(&key)) else { return Ok(OneRead::Other) };
        let gate = engine.read_gates.gate(&shard.primary);
        let fallback = !engine.options.read_from.needs_primary(shard);
        if gate.health.is_suspect() {
            return Ok(OneRead::Other);
        }
        let asked = Instant::now();
        let Some((passage, place)) = Arc::clone(&gate).pass_at_once(deadline.into_std()) else {
            return Ok(OneRead::Other);
        };
        let target = Target::Shard(Arc::clone(shard));
        let read = ShardRead {
            target: &target,
            keys: &[&key],
            features: projection.names(),
            deadline: deadline.into_std(),
        };
        let mut batch = FeatureBatchBuilder::new(1, Arc::clone(projection));
        let late = UnavailableReason::DeadlineExceeded;
        let span = spans::pipeline(&shard.primary, 1);
        let mut reading = engine.transport.read(read, place).instrument(span.clone());
        let mut answer = timeout_at(asked + patience(deadline - asked), &mut reading).await;
        if answer.is_err() {
            engine.transport.request_refresh();
            gate.health.silent_since(asked.into_std());
            if fallback {
                passage.late();
                return Ok(OneRead::Late);
            }
            answer = timeout_at(deadline, reading).await;
        }
        if let Ok(answer) = &answer {
            let outcome = answer.as_ref().map_or("failed", |rows| spans::answered(rows.faults.is_empty()));
            span.record("outcome", outcome);
        }
        match answer {
            Err(_) => {
                passage.late();
                gate.health.silent_since(asked.into_std());
                batch.fail([0], &late(Some(format!("no answer from {}", shard.primary).into())));
            }
            Ok(Ok(ShardRows { node, block, faults })) if faults.is_empty() && node == shard.primary => {
                passage.answered();
                let block = batch.add_block(block, false);
                batch.place(0, block, 0);
            }
            Ok(Ok(rows)) => {
                if rows.node == shard.primary {
                    passage.answered();
                }
                return Ok(OneRead::Other);
            }
            Ok(Err(fault)) => {
                passage.fault(fault.kind);
                engine.read_gates.retried(1);
                return Ok(OneRead::Other);
            }
        }
        Ok(OneRead::Answered(batch.finish(Arc::clone(ids), None, 1, &late(None))))
    }

    fn key_of_one(&self, id: &EntityId) -> Result<Vec<u8>, PlanError> {
        let layout = self.kind.layout.load();
        let mut key = Vec::with_capacity(layout.prefix().len() + id.len() + KEY_EXTRA_BYTES);
        layout.append_key(id, &mut key).map_err(|error| PlanError::Key { index: 0, error })?;
        Ok(key)
    }
}

/// Room for the braces of a cohort's tag, and for a short tag.
const KEY_EXTRA_BYTES: usize = 16;

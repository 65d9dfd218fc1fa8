//! The spans of reads and writes: at level debug, so that they cost next to nothing where nobody listens. They say how
//! many and where, never which.

use tracing::Span;
use tracing::field::Empty;

use crate::shard::PipelineFault;
use crate::slot::NodeAddr;

use super::fan_out::Outcome;

/// One pipeline, from the wait for its shard's gate to its last reply. Without an outcome: nobody waits for it any more.
pub(super) fn pipeline(shard: &NodeAddr, commands: usize) -> Span {
    tracing::debug_span!("pipeline", %shard, commands, outcome = Empty)
}

/// How a pipeline ended.
pub(super) fn outcome<T>(result: &Result<Outcome<T>, PipelineFault>) -> &'static str {
    match result {
        Ok(outcome) => answered(outcome.faults.is_empty()),
        Err(_) => "failed",
    }
}

/// The outcome of a pipeline that brought replies.
pub(super) fn answered(every_key: bool) -> &'static str {
    if every_key { "answered" } else { "answered_in_part" }
}

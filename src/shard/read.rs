//! Reading features from one shard: one `HMGET` per key, one pipeline, one [`ReplyBlock`].

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use redis::{Pipeline, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::model::{FeatureName, ReplyBlock, Span};
use crate::slot::{NodeAddr, Topology};

use super::cluster::Target;
use super::fault::{KeyFault, PipelineFault};

/// The features of some keys, all on one shard.
#[derive(Debug, Clone, Copy)]
pub struct ShardRead<'a> {
    /// Who is asked.
    pub target: &'a Target,
    /// The keys, at least one.
    pub keys: &'a [&'a [u8]],
    /// The features, at least one.
    pub features: &'a [FeatureName],
    /// When the caller stops waiting. The transport need not keep it; it learns from it which node is silent.
    pub deadline: Instant,
}

/// A pipeline's places among the commands in flight. Whoever holds it gives them back when dropping it: the
/// transport, once the node has nothing left to answer.
#[derive(Debug)]
pub struct InFlight {
    _permit: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    /// The places that a permit stands for.
    pub fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: Some(permit) }
    }

    /// No places: the pipeline is not counted.
    pub fn uncounted() -> Self {
        Self { _permit: None }
    }
}

/// What a shard read brought.
#[derive(Debug)]
pub struct ShardRows {
    /// The node that answered.
    pub node: NodeAddr,
    /// One row per key, in order; the rows of faulty keys are empty.
    pub block: ReplyBlock,
    /// Keys that got no values: place in the read, and why.
    pub faults: Vec<(usize, KeyFault)>,
}

/// How reads reach a shard. Implementations neither retry nor re-plan; dropping the future gives the read up.
pub trait ShardTransport: Send + Sync + std::fmt::Debug {
    /// The newest topology.
    fn topology(&self) -> Arc<Topology>;

    /// Asks for a newer topology, without waiting for it.
    fn request_refresh(&self);

    /// Runs one pipeline.
    fn read<'a>(
        &'a self,
        read: ShardRead<'a>,
        place: InFlight,
    ) -> BoxFuture<'a, Result<ShardRows, PipelineFault>>;
}

/// One `HMGET` per key, each announced where `asking`.
pub(super) fn pipeline(read: ShardRead<'_>, asking: bool) -> Pipeline {
    let feature_bytes: usize = read.features.iter().map(|feature| feature.len()).sum();
    let mut pipeline = Pipeline::with_capacity(read.keys.len() * if asking { 2 } else { 1 });
    for key in read.keys {
        if asking {
            pipeline.add_command(redis::cmd("ASKING"));
        }
        let mut hmget = redis::Cmd::with_capacity(read.features.len() + 2, key.len() + feature_bytes + 5);
        hmget.arg("HMGET").arg(*key);
        for feature in read.features {
            hmget.arg(feature.as_str());
        }
        pipeline.add_command(hmget);
    }
    pipeline
}

/// The rows out of the replies to [`pipeline`].
pub(super) fn rows_of_replies(
    node: NodeAddr,
    values: Vec<Value>,
    read: ShardRead<'_>,
    asking: bool,
) -> Result<ShardRows, PipelineFault> {
    let step = if asking { 2 } else { 1 };
    if values.len() != read.keys.len() * step {
        return Err(PipelineFault::protocol("wrong number of replies"));
    }
    Ok(rows(node, values.into_iter().skip(step - 1).step_by(step), read))
}

fn rows(node: NodeAddr, values: impl Iterator<Item = Value>, read: ShardRead<'_>) -> ShardRows {
    let width = read.features.len();
    let mut bytes = Vec::with_capacity(read.keys.len() * width * 8);
    let mut spans = Vec::with_capacity(read.keys.len() * width);
    let mut faults = Vec::new();
    for (place, value) in values.enumerate() {
        if let Err(fault) = append_row(value, width, &mut bytes, &mut spans, &node) {
            faults.push((place, fault));
        }
        spans.resize((place + 1) * width, Span::ABSENT);
    }
    ShardRows { node, block: ReplyBlock { bytes: Bytes::from(bytes), spans }, faults }
}

/// Appends one reply of `HMGET`. On a fault, the spans that were appended already are to be dropped.
fn append_row(
    value: Value,
    width: usize,
    bytes: &mut Vec<u8>,
    spans: &mut Vec<Span>,
    node: &NodeAddr,
) -> Result<(), KeyFault> {
    let cells = match value {
        Value::Array(cells) if cells.len() == width => cells,
        Value::ServerError(error) => return Err(KeyFault::new(&error, node)),
        _ => return Err(KeyFault::Refused("an answer to HMGET of another shape".into())),
    };
    let first = spans.len();
    for cell in cells {
        let span = match &cell {
            Value::BulkString(text) => {
                let start = bytes.len();
                bytes.extend_from_slice(text);
                Span::new(start, text.len())
            }
            Value::Nil => Some(Span::ABSENT),
            _ => None,
        };
        let Some(span) = span else {
            spans.truncate(first);
            return Err(KeyFault::Refused("a cell of HMGET that is no string, or too large".into()));
        };
        spans.push(span);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_key_leaves_its_row_empty_and_the_others_in_place() {
        let node = NodeAddr::new("h", 1);
        let features = [FeatureName::new("a").unwrap(), FeatureName::new("b").unwrap()];
        let target = Target::Redirect { node: node.clone(), asking: false };
        let keys: [&[u8]; 4] = [b"1", b"2", b"3", b"4"];
        let read = ShardRead { target: &target, keys: &keys, features: &features, deadline: Instant::now() };
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let moved = redis::parse_redis_value(b"-MOVED 1 h:2\r\n").unwrap();
        let values = vec![
            Value::Array(vec![text("x"), Value::Nil]),
            moved,
            Value::Array(vec![text("y"), Value::Int(3)]),
            Value::Array(vec![text(""), text("z")]),
        ];
        let rows = rows(node, values.into_iter(), read);
        assert_eq!(rows.faults[0], (1, KeyFault::Moved(NodeAddr::new("h", 2))));
        assert!(matches!(rows.faults[1], (2, KeyFault::Refused(_))));
        assert_eq!(rows.block.spans.len(), 8);
        assert_eq!(&rows.block.spans[2..6], [Span::ABSENT; 4]);
        assert_ne!(rows.block.spans[6], Span::ABSENT, "an empty value is there");
    }
}

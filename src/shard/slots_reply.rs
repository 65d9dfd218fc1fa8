//! What a node answers to `CLUSTER SLOTS`, as shards.
//!
//! Source: the documentation of `CLUSTER SLOTS`: ranges of first slot, last slot, primary, replicas; a node is host, port
//! and more; a host that is nil or empty is the one that was asked, `?` is unknown.

use ahash::AHashMap;

use crate::slot::{NodeAddr, Shard, Slot};

use super::reply::Reply;

/// An answer that is no list of slot ranges.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CLUSTER SLOTS: {0}")]
pub struct SlotsReplyError(String);

/// The shards, by their primaries' addresses. Ranges whose primary has no known address are left out. That no two
/// shards claim a slot is for [`Topology::new`](crate::slot::Topology::new) to see.
pub fn shards(reply: Reply, answered_by: &NodeAddr) -> Result<Vec<Shard>, SlotsReplyError> {
    let ranges = match reply {
        Reply::Array(ranges) => ranges,
        Reply::Error(error) => return Err(SlotsReplyError(error)),
        other => return Err(SlotsReplyError(format!("no list but {}", kind(&other)))),
    };
    let mut shards: Vec<Shard> = Vec::new();
    let mut number_of: AHashMap<NodeAddr, usize> = AHashMap::new();
    for (place, range) in ranges.into_iter().enumerate() {
        let wrong = |what: &str| SlotsReplyError(format!("range {place}: {what}"));
        let mut parts = range.into_array().ok_or_else(|| wrong("it is no list"))?.into_iter();
        let mut slot = || {
            let number = parts.next().and_then(|part| part.as_i64());
            number.and_then(|number| Slot::new(u16::try_from(number).ok()?))
        };
        let first = slot().ok_or_else(|| wrong("its first slot is none"))?;
        let last = slot().ok_or_else(|| wrong("its last slot is none"))?;
        if first > last {
            return Err(wrong("it ends before it starts"));
        }
        let mut nodes = parts.map(|part| node(part, answered_by).ok_or_else(|| wrong("a node is none")));
        let primary = nodes.next().ok_or_else(|| wrong("it has no primary"))??;
        let replicas = nodes.collect::<Result<Vec<_>, _>>()?;
        let Some(primary) = primary else { continue };
        let number = *number_of.entry(primary.clone()).or_insert_with(|| {
            shards.push(Shard { primary, replicas: Vec::new(), ranges: Vec::new() });
            shards.len() - 1
        });
        let shard = &mut shards[number];
        shard.ranges.push((first, last));
        for replica in replicas.into_iter().flatten() {
            if replica != shard.primary && !shard.replicas.contains(&replica) {
                shard.replicas.push(replica);
            }
        }
    }
    for shard in &mut shards {
        // So that the views of two nodes can be compared.
        shard.replicas.sort_unstable();
        shard.ranges.sort_unstable();
    }
    shards.sort_unstable_by(|a, b| a.ranges.cmp(&b.ranges));
    Ok(shards)
}

/// A node's address; `Some(None)` where it has none that is known.
fn node(part: Reply, answered_by: &NodeAddr) -> Option<Option<NodeAddr>> {
    let mut parts = part.into_array()?.into_iter();
    let host = parts.next()?;
    let port = u16::try_from(parts.next()?.as_i64()?).ok()?;
    let host = match (host.is_nil(), host.as_str()) {
        (true, _) | (_, Some("")) => answered_by.host.clone(),
        (_, Some("?")) => return Some(None),
        (_, Some(host)) => host.into(),
        _ => return None,
    };
    // A node that is on its way into the cluster, or out of it.
    Some((port != 0).then(|| NodeAddr::new(host, port)))
}

fn kind(reply: &Reply) -> &'static str {
    match reply {
        Reply::Nil => "nothing",
        Reply::Int(_) | Reply::Double(_) | Reply::Bool(_) => "a number",
        Reply::Bytes(_) | Reply::Text(_) => "a text",
        Reply::Array(_) => "a list",
        Reply::Map(_) => "a map",
        Reply::Error(_) => "an error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> NodeAddr {
        text.parse().unwrap()
    }

    fn node(host: Reply, port: i64) -> Reply {
        Reply::Array(vec![host, Reply::Int(port), Reply::Text("id".into()), Reply::Array(Vec::new())])
    }

    fn text(text: &str) -> Reply {
        Reply::Bytes(text.into())
    }

    fn range(first: i64, last: i64, nodes: Vec<Reply>) -> Reply {
        Reply::Array([vec![Reply::Int(first), Reply::Int(last)], nodes].concat())
    }

    fn read(ranges: Vec<Reply>) -> Result<Vec<Shard>, SlotsReplyError> {
        shards(Reply::Array(ranges), &addr("asked.local:7"))
    }

    #[test]
    fn ranges_of_one_primary_are_one_shard() {
        let two = || vec![node(text("10.0.0.1"), 1), node(text("::1"), 2)];
        let shards =
            read(vec![range(10, 20, two()), range(0, 4, two()), range(5, 9, vec![node(text("b"), 3)])])
                .unwrap();
        assert_eq!(shards.len(), 2);
        assert_eq!((&shards[0].primary, shards[0].slot_count()), (&addr("10.0.0.1:1"), 16));
        assert_eq!(shards[0].replicas, [addr("[::1]:2")]);
        assert_eq!(shards[1].primary, addr("b:3"));
        assert_eq!(read(Vec::new()).unwrap(), [], "a cluster without slots");
    }

    #[test]
    fn a_host_that_is_not_said_is_the_one_that_was_asked_and_an_unknown_one_is_left_out() {
        let nodes = vec![node(Reply::Nil, 1), node(text(""), 2), node(text("?"), 3), node(text("c"), 0)];
        let shards = read(vec![range(0, 0, nodes), range(1, 1, vec![node(text("?"), 1)])]).unwrap();
        assert_eq!(shards.len(), 1);
        assert_eq!(shards[0].primary, addr("asked.local:1"));
        assert_eq!(shards[0].replicas, [addr("asked.local:2")]);
    }

    #[test]
    fn what_is_no_range_is_refused_with_its_place() {
        let good = || range(0, 0, vec![node(text("a"), 1)]);
        for bad in [
            Reply::Nil,
            range(-1, 0, vec![node(text("a"), 1)]),
            range(0, 16_384, vec![node(text("a"), 1)]),
            range(2, 1, vec![node(text("a"), 1)]),
            range(0, 1, Vec::new()),
            range(0, 1, vec![text("a")]),
            range(0, 1, vec![node(text("a"), 70_000)]),
            range(0, 1, vec![node(Reply::Int(1), 1)]),
        ] {
            let error = read(vec![good(), bad.clone()]).unwrap_err().to_string();
            assert!(error.starts_with("CLUSTER SLOTS: range 1: "), "{bad:?}: {error}");
        }
        let error = shards(Reply::Error("ERR no".into()), &addr("a:1")).unwrap_err();
        assert_eq!(error.to_string(), "CLUSTER SLOTS: ERR no");
    }
}

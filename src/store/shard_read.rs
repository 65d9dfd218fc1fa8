//! A read of one shard: which of its nodes is asked, and who else where that one fails or keeps silent.
//!
//! Invariants: the first good answer counts and the others are dropped; a row of which a replica knows nothing is
//! confirmed by the primary wherever that one can be reached, as a replica does not know what moved away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{sleep_until, timeout};

use crate::model::limits::{HEDGE_DELAY_MIN, NEAREST_EXPLORE_EVERY, NODE_PATIENCE_MAX};
use crate::model::{FeatureName, ReplyBlock};
use crate::shard::{
    Cluster, FaultKind, KeyFault, PipelineFault, ShardRead, ShardRows, ShardTransport, Target,
};
use crate::slot::{KeyNumber, KeySet, NodeAddr, Shard};

use super::fan_out::{Effect, Outcome, ShardOperation};
use super::gates::{Admission, Gate};
use super::hedge::HedgeBudget;
use super::options::ReadFrom;

/// Reads the same features of every key.
pub(super) struct Read<'a> {
    pub(super) transport: &'a dyn ShardTransport,
    pub(super) cluster: &'a Arc<Cluster>,
    pub(super) read_from: ReadFrom,
    pub(super) hedge: Option<&'a HedgeBudget>,
    pub(super) keys: &'a KeySet,
    pub(super) features: &'a [FeatureName],
    pub(super) deadline: Instant,
    /// The primary was asked already, and did not answer in its time.
    pub(super) primary_is_late: bool,
}

/// What a read of one shard brought.
pub(super) struct ReadRows {
    pub(super) block: ReplyBlock,
    /// A replica answered.
    pub(super) stale: bool,
    /// What the primary says of rows that the replica knows nothing of: the places of those rows, in order.
    pub(super) confirmed: Option<(Vec<usize>, ReplyBlock)>,
}

/// The nodes of a shard that may be asked, best first.
type Nodes = std::vec::IntoIter<Target>;

impl ShardOperation for Read<'_> {
    type Output = ReadRows;

    fn run<'a>(
        &'a self,
        target: &'a Target,
        keys: &'a [KeyNumber],
        admission: &'a Admission<'a>,
    ) -> BoxFuture<'a, Result<Outcome<ReadRows>, PipelineFault>> {
        let keys: Vec<&[u8]> = keys.iter().map(|key| self.keys.key(*key)).collect();
        Box::pin(async move {
            let mut nodes = match target {
                Target::Shard(shard) => self.nodes(shard, keys.len(), admission),
                other => vec![other.clone()].into_iter(),
            };
            let Some(first) = nodes.next() else {
                return Err(PipelineFault::not_sent(FaultKind::Connection, "the shard has no node"));
            };
            let (answered_by, rows) = if nodes.as_slice().is_empty() {
                let rows = self.ask(&first, &keys, admission).await?;
                (first, rows)
            } else {
                self.ask_in_turn(first, nodes, target.node(), &keys, admission).await?
            };
            let stale = matches!(answered_by, Target::Replica(_));
            let ShardRows { node, block, mut faults } = rows;
            let confirmed = match target {
                Target::Shard(shard) if stale => {
                    self.confirm_absent(shard, &keys, &block, &mut faults, admission).await
                }
                _ => None,
            };
            Ok(Outcome { node, output: ReadRows { block, stale, confirmed }, faults })
        })
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    fn needs_primary(&self, shard: &Shard) -> bool {
        self.read_from.needs_primary(shard)
    }
}

impl Read<'_> {
    /// Asks one node. Cancel-safe.
    async fn ask(
        &self,
        target: &Target,
        keys: &[&[u8]],
        admission: &Admission<'_>,
    ) -> Result<ShardRows, PipelineFault> {
        let (passage, place) = admission.pass(target.node(), keys.len()).await;
        let read = ShardRead { target, keys, features: self.features, deadline: self.deadline };
        let answer = self.transport.read(read, place).await;
        match &answer {
            Ok(_) => passage.answered(),
            Err(fault) => passage.fault(fault.kind),
        }
        answer
    }

    /// Asks one node after the other: the next one where one failed, or keeps silent for too long. All that are asked go
    /// on; the first good answer counts.
    async fn ask_in_turn(
        &self,
        first: Target,
        mut nodes: Nodes,
        primary: &NodeAddr,
        keys: &[&[u8]],
        admission: &Admission<'_>,
    ) -> Result<(Target, ShardRows), PipelineFault> {
        let asked = Instant::now();
        let ask = |target: Target| async move {
            let answer = self.ask(&target, keys, admission).await;
            (target, answer)
        };
        let hedge = self.hedge_delay(first.node(), nodes.as_slice().first(), keys.len(), admission);
        let mut hedge_at = hedge.map(|delay| asked + delay);
        let mut give_up_at = asked + self.patience(asked);
        let mut waiting_for = first.node().clone();
        let mut fallback = Fallback::new(admission.gate(primary), keys.len(), self.primary_is_late);
        fallback.asks(&first);
        let mut under_way = FuturesUnordered::from_iter([ask(first)]);
        let (mut fault, mut poor) = (None, None);
        loop {
            let more = !nodes.as_slice().is_empty();
            let next_at = hedge_at.unwrap_or(give_up_at).min(give_up_at);
            let next = tokio::select! {
                biased;
                Some((target, answer)) = under_way.next() => match answer {
                    Ok(rows) if !is_poor(&rows, keys.len()) => return Ok((target, rows)),
                    Ok(rows) => {
                        fallback.fails(target.node(), primary);
                        poor.get_or_insert((target, rows));
                        nodes.next()
                    }
                    Err(this) => {
                        fallback.fails(target.node(), primary);
                        // It is told as the primary's.
                        if fault.is_none() || matches!(target, Target::Shard(_)) {
                            fault = Some(this);
                        }
                        nodes.next()
                    }
                },
                () = sleep_until(next_at.into()), if more => {
                    let hedged = hedge_at.take().is_some_and(|at| at < give_up_at);
                    if hedged && !self.hedge.is_some_and(|budget| budget.take(keys.len())) {
                        continue;
                    }
                    if !hedged {
                        fallback.fails(&waiting_for, primary);
                        self.gone_silent(&waiting_for, asked, admission);
                    }
                    nodes.next()
                }
            };
            if let Some(target) = next {
                let now = Instant::now();
                give_up_at = now + self.patience(now);
                hedge_at = None;
                fallback.asks(&target);
                waiting_for = target.node().clone();
                under_way.push(ask(target));
            } else if under_way.is_empty() {
                let nobody = || PipelineFault::not_sent(FaultKind::Connection, "no node answered");
                return poor.map_or_else(|| Err(fault.unwrap_or_else(nobody)), Ok);
            }
        }
    }

    /// How long one node is waited for before another one is asked too.
    fn patience(&self, now: Instant) -> Duration {
        patience(self.deadline.saturating_duration_since(now))
    }

    /// How long a node may take before a second one is asked to save time; nothing where reads are not hedged, or the
    /// second one is not well.
    fn hedge_delay(
        &self,
        node: &NodeAddr,
        second: Option<&Target>,
        keys: usize,
        admission: &Admission<'_>,
    ) -> Option<Duration> {
        let budget = self.hedge?;
        if admission.gate(second?.node()).health.is_suspect() {
            return None;
        }
        budget.earn(keys);
        let usual = admission.gate(node).health.slow_after(keys)?;
        Some(usual.max(HEDGE_DELAY_MIN))
    }

    /// A node did not answer in its time.
    fn gone_silent(&self, node: &NodeAddr, asked: Instant, admission: &Admission<'_>) {
        let gate = admission.gate(node);
        gate.health.silent_since(asked);
        if gate.health.is_suspect() {
            self.transport.request_refresh();
            probe(self.cluster, node, &gate);
        }
    }

    /// The nodes that may be asked, in the order in which they are.
    fn nodes(&self, shard: &Arc<Shard>, keys: usize, admission: &Admission<'_>) -> Nodes {
        let primary = Target::Shard(Arc::clone(shard));
        if self.needs_primary(shard) {
            return vec![primary].into_iter();
        }
        let mut nodes: Vec<Target> = shard.replicas.iter().cloned().map(Target::Replica).collect();
        let first = rand::random_range(0..nodes.len());
        nodes.rotate_left(first);
        if self.primary_is_late {
            nodes.push(primary);
        } else {
            nodes.insert(0, primary);
        }
        let explore =
            self.read_from == ReadFrom::Nearest && rand::random_range(0..NEAREST_EXPLORE_EVERY) == 0;
        if explore {
            let next = rand::random_range(0..nodes.len());
            nodes.rotate_left(next);
        }
        let order = |target: &Target| {
            let gate = admission.gate(target.node());
            let suspect = gate.health.is_suspect();
            if suspect {
                probe(self.cluster, target.node(), &gate);
            }
            let nearest = self.read_from == ReadFrom::Nearest && !explore;
            (suspect, if nearest { gate.health.average_micros(keys) } else { 0 })
        };
        nodes.sort_by_cached_key(order);
        nodes.into_iter()
    }

    /// Asks the primary for the rows of which a replica knows nothing: their keys may have moved away, which a replica
    /// does not know. Where the primary can't be reached the replica's word has to do, unless slots were on their way
    /// lately; where it is just slow the rows are put off.
    async fn confirm_absent(
        &self,
        shard: &Arc<Shard>,
        keys: &[&[u8]],
        block: &ReplyBlock,
        faults: &mut Vec<(usize, KeyFault)>,
        admission: &Admission<'_>,
    ) -> Option<(Vec<usize>, ReplyBlock)> {
        let absent = absent_rows(block, self.features.len(), faults);
        if absent.is_empty() {
            return None;
        }
        let health = &admission.gate(&shard.primary).health;
        if !health.is_suspect() {
            let of_absent: Vec<&[u8]> = absent.iter().map(|place| keys[*place]).collect();
            let primary = Target::Shard(Arc::clone(shard));
            let asked = Instant::now();
            let answer = timeout(self.patience(asked), self.ask(&primary, &of_absent, admission)).await;
            if let Ok(Ok(rows)) = answer {
                let of_primary = rows.faults.into_iter();
                faults.extend(of_primary.filter_map(|(number, fault)| Some((*absent.get(number)?, fault))));
                faults.sort_unstable_by_key(|(place, _)| *place);
                return Some((absent, rows.block));
            }
            self.gone_silent(&shard.primary, asked, admission);
        }
        if !health.is_suspect() || health.was_redirected_lately() {
            let why: Arc<str> = format!("absent at a replica, not confirmed by {}", shard.primary).into();
            faults.extend(absent.into_iter().map(|place| (place, KeyFault::NotReady(Arc::clone(&why)))));
            faults.sort_unstable_by_key(|(place, _)| *place);
        }
        None
    }
}

/// Counts the keys that a replica is asked for because the primary does not answer: once each, whatever comes then.
struct Fallback {
    primary: Arc<Gate>,
    keys: usize,
    primary_is_out: bool,
}

impl Fallback {
    fn new(primary: Arc<Gate>, keys: usize, primary_is_late: bool) -> Self {
        let primary_is_out = primary_is_late || primary.health.is_suspect();
        Self { primary, keys, primary_is_out }
    }

    /// A node failed, or was silent for too long.
    fn fails(&mut self, node: &NodeAddr, primary: &NodeAddr) {
        self.primary_is_out |= node == primary;
    }

    /// A node is asked.
    fn asks(&mut self, target: &Target) {
        if self.primary_is_out && self.keys > 0 && matches!(target, Target::Replica(_)) {
            self.primary.fell_back(std::mem::take(&mut self.keys));
        }
    }
}

/// How long a node is waited for before another one may be asked, where there is so much time left.
pub(super) fn patience(left: Duration) -> Duration {
    (left / 2).min(NODE_PATIENCE_MAX)
}

/// The places of rows of which nothing is there, without those that are faulty.
fn absent_rows(block: &ReplyBlock, width: usize, faults: &[(usize, KeyFault)]) -> Vec<usize> {
    let rows = block.spans.chunks(width.max(1)).enumerate();
    let absent = rows.filter(|(_, row)| row.iter().all(|span| span.is_absent())).map(|(place, _)| place);
    absent.filter(|place| !faults.iter().any(|(faulty, _)| faulty == place)).collect()
}

/// An answer that says nothing but that somebody else should be asked, or later.
fn is_poor(rows: &ShardRows, keys: usize) -> bool {
    let poor = |(_, fault): &(usize, KeyFault)| matches!(fault, KeyFault::NotReady(_));
    rows.faults.len() == keys && rows.faults.iter().all(poor)
}

/// Asks a node that can't be reached, in the background and now and then, whether it is back; and the others whether
/// somebody has taken its place, which nobody else asks while a replica answers every read.
pub(super) fn probe(cluster: &Arc<Cluster>, node: &NodeAddr, gate: &Arc<Gate>) {
    if gate.health.probe_is_due() {
        cluster.request_refresh();
        let (cluster, node, gate) = (Arc::clone(cluster), node.clone(), Arc::clone(gate));
        tokio::spawn(async move { gate.health.probed(cluster.answers(&node).await) });
    }
}

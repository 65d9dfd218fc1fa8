//! The lanes to every node: opened when first asked for, replaced when they have ended.
//!
//! Invariant: at most so many lanes per node and role as the settings say, and after a failed connection a pause.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahash::AHashMap;

use crate::model::limits::{LANE_NODES_MAX, RECONNECT_PAUSE_MAX, RECONNECT_PAUSE_MIN};
use crate::slot::{NodeAddr, Topology};

use super::super::fault::{FaultKind, PipelineFault};
use super::super::role::Role;
use super::super::settings::RedisSettings;
use super::lane::Lane;

/// All lanes.
#[derive(Debug)]
pub(super) struct NodeLanes {
    settings: RedisSettings,
    per_node: usize,
    primaries: Mutex<AHashMap<NodeAddr, Vec<Arc<Lane>>>>,
    replicas: Mutex<AHashMap<NodeAddr, Vec<Arc<Lane>>>>,
    /// Version of the topology by which lanes were last sorted out.
    sorted_out: AtomicU64,
}

impl NodeLanes {
    pub(super) fn new(settings: RedisSettings, per_node: usize) -> Self {
        Self {
            settings,
            per_node: per_node.max(1),
            primaries: Mutex::default(),
            replicas: Mutex::default(),
            sorted_out: AtomicU64::new(0),
        }
    }

    /// The lane with most room, a connected one first; and whether one that had ended was replaced. Errors where the node
    /// could not be reached a moment ago.
    pub(super) fn lane(&self, node: &NodeAddr, role: Role) -> Result<(Arc<Lane>, bool), PipelineFault> {
        let nodes = match role {
            Role::Primary => &self.primaries,
            Role::Replica => &self.replicas,
        };
        let mut nodes = nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if !nodes.contains_key(node) {
            if nodes.len() >= LANE_NODES_MAX {
                nodes.clear();
            }
            let open = |_| Arc::new(self.open(node, role, RECONNECT_PAUSE_MIN));
            nodes.insert(node.clone(), (0..self.per_node).map(open).collect());
        }
        let (mut failed, mut replaced) = (None, false);
        let lanes = nodes.get_mut(node).map(Vec::as_mut_slice).unwrap_or_default();
        for lane in &mut *lanes {
            let Some(end) = lane.end() else { continue };
            if end.at.elapsed() < end.pause {
                failed = Some(end.fault());
                continue;
            }
            let pause = (end.pause * 2).clamp(RECONNECT_PAUSE_MIN, RECONNECT_PAUSE_MAX);
            *lane = Arc::new(self.open(node, role, pause));
            replaced = true;
        }
        let open = lanes.iter().filter(|lane| lane.end().is_none());
        match (open.max_by_key(|lane| lane.room()), failed) {
            (Some(lane), _) => Ok((Arc::clone(lane), replaced)),
            (None, Some(fault)) => Err(fault),
            (None, None) => Err(PipelineFault::not_sent(FaultKind::Connection, "the connection ended")),
        }
    }

    /// Lets go of the lanes to nodes that are not in `topology`; what is under way on them goes on.
    pub(super) fn sort_out(&self, topology: &Topology) {
        let version = topology.since();
        if self.sorted_out.load(Ordering::Relaxed) >= version
            || self.sorted_out.fetch_max(version, Ordering::Relaxed) >= version
        {
            return;
        }
        for nodes in [&self.primaries, &self.replicas] {
            nodes.lock().unwrap_or_else(PoisonError::into_inner).retain(|node, _| topology.has(node));
        }
    }

    fn open(&self, node: &NodeAddr, role: Role, pause: Duration) -> Lane {
        Lane::open(node.clone(), role, self.settings.clone(), pause)
    }
}

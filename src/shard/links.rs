//! Links to the nodes of a cluster, for one purpose: commands, reads of replicas, questions after the topology, samples. Purposes
//! do not share connections, so that what waits in one of them holds up no other.
//!
//! Invariant: at most [`LINKS_MAX`] links.

use std::sync::{Mutex, PoisonError};

use ahash::AHashMap;
use futures::FutureExt;

use crate::model::limits::LINKS_MAX;
use crate::slot::NodeAddr;

use super::link::NodeLink;
use super::role::Role;
use super::settings::RedisSettings;

pub(super) struct NodeLinks {
    settings: RedisSettings,
    role: Role,
    links: Mutex<AHashMap<NodeAddr, NodeLink>>,
}

impl NodeLinks {
    pub(super) fn new(settings: RedisSettings, role: Role) -> Self {
        Self { settings, role, links: Mutex::default() }
    }

    /// The link to a node. It opens when it is used first.
    pub(super) fn link(&self, node: &NodeAddr) -> NodeLink {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(node) {
            return link.clone();
        }
        if links.len() >= LINKS_MAX {
            // Any one: whoever needs it opens it again.
            let any = links.keys().next().cloned();
            any.and_then(|any| links.remove(&any));
        }
        let (settings, role, addr) = (self.settings.clone(), self.role, node.clone());
        let link = NodeLink::new(move |ended| {
            let (settings, addr) = (settings.clone(), addr.clone());
            async move {
                let mut connection = settings.node_connection(&addr, ended).await?;
                if role == Role::Replica {
                    connection.send_packed_command(&redis::cmd("READONLY")).await?.extract_error()?;
                }
                Ok(connection)
            }
            .boxed()
        });
        links.insert(node.clone(), link.clone());
        link
    }

    /// Lets go of links to nodes that nobody needs any more; what is under way on them goes on.
    pub(super) fn keep(&self, needed: impl Fn(&NodeAddr) -> bool) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).retain(|node, _| needed(node));
    }
}

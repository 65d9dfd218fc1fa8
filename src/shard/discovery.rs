//! Who owns which slot, asked of the nodes themselves over connections of its own: neither a silent node nor a busy
//! one holds up the answer of the others, and looking holds up no request.
//!
//! Invariants: a snapshot is replaced whole, by the view that most of the nodes asked have; an empty view never
//! replaces one with slots; looks are [`TOPOLOGY_REFRESH_INTERVAL_MIN`] apart at least.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::stream::{FuturesUnordered, StreamExt};
use rand::seq::SliceRandom;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::metrics;
use crate::model::limits::{
    TOPOLOGY_GRACE, TOPOLOGY_NODES_AT_ONCE, TOPOLOGY_PATIENCE, TOPOLOGY_REFRESH_INTERVAL_MAX,
    TOPOLOGY_REFRESH_INTERVAL_MIN, TOPOLOGY_REFRESH_PERIOD,
};
use crate::slot::{NodeAddr, Shard, Topology};

use super::links::NodeLinks;
use super::reply::Reply;
use super::role::Role;
use super::settings::RedisSettings;
use super::slots_reply;

/// The newest snapshot, and how newer ones are come by.
pub(super) struct Discovery {
    links: NodeLinks,
    seeds: Vec<NodeAddr>,
    current: ArcSwap<Topology>,
    version: watch::Sender<u64>,
    wanted: Notify,
}

/// A view of the cluster, and how many nodes have it.
struct View {
    shards: Vec<Shard>,
    votes: usize,
}

/// What a look brought: other shards than before; views that are not the same.
struct Looked {
    changed: bool,
    disagree: bool,
}

impl Discovery {
    pub(super) fn new(settings: &RedisSettings) -> Self {
        Self {
            links: NodeLinks::new(settings.clone(), Role::Primary),
            seeds: settings.seeds.clone(),
            current: ArcSwap::from_pointee(Topology::empty()),
            version: watch::Sender::new(0),
            wanted: Notify::new(),
        }
    }

    /// The newest snapshot.
    pub(super) fn topology(&self) -> Arc<Topology> {
        self.current.load_full()
    }

    /// Asks for a newer one, without waiting for it.
    pub(super) fn request(&self) {
        self.wanted.notify_one();
    }

    /// Waits until there is a snapshot newer than `version`. Cancel-safe.
    pub(super) async fn newer_than(&self, version: u64) {
        // The sender lives in `self`, so that waiting can't fail.
        let _ = self.version.subscribe().wait_for(|current| *current > version).await;
    }

    /// Looks whenever it is asked to, and from time to time, for as long as it is polled.
    pub(super) async fn keep_looking(&self) {
        let mut interval = TOPOLOGY_REFRESH_INTERVAL_MIN;
        let mut failing = false;
        loop {
            let waiting = Instant::now();
            // Late or asked for, it is time to look.
            let _ = timeout(TOPOLOGY_REFRESH_PERIOD, self.wanted.notified()).await;
            if waiting.elapsed() > TOPOLOGY_REFRESH_INTERVAL_MAX {
                interval = TOPOLOGY_REFRESH_INTERVAL_MIN;
            }
            let looked = self.look().await;
            match &looked {
                Err(why) if !failing => tracing::warn!(%why, "no node tells the topology"),
                Ok(_) if failing => tracing::info!("the topology is told again"),
                _ => {}
            }
            failing = looked.is_err();
            interval = if looked == Ok(true) {
                TOPOLOGY_REFRESH_INTERVAL_MIN
            } else {
                (interval * 2).min(TOPOLOGY_REFRESH_INTERVAL_MAX)
            };
            sleep(interval).await;
        }
    }

    /// Is this node there? Asked over connections that carry nothing large, so that it is its word and not theirs.
    pub(super) async fn is_there(&self, node: &NodeAddr, within: Duration) -> bool {
        self.links.link(node).ping(within).await
    }

    /// Asks nodes for their views and publishes the one that most have. True where it differs from the one before, or
    /// the nodes disagree. Errors in words where none answered.
    pub(super) async fn look(&self) -> Result<bool, Arc<str>> {
        let looked = self.look_uncounted().await;
        metrics::topology_refresh(match &looked {
            Ok(Looked { changed: true, .. }) => "changed",
            Ok(Looked { changed: false, .. }) => "unchanged",
            Err(_) => "failed",
        });
        looked.map(|looked| looked.changed || looked.disagree)
    }

    async fn look_uncounted(&self) -> Result<Looked, Arc<str>> {
        let before = self.topology();
        let (mut views, mut last_error) =
            (Vec::<View>::new(), Arc::<str>::from("there is no address to ask"));
        let mut candidates = self.candidates(&before).into_iter();
        let mut asked = FuturesUnordered::new();
        let mut next_wave = Instant::now();
        let mut end: Option<Instant> = None;
        loop {
            if asked.is_empty() || (end.is_none() && Instant::now() >= next_wave) {
                let more = candidates.by_ref().take(TOPOLOGY_NODES_AT_ONCE);
                let more: Vec<_> = if end.is_none() { more.collect() } else { Vec::new() };
                if more.is_empty() && asked.is_empty() {
                    break;
                }
                asked.extend(more.into_iter().map(|node| self.view(node)));
                next_wave = Instant::now() + TOPOLOGY_PATIENCE;
            }
            tokio::select! {
                view = asked.next() => match view {
                    Some(Ok(shards)) => {
                        end.get_or_insert_with(|| Instant::now() + TOPOLOGY_GRACE);
                        count(&mut views, shards);
                    }
                    Some(Err(why)) => last_error = why,
                    None => {}
                },
                () = sleep_until(end.unwrap_or(next_wave)) => if end.is_some() { break },
            }
        }
        let disagree = views.len() > 1;
        // Where as many say one as say another, the one that covers more.
        let covered = |view: &View| view.shards.iter().map(Shard::slot_count).sum::<usize>();
        let chosen = views
            .into_iter()
            .max_by_key(|view| (!view.shards.is_empty(), view.votes, covered(view)))
            .ok_or(last_error)?;
        if chosen.shards.is_empty() && !before.shards().is_empty() {
            return Err("the nodes that answer know of no slots".into());
        }
        let changed = self.publish(&before, chosen.shards)?;
        Ok(Looked { changed, disagree })
    }

    /// Whom to ask, in order: known nodes, and among the first of them a seed, as all others may be gone for good.
    fn candidates(&self, topology: &Topology) -> Vec<NodeAddr> {
        let of_shard = |shard: &Arc<Shard>| [vec![shard.primary.clone()], shard.replicas.clone()].concat();
        let mut nodes: Vec<NodeAddr> = topology.shards().iter().flat_map(of_shard).collect();
        nodes.shuffle(&mut rand::rng());
        let mut seeds: Vec<NodeAddr> =
            self.seeds.iter().filter(|seed| !nodes.contains(seed)).cloned().collect();
        seeds.shuffle(&mut rand::rng());
        for (number, seed) in seeds.into_iter().enumerate() {
            let place = (number + 1) * TOPOLOGY_NODES_AT_ONCE - 1;
            nodes.insert(place.min(nodes.len()), seed);
        }
        nodes
    }

    /// One node's view. Errors in words.
    async fn view(&self, node: NodeAddr) -> Result<Vec<Shard>, Arc<str>> {
        let mut pipeline = redis::Pipeline::with_capacity(1);
        pipeline.add_command(redis::cmd("CLUSTER").arg("SLOTS").clone());
        let mut values = self.links.link(&node).run(&pipeline).await.map_err(|fault| fault.reason)?;
        let reply = values.pop().map_or(Reply::Nil, Reply::from);
        slots_reply::shards(reply, &node).map_err(|error| error.to_string().into())
    }

    /// Puts a newer snapshot in the place of `before`. True where its shards differ.
    fn publish(&self, before: &Topology, shards: Vec<Shard>) -> Result<bool, Arc<str>> {
        let version = before.version() + 1;
        let topology = Topology::new(version, shards).map_err(|error| Arc::from(error.to_string()))?;
        let changed = topology.shards() != before.shards();
        let topology = Arc::new(if changed { topology } else { before.confirmed() });
        self.current.store(Arc::clone(&topology));
        self.version.send_replace(version);
        if changed {
            if !before.shards().is_empty() {
                let primaries = topology.shards().iter().map(|shard| shard.primary.to_string());
                let primaries = primaries.collect::<Vec<_>>().join(", ");
                tracing::info!(version, primaries, "the cluster has another topology");
            }
            self.links.keep(|node| topology.has(node) || self.seeds.contains(node));
        }
        Ok(changed)
    }
}

fn count(views: &mut Vec<View>, shards: Vec<Shard>) {
    match views.iter_mut().find(|view| view.shards == shards) {
        Some(view) => view.votes += 1,
        None => views.push(View { shards, votes: 1 }),
    }
}

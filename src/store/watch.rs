//! What the server shows of the cluster while nobody asks: which primaries answer, what they own, how old the topology is.

use ahash::AHashMap;
use futures::stream::{self, StreamExt};
use metrics::Gauge;
use tokio::time::{MissedTickBehavior, interval};

use crate::metrics::{self as declared, gauge};
use crate::model::limits::{
    SHARD_WATCH_AT_ONCE, SHARD_WATCH_INTERVAL, SHARD_WATCH_TIMEOUT, SHARDS_SHOWN_MAX,
};
use crate::slot::{NodeAddr, Topology};

use super::FeatureStore;

/// What is shown of every primary that there was.
///
/// Invariant: at most [`SHARDS_SHOWN_MAX`] of them.
#[derive(Default)]
struct Shown {
    shards: AHashMap<NodeAddr, ShownShard>,
    is_full: bool,
}

struct ShownShard {
    connected: Gauge,
    slots: Gauge,
}

impl FeatureStore {
    /// Pings every primary once a second and shows whether it answers, for as long as it is polled. For a server: one of
    /// these to a process.
    pub async fn keep_watching_shards(&self) {
        let mut shown = Shown::default();
        let mut ticks = interval(SHARD_WATCH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let topology = self.topology();
            shown.show_slots(&topology);
            let cluster = &self.engine.cluster;
            let primaries: Vec<NodeAddr> =
                topology.shards().iter().map(|shard| shard.primary.clone()).collect();
            let asked = primaries.into_iter().map(|primary| async move {
                let answers = cluster.is_there(&primary, SHARD_WATCH_TIMEOUT).await;
                (primary, answers)
            });
            let mut looks = stream::iter(asked).buffer_unordered(SHARD_WATCH_AT_ONCE);
            while let Some((primary, answers)) = looks.next().await {
                shown.show_connected(&primary, answers);
            }
        }
    }

    /// Shows the topology's version and age, as they are now.
    pub fn observe_topology(&self) {
        let topology = self.topology();
        declared::topology(topology.version(), topology.learned().elapsed());
    }
}

impl Shown {
    #[expect(clippy::cast_precision_loss, reason = "there are 16,384 slots")]
    fn show_slots(&mut self, topology: &Topology) {
        for shard in topology.shards() {
            if let Some(shown) = self.shard(&shard.primary) {
                shown.slots.set(shard.slot_count() as f64);
            }
        }
        for (node, shown) in &self.shards {
            if !topology.shards().iter().any(|shard| shard.primary == *node) {
                shown.slots.set(0.0);
                shown.connected.set(0.0);
            }
        }
    }

    fn show_connected(&mut self, primary: &NodeAddr, answers: bool) {
        if let Some(shown) = self.shard(primary) {
            shown.connected.set(if answers { 1.0 } else { 0.0 });
        }
    }

    fn shard(&mut self, primary: &NodeAddr) -> Option<&ShownShard> {
        if !self.shards.contains_key(primary) {
            if self.shards.len() >= SHARDS_SHOWN_MAX {
                if !self.is_full {
                    tracing::warn!(max = SHARDS_SHOWN_MAX, "metrics do not show further primaries");
                }
                self.is_full = true;
                return None;
            }
            let label = primary.to_string();
            let of = |metric| gauge(metric, [&label]);
            let shown =
                ShownShard { connected: of(&declared::SHARD_CONNECTED), slots: of(&declared::SHARD_SLOTS) };
            self.shards.insert(primary.clone(), shown);
        }
        self.shards.get(primary)
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::slot::{Shard, Slot};

    fn topology(shards: &[(u16, u16, u16)]) -> Topology {
        let slot = |number| Slot::new(number).unwrap();
        let shard = |(port, first, last): &(u16, u16, u16)| Shard {
            primary: NodeAddr::new("h", *port),
            replicas: Vec::new(),
            ranges: vec![(slot(*first), slot(*last))],
        };
        Topology::new(1, shards.iter().map(shard).collect()).unwrap()
    }

    #[test]
    fn a_primary_that_has_left_has_no_slots_and_alarms_nobody() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let mut shown = Shown::default();
            shown.show_slots(&topology(&[(1, 0, 99), (2, 100, 16_383)]));
            for port in [1, 2] {
                shown.show_connected(&NodeAddr::new("h", port), true);
            }
            shown.show_slots(&topology(&[(1, 0, 99), (3, 100, 16_383)]));
            shown.show_connected(&NodeAddr::new("h", 1), false);
        });
        let page = handle.render();
        for line in [
            "slotwise_shard_connected{shard=\"h:1\"} 0",
            "slotwise_shard_connected{shard=\"h:2\"} 0",
            "slotwise_shard_slots{shard=\"h:1\"} 100",
            "slotwise_shard_slots{shard=\"h:2\"} 0",
            "slotwise_shard_slots{shard=\"h:3\"} 16284",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn the_series_are_bounded() {
        let mut shown = Shown::default();
        for port in 0..u16::try_from(SHARDS_SHOWN_MAX).unwrap() + 10 {
            shown.show_connected(&NodeAddr::new("h", port), true);
        }
        assert_eq!(shown.shards.len(), SHARDS_SHOWN_MAX);
    }
}

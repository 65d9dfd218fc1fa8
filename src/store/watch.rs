//! What the server shows of the cluster while nobody asks: which primaries answer, what they own, how old the topology is.

use ahash::{AHashMap, AHashSet};
use futures::stream::{self, StreamExt};
use metrics::Gauge;
use tokio::time::{MissedTickBehavior, interval};

use crate::metrics::{self as declared, ShardLabels, gauge};
use crate::model::limits::{
    FEATURES_SHOWN_MAX, SHARD_WATCH_AT_ONCE, SHARD_WATCH_INTERVAL, SHARD_WATCH_TIMEOUT,
};
use crate::model::{FeatureSpec, Schema};
use crate::slot::{NodeAddr, Topology};

use super::FeatureStore;

/// What is shown of every primary that there was and that has a label of its own: of several at once, neither would say
/// anything.
struct Shown<'a> {
    labels: &'a ShardLabels,
    shards: AHashMap<NodeAddr, ShownShard>,
}

struct ShownShard {
    connected: Gauge,
    slots: Gauge,
}

impl FeatureStore {
    /// Pings every primary once a second and shows whether it answers, for as long as it is polled. For a server: one of
    /// these to a process.
    pub async fn keep_watching_shards(&self) {
        let mut shown = Shown::new(ShardLabels::of_process());
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

/// The features of a kind that metrics show: the first by name.
pub(super) fn features_shown(schema: &Schema) -> Vec<&FeatureSpec> {
    let mut features: Vec<&FeatureSpec> = schema.features().collect();
    features.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    features.truncate(FEATURES_SHOWN_MAX);
    features
}

impl<'a> Shown<'a> {
    fn new(labels: &'a ShardLabels) -> Self {
        Self { labels, shards: AHashMap::new() }
    }

    #[expect(clippy::cast_precision_loss, reason = "there are 16,384 slots")]
    fn show_slots(&mut self, topology: &Topology) {
        for shard in topology.shards() {
            if let Some(shown) = self.shard(&shard.primary) {
                shown.slots.set(shard.slot_count() as f64);
            }
        }
        let primaries: AHashSet<&NodeAddr> = topology.shards().iter().map(|shard| &shard.primary).collect();
        for (node, shown) in &self.shards {
            if !primaries.contains(node) {
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
            let label = primary.to_string();
            if !self.labels.has_own(&label) {
                return None;
            }
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
    use crate::model::{FeatureClass, FeatureName, FeatureType};
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
            let labels = ShardLabels::new(3);
            let mut shown = Shown::new(&labels);
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
        let labels = ShardLabels::new(2);
        let mut shown = Shown::new(&labels);
        for port in 0..10 {
            shown.show_connected(&NodeAddr::new("h", port), true);
        }
        assert_eq!(shown.shards.len(), 2);
    }

    #[test]
    fn the_first_features_by_name_are_shown() {
        let mut schema = Schema::default();
        for number in (0..FEATURES_SHOWN_MAX + 9).rev() {
            let feature = FeatureSpec {
                name: FeatureName::new(format!("f{number:03}")).unwrap(),
                feature_type: FeatureType::String,
                class: FeatureClass::Batch,
                ttl_seconds: None,
                default: None,
            };
            schema.add_feature(feature).unwrap();
        }
        let shown = features_shown(&schema);
        assert_eq!(shown.len(), FEATURES_SHOWN_MAX);
        assert_eq!((shown[0].name.as_str(), shown[255].name.as_str()), ("f000", "f255"));
    }
}

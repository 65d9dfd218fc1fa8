//! Promise 5: reads that are slow are sent to a second node, within a budget.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use slotwise::devcluster::LocalCluster;
use slotwise::metrics::MetricsPage;
use slotwise::model::limits::HEDGE_BURST_KEYS;
use slotwise::store::{HedgeOptions, StoreOptions};
use tokio::time::interval;

use super::load::{Load, Sample, Samples, Scene};
use super::outcome::{Outcome, ms};
use super::stage::{Scenery, Size, index_of, on, spell};
use crate::support::features::options;

const TIMEOUT_MS: u64 = 1_000;
/// A node is stopped for one beat of every so many.
const BEAT: Duration = Duration::from_millis(30);
const BEATS: usize = 16;
/// The shard whose primary falters.
const SHARD: usize = 0;

fn metrics() -> &'static MetricsPage {
    static PAGE: OnceLock<MetricsPage> = OnceLock::new();
    PAGE.get_or_init(|| slotwise::metrics::install().unwrap())
}

/// Keys that were read of a second node too, in this process.
fn hedged_keys() -> u64 {
    let page = metrics().render();
    let line = page.lines().find_map(|line| line.strip_prefix("slotwise_hedged_keys_total "));
    line.map_or(0, |number| number.parse().unwrap())
}

/// Stops a node's clock again and again until it is over.
async fn falter(cluster: &LocalCluster, node: usize, over: &AtomicBool) {
    let mut beat = interval(BEAT);
    for number in 0.. {
        beat.tick().await;
        match number % BEATS {
            0 if over.load(Ordering::Acquire) => break,
            0 => cluster.pause_node(node).unwrap(),
            1 => cluster.resume_node(node).unwrap(),
            _ => {}
        }
    }
}

async fn measure(size: Size, cluster: &LocalCluster, hedge: Option<HedgeOptions>) -> Samples {
    // A row of which a replica knows nothing waits for the primary's word, hedged or not.
    let scene = Scene::on(cluster).await.of_those_there();
    let store = scene.store(&cluster.urls(), StoreOptions { hedge, ..options() }).await;
    let slow = index_of(cluster, &store.topology().shards()[SHARD].primary);
    let load = Load::on_time(&store, &scene, &(TIMEOUT_MS..=TIMEOUT_MS));
    load.more(400).await;
    let over = AtomicBool::new(false);
    let reading = async {
        spell(size.pick(Duration::from_millis(2_500), Duration::from_secs(8))).await;
        over.store(true, Ordering::Release);
    };
    tokio::join!(falter(cluster, slow, &over), reading);
    load.stop().await
}

/// What hedging brings.
pub(crate) struct Hedged {
    pub(crate) outcomes: [Outcome; 2],
    /// Without and with it.
    pub(crate) p99: [Duration; 2],
    pub(crate) keys_twice: u64,
    pub(crate) keys: usize,
}

/// The same load twice on a node that falters, without hedging and with it.
pub(crate) async fn run(size: Size, cluster: &LocalCluster) -> Hedged {
    let before = hedged_keys();
    let without = measure(size, cluster, None).await;
    assert_eq!(hedged_keys(), before, "nothing is read twice unless it is asked for");
    let with = measure(size, cluster, Some(HedgeOptions::default())).await;
    let keys_twice = hedged_keys() - before;
    let touches_it = |sample: &Sample| sample.shard.is_none_or(|shard| shard == SHARD);
    let [p50, p99] =
        [0.5, 0.99].map(|share| [&without, &with].map(|samples| samples.quantile(share, touches_it)));
    let fault = |hedge: &str| format!("primary stops for {} every {}, {hedge}", ms(BEAT), ms(16 * BEAT));
    let quantiles = |at: usize| format!("batches that touch it: p50 {}, p99 {}", ms(p50[at]), ms(p99[at]));
    let off = without.outcome(5, fault("not hedged")).note(quantiles(0));
    let on = with.outcome(5, fault("hedged")).note(quantiles(1));
    #[expect(clippy::cast_precision_loss)]
    let share = keys_twice as f64 / on.rows as f64 * 100.0;
    let on = on.note(format!("{share:.2} % of the keys read twice"));
    off.report();
    on.report();
    Hedged { p99, keys_twice, keys: on.rows, outcomes: [off, on] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hedged_reads_are_faster_and_keep_to_their_budget() {
    metrics();
    let hedged = on(Scenery::Steady, async |cluster| run(Size::of_this_run(), cluster).await).await;
    let Hedged { outcomes, p99, keys_twice, keys } = hedged;
    outcomes.iter().for_each(Outcome::assert_all_found);
    assert!(p99[1] * 2 < p99[0], "{p99:?} {outcomes:?}");
    assert!(keys_twice > 0, "{outcomes:?}");
    assert!(keys_twice <= (keys / 20 + HEDGE_BURST_KEYS) as u64, "{keys_twice} of {keys}");
}

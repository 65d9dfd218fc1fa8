//! Readers of batches who look at every row, and what they saw.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::RngExt;
use slotwise::FeatureStore;
use slotwise::devcluster::LocalCluster;
use slotwise::model::{BatchSummary, EntityId, FeatureBatch, RowStatus};
use slotwise::shard::RedisSettings;
use slotwise::slot::Slot;
use slotwise::store::StoreOptions;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::outcome::Outcome;
use super::stage::{Size, wait_until_replicated};
use crate::support::features::{Oracle, ids, kind, names, value_of};
use crate::support::{SOON, unique_prefix, wait_until};

/// Every so many ids, one has no entity.
const ABSENT_EVERY: usize = 50;
/// Ids of a batch over all shards, and of one that touches a single shard.
const WHOLE_IDS: usize = 60;
const SINGLE_IDS: usize = 10;
/// Reasons of unavailable rows that are kept.
const REASONS_MAX: usize = 100;

/// Entities with values that follow from their ids.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) prefix: String,
    pub(crate) ids: Arc<[EntityId]>,
}

impl Scene {
    /// Writes them, to replicas too.
    pub(crate) async fn on(cluster: &LocalCluster) -> Self {
        let scene =
            Self { prefix: unique_prefix(), ids: ids("u", 0..Size::of_this_run().pick(600, 3_000)).into() };
        scene.fill(cluster).await;
        scene
    }

    /// Without the ids that have no entity.
    pub(crate) fn of_those_there(self) -> Self {
        let there = self.ids.iter().filter(|id| is_there(id)).cloned().collect();
        Self { ids: there, ..self }
    }

    /// Writes them to one more cluster.
    pub(crate) async fn fill(&self, cluster: &LocalCluster) {
        let there: Vec<EntityId> = self.ids.iter().filter(|id| is_there(id)).cloned().collect();
        Oracle::of(cluster).await.fill(&self.prefix, &there).await;
        if cluster.spec().replicas > 0 {
            wait_until_replicated(cluster).await;
        }
    }

    /// A store that reads them.
    pub(crate) async fn store(&self, urls: &str, options: StoreOptions) -> FeatureStore {
        let settings = RedisSettings::from_urls(urls.split(',')).unwrap();
        Box::pin(FeatureStore::connect(settings, vec![kind(&self.prefix)], options)).await.unwrap()
    }

    /// The ids of each shard, as the store's topology has them.
    pub(crate) fn by_shard(&self, store: &FeatureStore) -> Vec<Vec<EntityId>> {
        let topology = store.topology();
        let mut by_shard = vec![Vec::new(); topology.shards().len()];
        for id in self.ids.iter() {
            let owner = topology.shard_of(Slot::for_key(&store.layout().key(id).unwrap())).unwrap();
            let shard = topology.shards().iter().position(|shard| shard == owner).unwrap();
            by_shard[shard].push(id.clone());
        }
        by_shard
    }
}

fn is_there(id: &EntityId) -> bool {
    !id[1..].parse::<usize>().unwrap().is_multiple_of(ABSENT_EVERY)
}

/// One batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) begun: Instant,
    pub(crate) took: Duration,
    pub(crate) timeout: Duration,
    /// The only shard it touches, if it does.
    pub(crate) shard: Option<usize>,
    pub(crate) summary: BatchSummary,
    pub(crate) wrong: usize,
}

impl Sample {
    /// Has it a row that is not as it should be?
    pub(crate) fn is_bad(&self) -> bool {
        self.wrong + self.summary.unavailable > 0
    }

    /// Has it a row that is not as it should be, or that a replica answered?
    pub(crate) fn is_bad_or_stale(&self) -> bool {
        self.is_bad() || self.summary.stale_possible > 0
    }

    fn ended(&self) -> Instant {
        self.begun + self.took
    }
}

#[derive(Debug, Default)]
struct Seen {
    over: AtomicBool,
    batches: AtomicU64,
    /// Batches in a row without a bad row, and those without a stale one either.
    good: AtomicU64,
    fresh: AtomicU64,
    reasons: Mutex<BTreeSet<String>>,
    first_wrong: Mutex<Option<String>>,
}

/// Readers at work: some over all shards, and one for each shard.
pub(crate) struct Load {
    seen: Arc<Seen>,
    readers: Vec<JoinHandle<Vec<Sample>>>,
}

/// One reader.
struct Reader {
    store: FeatureStore,
    ids: Vec<EntityId>,
    batch_ids: usize,
    shard: Option<usize>,
    timeouts_ms: RangeInclusive<u64>,
    /// Begins a batch at its time also where the one before was late, and counts from then: whoever waited behind a slow
    /// batch was slow as well.
    on_time: bool,
    seen: Arc<Seen>,
}

impl Load {
    /// Starts them. Every batch has one of these timeouts.
    pub(crate) fn start(store: &FeatureStore, scene: &Scene, timeouts_ms: &RangeInclusive<u64>) -> Self {
        Self::of(store, scene, timeouts_ms, false)
    }

    /// Starts readers whose batches count from when they should have begun.
    pub(crate) fn on_time(store: &FeatureStore, scene: &Scene, timeouts_ms: &RangeInclusive<u64>) -> Self {
        Self::of(store, scene, timeouts_ms, true)
    }

    fn of(store: &FeatureStore, scene: &Scene, timeouts_ms: &RangeInclusive<u64>, on_time: bool) -> Self {
        let seen = Arc::<Seen>::default();
        let reader = |ids: Vec<EntityId>, batch_ids: usize, shard| Reader {
            store: store.clone(),
            batch_ids: batch_ids.min(ids.len()),
            ids,
            shard,
            timeouts_ms: timeouts_ms.clone(),
            on_time,
            seen: Arc::clone(&seen),
        };
        let whole = (0..Size::of_this_run().pick(1, 3)).map(|_| reader(scene.ids.to_vec(), WHOLE_IDS, None));
        let by_shard = scene.by_shard(store).into_iter().enumerate();
        let single = by_shard.map(|(shard, ids)| reader(ids, SINGLE_IDS, Some(shard)));
        let readers = whole.chain(single).map(|reader| tokio::spawn(reader.read())).collect();
        Self { seen, readers }
    }

    /// Waits for so many more batches.
    pub(crate) async fn more(&self, batches: u64) {
        let until = self.seen.batches.load(Ordering::Acquire) + batches;
        let read = || async { self.seen.batches.load(Ordering::Acquire) >= until };
        wait_until(&format!("{batches} more batches"), SOON, read).await;
    }

    /// Waits until so many batches in a row have no bad row; where `fresh`, no stale one either.
    pub(crate) async fn calm(&self, batches: u64, fresh: bool) {
        let count = if fresh { &self.seen.fresh } else { &self.seen.good };
        let calm = || async { count.load(Ordering::Acquire) >= batches };
        wait_until(&format!("{batches} batches in a row are well"), SOON, calm).await;
    }

    /// Ends the readers.
    pub(crate) async fn stop(self) -> Samples {
        self.seen.over.store(true, Ordering::Release);
        let mut samples = Vec::new();
        for reader in self.readers {
            samples.extend(reader.await.unwrap());
        }
        samples.sort_unstable_by_key(|sample| sample.begun);
        let reasons = std::mem::take(&mut *self.seen.reasons.lock().unwrap());
        let first_wrong = self.seen.first_wrong.lock().unwrap().take();
        Samples { all: samples, reasons, first_wrong }
    }
}

impl Reader {
    async fn read(self) -> Vec<Sample> {
        let mut samples = Vec::new();
        // A load that leaves the machine room: what is measured is the fault, not the queue in front of the processor.
        let mut pace =
            interval(Size::of_this_run().pick(Duration::from_millis(10), Duration::from_millis(4)));
        let (burst, delay) = (MissedTickBehavior::Burst, MissedTickBehavior::Delay);
        pace.set_missed_tick_behavior(if self.on_time { burst } else { delay });
        for round in 0.. {
            let due = pace.tick().await.into_std();
            if self.seen.over.load(Ordering::Acquire) {
                break;
            }
            let first = round * self.batch_ids;
            // A read of one id takes another way through the store; every second one of a single shard is such a read.
            let count = if self.shard.is_some() && round % 2 == 1 { 1 } else { self.batch_ids };
            let asked: Vec<EntityId> =
                (first..first + count).map(|n| self.ids[n % self.ids.len()].clone()).collect();
            let timeout = Duration::from_millis(rand::rng().random_range(self.timeouts_ms.clone()));
            let begun = if self.on_time { due } else { Instant::now() };
            let batch =
                self.store.batch_get_features(asked.clone(), names(&["v"]), Some(timeout)).await.unwrap();
            let took = begun.elapsed();
            let wrong = self.wrong(&asked, &batch);
            let summary = *batch.summary();
            let sample = Sample { begun, took, timeout, shard: self.shard, summary, wrong };
            self.note(&sample, &batch);
            samples.push(sample);
        }
        samples
    }

    fn wrong(&self, asked: &[EntityId], batch: &FeatureBatch) -> usize {
        if batch.ids() != asked {
            self.seen.first_wrong.lock().unwrap().get_or_insert_with(|| "another order".to_owned());
            return asked.len();
        }
        let mut wrong = 0;
        for row in batch.rows() {
            let right = match row.status {
                RowStatus::Unavailable => true,
                RowStatus::Found => is_there(row.id) && row.value(0) == Some(value_of(row.id).as_bytes()),
                RowStatus::Missing => !is_there(row.id),
                RowStatus::Partial => false,
            };
            if !right {
                let text = || format!("{} {} {:?}", row.id, row.status, row.value(0));
                self.seen.first_wrong.lock().unwrap().get_or_insert_with(text);
            }
            wrong += usize::from(!right);
        }
        wrong
    }

    fn note(&self, sample: &Sample, batch: &FeatureBatch) {
        let count = |counter: &AtomicU64, is_well: bool| match is_well {
            true => counter.fetch_add(1, Ordering::AcqRel),
            false => counter.swap(0, Ordering::AcqRel),
        };
        self.seen.batches.fetch_add(1, Ordering::AcqRel);
        count(&self.seen.good, !sample.is_bad());
        count(&self.seen.fresh, !sample.is_bad_or_stale());
        if sample.summary.unavailable > 0 {
            let mut reasons = self.seen.reasons.lock().unwrap();
            let given = batch.rows().filter(|row| row.status == RowStatus::Unavailable);
            for row in given {
                let reason = row.reason.map(ToString::to_string).unwrap_or_default();
                if reasons.len() < REASONS_MAX {
                    reasons.insert(reason);
                }
            }
        }
    }
}

/// What the readers of one store saw.
pub(crate) struct Samples {
    pub(crate) all: Vec<Sample>,
    /// Why rows were unavailable.
    pub(crate) reasons: BTreeSet<String>,
    first_wrong: Option<String>,
}

impl Samples {
    /// The time within which that share of some batches was answered.
    pub(crate) fn quantile(&self, share: f64, of: impl Fn(&Sample) -> bool) -> Duration {
        let mut times: Vec<Duration> =
            self.all.iter().filter(|sample| of(sample)).map(|sample| sample.took).collect();
        assert!(!times.is_empty(), "no such batch");
        times.sort_unstable();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let place = ((times.len() - 1) as f64 * share).ceil() as usize;
        times[place]
    }

    /// Rows of some batches that a replica answered.
    pub(crate) fn stale(&self, of: impl Fn(&Sample) -> bool) -> usize {
        self.all.iter().filter(|sample| of(sample)).map(|sample| sample.summary.stale_possible).sum()
    }

    /// Time from `since` to the end of the last batch that is `bad`; nothing where none ended later.
    pub(crate) fn recovered(&self, since: Instant, bad: impl Fn(&Sample) -> bool) -> Duration {
        let bad = self.all.iter().filter(|sample| bad(sample)).map(Sample::ended);
        bad.max().map_or(Duration::ZERO, |last| last.saturating_duration_since(since))
    }

    /// By how much the latest answer missed its deadline.
    pub(crate) fn late(&self) -> Duration {
        let late = self.all.iter().map(|sample| sample.took.saturating_sub(sample.timeout));
        late.max().unwrap_or_default()
    }

    /// The row of the table.
    pub(crate) fn outcome(&self, promise: u8, fault: impl Into<String>) -> Outcome {
        let mut summary = BatchSummary::default();
        self.all.iter().for_each(|sample| summary.add(&sample.summary));
        let wrong: usize = self.all.iter().map(|sample| sample.wrong).sum();
        Outcome {
            promise,
            fault: fault.into(),
            batches: self.all.len(),
            rows: summary.rows(),
            found: (summary.rows() - summary.unavailable).saturating_sub(wrong),
            unavailable: summary.unavailable,
            wrong,
            longest: self.all.iter().map(|sample| sample.took).max().unwrap_or_default(),
            recovered: None,
            notes: self.first_wrong.iter().map(|text| format!("first wrong row: {text}")).collect(),
        }
    }
}

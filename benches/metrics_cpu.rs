//! What recording a batch of 1,000 entities × 10 features costs, of what reading it costs this process: CPU time.
//!
//! A schema names every feature, and one batch has all its rows whole, the other all of them partial, which is the dearest
//! there is. The same batch is recorded many times, pipelines and the folding-in of samples included. With `--check`, the
//! exit status is 1 where the share is 1 % or more.

#![expect(clippy::expect_used, reason = "a bench that can't run says so loudly")]

mod common;

use std::hint::black_box;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use common::cost::{Begun, Cost, median};
use common::{Bench, FEATURES, FEATURES_READ, PREFIX, Request, requests};
use slotwise::FeatureStore;
use slotwise::metrics::MetricsPage;
use slotwise::model::{
    FeatureBatch, FeatureClass, FeatureName, FeatureSpec, FeatureType, Projection, Schema,
};
use slotwise::shard::RedisSettings;
use slotwise::store::{EntityOptions, StoreOptions};

const ENTITIES: usize = 1_000;
/// Batches that are read in a turn, and how often one is recorded.
const BATCHES: usize = 40;
const RECORDED: usize = 2_000;
const TURNS: usize = 15;
const SEED: u64 = 20_252;
/// Looks at the clock that a batch takes only to be recorded, beside those that `record_again` takes: three when it is
/// planned, merged and over, and three for each of three pipelines.
const CLOCK_LOOKS: usize = 12;
/// Share of a batch's CPU that recording it may take.
const SHARE_MAX: f64 = 0.01;

/// A feature that no entity has.
const ABSENT: &str = "never_written";

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    tokio::spawn(measure()).await.map_err(io::Error::other)?
}

async fn measure() -> io::Result<ExitCode> {
    let check = std::env::args().any(|argument| argument == "--check");
    let metrics = slotwise::metrics::install().expect("the only recorder of this process");
    // It loads the entities.
    let bench = Bench::connect().await;
    let store = store(&bench.url).await;
    let requests = requests(SEED, BATCHES, ENTITIES);
    let mut failed = false;
    let mut out = io::stdout();
    for (name, features) in [
        ("every row whole", FEATURES[..FEATURES_READ].to_vec()),
        ("every row partial", [&FEATURES[..FEATURES_READ - 1], &[ABSENT]].concat()),
    ] {
        let names: Vec<_> = features.iter().map(|name| FeatureName::new(*name).expect("a name")).collect();
        let projection = store.projection(names, false).expect("features");
        let sample = read(&store, &requests[0], &projection).await;
        let partial = if name == "every row partial" { ENTITIES } else { 0 };
        assert_eq!((sample.len(), sample.summary().partial), (ENTITIES, partial));
        let (mut reading, mut recording) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let begun = Begun::now();
            for request in &requests {
                drop(read(&store, request, &projection).await);
            }
            reading.push(Cost::since(&begun, requests.len()));
            metrics.upkeep();
            recording.push(recorded(&store, &sample, &metrics));
        }
        let [read, recorded] = [&reading, &recording].map(|costs| median(costs.iter().map(Cost::cpu_us)));
        let share = recorded / read;
        writeln!(
            out,
            "{ENTITIES} × {FEATURES_READ}, {name}: reading {read:.1} µs, recording {recorded:.2} µs of it, {:.2} % (less \
             than {:.0} %)",
            share * 100.0,
            SHARE_MAX * 100.0
        )?;
        failed |= share.is_nan() || share >= SHARE_MAX;
    }
    Ok(if check && failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Records a batch many times, and folds the samples in.
fn recorded(store: &FeatureStore, batch: &FeatureBatch, metrics: &MetricsPage) -> Cost {
    let begun = Begun::now();
    for _ in 0..RECORDED {
        store.record_again(black_box(batch));
        for _ in 0..CLOCK_LOOKS {
            black_box(Instant::now());
        }
    }
    metrics.upkeep();
    Cost::since(&begun, RECORDED)
}

async fn read(store: &FeatureStore, request: &Request, projection: &Arc<Projection>) -> FeatureBatch {
    let (ids, projection) = (Arc::clone(&request.ids), Arc::clone(projection));
    store.batch_get_projection(ids, projection, None).await.expect("a batch")
}

/// A store of the entities that are loaded, with a schema that names every feature.
async fn store(url: &str) -> FeatureStore {
    let mut schema = Schema::default();
    for name in FEATURES.into_iter().chain([ABSENT]) {
        let name = FeatureName::new(name).expect("a name");
        let (feature_type, class) = (FeatureType::String, FeatureClass::Batch);
        let feature = FeatureSpec { name, feature_type, class, ttl_seconds: None, default: None };
        schema.add_feature(feature).expect("each once");
    }
    let entity = EntityOptions { prefix: PREFIX.to_owned(), schema, ..EntityOptions::new("bench") };
    let settings = RedisSettings::from_urls([url]).expect("an address");
    FeatureStore::connect(settings, vec![entity], StoreOptions::default()).await.expect("a cluster")
}

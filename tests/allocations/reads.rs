//! Batch reads over lanes from a real cluster.

use std::sync::Arc;
use std::time::Duration;

use slotwise::FeatureStore;
use slotwise::model::limits::PIPELINE_COMMANDS_MAX;
use slotwise::model::{EntityId, FeatureName, FeatureRow, FeatureValue, Projection};
use slotwise::shard::RedisSettings;
use slotwise::slot::{KeySet, Plan};
use slotwise::store::{LoadOptions, StoreOptions, Transport};

use crate::counting::{allocations, median, turn};
use crate::support::features::{LONG, ids, kind};
use crate::support::{shared_cluster, unique_prefix};

const ROUNDS: usize = 7;
const IDS: [usize; 3] = [300, 3_000, 30_000];
const FEATURES: [usize; 3] = [1, 10, 100];

/// Allocations per chunk of up to 512 entities at most, from its plan to its rows.
const PER_CHUNK_MAX: usize = 25;
/// Those beside the chunks', per batch.
const PER_BATCH_MAX: usize = 50;
/// Of those per chunk, as many may come and go with the size of the replies: buffers that grow.
const GROWTH_PER_CHUNK_MAX: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_allocates_by_its_chunks_and_not_by_its_entities_or_features() {
    let _turn = turn().await;
    let store = loaded_store().await;
    let mut failed = Vec::new();
    for count in IDS {
        let ids: Arc<[EntityId]> = ids("u", 0..count).into();
        let chunks = chunks(&store, &ids);
        let mut counts = Vec::new();
        for features in FEATURES {
            counts.push(allocations_of(&store, &ids, features).await);
        }
        println!("{count} ids in {chunks} chunks: {counts:?} allocations for {FEATURES:?} features");
        let (least, most) = (*counts.iter().min().unwrap(), *counts.iter().max().unwrap());
        if most > PER_BATCH_MAX + chunks * PER_CHUNK_MAX {
            failed.push(format!("{most} allocations for {count} ids in {chunks} chunks"));
        }
        if most > least + chunks * GROWTH_PER_CHUNK_MAX {
            failed.push(format!(
                "{counts:?} for {FEATURES:?} features of {count} ids, which should be the same"
            ));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A store over lanes whose entities all have all features.
async fn loaded_store() -> FeatureStore {
    let cluster = shared_cluster().await;
    let mut settings = RedisSettings::from_urls(cluster.urls().split(',')).unwrap();
    // Whatever this machine does meanwhile: a read that is sent again allocates again.
    settings.response_timeout = Duration::from_secs(20);
    let options = StoreOptions { transport: Transport::Lanes { per_node: 1 }, ..StoreOptions::default() };
    let entity = kind(&unique_prefix());
    let store = Box::pin(FeatureStore::connect(settings, vec![entity], options)).await.unwrap();
    let names = names(FEATURES[2]);
    let features: Vec<(FeatureName, FeatureValue)> =
        names.iter().map(|name| (name.clone(), FeatureValue::from("12.5"))).collect();
    let rows = ids("u", 0..IDS[2]).into_iter().map(|id| FeatureRow { id, features: features.clone() });
    let report = store
        .bulk_load(futures::stream::iter(rows), LoadOptions::default(), |_, written| written.unwrap())
        .await
        .unwrap();
    assert_eq!(report.written, IDS[2] as u64);
    store
}

fn names(count: usize) -> Vec<FeatureName> {
    (0..count).map(|number| FeatureName::new(format!("feature_{number:03}")).unwrap()).collect()
}

/// The chunks of a batch.
fn chunks(store: &FeatureStore, ids: &[EntityId]) -> usize {
    let keys = KeySet::new(ids, &store.layout()).unwrap();
    Plan::new(&keys, keys.numbers(), &store.topology(), PIPELINE_COMMANDS_MAX).chunks.len()
}

/// Allocations of one batch, from the call to the batch, by which everything was found.
async fn allocations_of(store: &FeatureStore, ids: &Arc<[EntityId]>, features: usize) -> usize {
    let projection = Arc::new(Projection::untyped(names(features)));
    let mut counts = Vec::new();
    for round in 0..=ROUNDS {
        let (ids, projection) = (Arc::clone(ids), Arc::clone(&projection));
        let before = allocations();
        let batch = store.batch_get_projection(ids, projection, LONG).await.unwrap();
        let after = allocations();
        assert_eq!(batch.summary().found, batch.len());
        // The first one is there to warm up.
        if round > 0 {
            counts.push(after - before);
        }
    }
    median(counts)
}

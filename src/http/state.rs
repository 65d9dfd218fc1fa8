//! What handlers share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::metrics::MetricsPage;
use crate::store::FeatureStore;

use super::options::HttpOptions;

/// What handlers share. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct HttpState(Arc<Shared>);

struct Shared {
    store: FeatureStore,
    metrics: Option<MetricsPage>,
    options: HttpOptions,
    requests: Semaphore,
    loads: Semaphore,
}

impl HttpState {
    /// Serves `store`; `metrics` is what `GET /metrics` shows, if anything.
    pub fn new(store: FeatureStore, metrics: Option<MetricsPage>, options: HttpOptions) -> Self {
        let places = |max: usize| Semaphore::new(max.min(Semaphore::MAX_PERMITS));
        let requests = places(options.requests_in_flight_max);
        let loads = places(options.loads_in_flight_max);
        Self(Arc::new(Shared { store, metrics, options, requests, loads }))
    }

    /// The store that is served.
    pub fn store(&self) -> &FeatureStore {
        &self.0.store
    }

    /// The limits.
    pub fn options(&self) -> &HttpOptions {
        &self.0.options
    }

    pub(super) fn metrics(&self) -> Option<&MetricsPage> {
        self.0.metrics.as_ref()
    }

    pub(super) fn requests(&self) -> &Semaphore {
        &self.0.requests
    }

    pub(super) fn loads(&self) -> &Semaphore {
        &self.0.loads
    }
}

impl std::fmt::Debug for HttpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpState").field("store", &self.0.store).finish_non_exhaustive()
    }
}

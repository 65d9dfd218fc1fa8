//! What handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::metrics::{self, HttpRequests, MetricsPage};
use crate::store::FeatureStore;

use super::admission::{Admission, Room};
use super::deadline::{Deadline, Timing};
use super::error::ApiError;
use super::health::{METRICS_CONTENT_TYPE, METRICS_PROTOBUF_CONTENT_TYPE};
use super::observe::CLIENT_GONE;
use super::options::HttpOptions;
use super::tokens::Tokens;

/// The routes that objectives are set for, and the statuses that count there.
const READ_ROUTES: [(&str, &str); 2] = [("/v1/features/batch", "POST"), ("/v1/features/{id}", "GET")];
const READ_STATUSES: [u16; 6] = [200, CLIENT_GONE, 500, 502, 503, 504];

/// What handlers share. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct HttpState(Arc<Shared>);

struct Shared {
    store: FeatureStore,
    metrics: Option<MetricsPage>,
    page_turn: Arc<Semaphore>,
    options: HttpOptions,
    tokens: Option<Tokens>,
    admission: Admission,
    requests: Arc<HttpRequests>,
    shutting_down: AtomicBool,
}

impl HttpState {
    /// Serves `store` to everybody; `metrics` is what `GET /metrics` shows, if anything.
    pub fn new(store: FeatureStore, metrics: Option<MetricsPage>, options: HttpOptions) -> Self {
        Self::guarded(store, metrics, options, None)
    }

    /// The same; where there are tokens, only to those who have one.
    pub fn guarded(
        store: FeatureStore,
        metrics: Option<MetricsPage>,
        options: HttpOptions,
        tokens: Option<Tokens>,
    ) -> Self {
        let admission = Admission::new(&options);
        let requests = HttpRequests::default();
        for (route, method) in READ_ROUTES {
            requests.show(route, method, &READ_STATUSES);
        }
        Self(Arc::new(Shared {
            store,
            metrics,
            page_turn: Arc::new(Semaphore::new(1)),
            options,
            tokens,
            admission,
            requests: Arc::new(requests),
            shutting_down: AtomicBool::new(false),
        }))
    }

    /// The store that is served.
    pub fn store(&self) -> &FeatureStore {
        &self.0.store
    }

    /// The limits.
    pub fn options(&self) -> &HttpOptions {
        &self.0.options
    }

    pub(super) fn tokens(&self) -> Option<&Tokens> {
        self.0.tokens.as_ref()
    }

    /// From now on `GET /readyz` says that the server stops, and connections are closed after their next answer.
    pub fn shut_down(&self) {
        self.0.shutting_down.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.0.shutting_down.load(Ordering::Relaxed)
    }

    /// When a request has to be answered.
    pub(super) fn deadline(&self, timing: Timing) -> Result<Deadline, ApiError> {
        let limits = self.store().limits();
        timing.deadline(limits.request_timeout, limits.request_timeout_max)
    }

    /// The metrics page as it is now, with its content type: as text, or as protobuf where that is wanted and built in.
    /// Only one is written at a time, on a thread that serves nobody.
    pub(super) async fn metrics_page(&self, protobuf: bool) -> Result<(&'static str, Vec<u8>), ApiError> {
        let page = self.0.metrics.clone().ok_or(ApiError::NoMetrics)?;
        // The semaphore is never closed.
        let turn = Arc::clone(&self.0.page_turn).acquire_owned().await;
        let state = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            metrics::observe_process();
            state.store().observe_topology();
            metrics::http_in_flight(state.admission().in_flight());
            match protobuf.then(|| page.render_protobuf()).flatten() {
                Some(page) => (METRICS_PROTOBUF_CONTENT_TYPE, page),
                None => (METRICS_CONTENT_TYPE, page.render().into_bytes()),
            }
        });
        written.await.map_err(|_| ApiError::Internal)
    }

    /// Waits for the turn of a request of so many cells.
    pub(super) async fn turn(
        &self,
        cells: usize,
        deadline: Deadline,
    ) -> Result<SemaphorePermit<'_>, ApiError> {
        self.0.admission.turn(cells, || Ok(deadline), self.options()).await
    }

    /// Room for the bytes of a body or an answer.
    pub(super) fn room(&self) -> Room {
        self.0.admission.room(self.options())
    }

    /// The metrics of requests.
    pub(super) fn requests(&self) -> &Arc<HttpRequests> {
        &self.0.requests
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.0.admission
    }
}

impl std::fmt::Debug for HttpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpState").field("store", &self.0.store).finish_non_exhaustive()
    }
}

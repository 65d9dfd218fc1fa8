//! What is counted of every HTTP request. Looking a metric up costs several times as much as counting: each is looked up
//! once for each combination of labels.

use std::sync::{PoisonError, RwLock};

use hashbrown::{Equivalent, HashMap};
use metrics::{Counter, Histogram};

use super::{HTTP_DURATION, HTTP_DURATION_RECENT, HTTP_REQUESTS, counter, histogram};

/// The metrics of HTTP requests. Labels are closed sets, and so is this.
#[derive(Default)]
pub struct HttpRequests(RwLock<HashMap<Kept, Handles, ahash::RandomState>>);

#[derive(PartialEq, Eq, Hash)]
struct Kept {
    route: String,
    method: String,
    status: u16,
}

/// Invariant: hashed as [`Kept`] is.
#[derive(Clone, Copy, Hash)]
struct Labels<'a> {
    route: &'a str,
    method: &'a str,
    status: u16,
}

#[derive(Clone)]
struct Handles {
    requests: Counter,
    duration: Histogram,
    recent: Histogram,
}

impl Equivalent<Kept> for Labels<'_> {
    fn equivalent(&self, kept: &Kept) -> bool {
        (self.route, self.method, self.status) == (&*kept.route, &*kept.method, kept.status)
    }
}

impl HttpRequests {
    /// Shows a route with 0 for each of these statuses, so that rates see the first request that ends with one.
    pub fn show(&self, route: &str, method: &str, statuses: &[u16]) {
        for status in statuses {
            let labels = Labels { route, method, status: *status };
            let handles = Handles::new(labels);
            handles.requests.increment(0);
            self.0.write().unwrap_or_else(PoisonError::into_inner).insert(Kept::new(labels), handles);
        }
    }

    /// Counts one request. `route` is the pattern that matched, never the path; `seconds` from its arrival to its answer,
    /// where it got one.
    pub fn count(&self, route: &str, method: &str, status: u16, seconds: Option<f64>) {
        let labels = Labels { route, method, status };
        // A panic elsewhere leaves the map whole.
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(handles) = known.get(&labels) {
            return handles.count(seconds);
        }
        drop(known);
        let (handles, kept) = (Handles::new(labels), Kept::new(labels));
        handles.count(seconds);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(kept, handles);
    }
}

impl Kept {
    fn new(Labels { route, method, status }: Labels<'_>) -> Self {
        Self { route: route.to_owned(), method: method.to_owned(), status }
    }
}

impl Handles {
    fn new(Labels { route, method, status }: Labels<'_>) -> Self {
        Self {
            requests: counter(&HTTP_REQUESTS, [route, method, &status.to_string()]),
            duration: histogram(&HTTP_DURATION, [route, method]),
            recent: histogram(&HTTP_DURATION_RECENT, [route, method]),
        }
    }

    fn count(&self, seconds: Option<f64>) {
        self.requests.increment(1);
        if let Some(seconds) = seconds {
            self.duration.record(seconds);
            self.recent.record(seconds);
        }
    }
}

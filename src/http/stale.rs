//! Says in the head of an answer how many of its rows replicas answered: not every format has a summary.

use axum::http::{HeaderName, HeaderValue};

use crate::model::BatchSummary;

/// How many rows replicas answered, from copies that may be older; only there where there are any.
pub const STALE_POSSIBLE_HEADER: &str = "x-stale-possible";

/// The header, where it has something to say.
pub(super) fn head(summary: &BatchSummary) -> Option<[(HeaderName, HeaderValue); 1]> {
    let rows = summary.stale_possible;
    (rows > 0).then(|| [(HeaderName::from_static(STALE_POSSIBLE_HEADER), HeaderValue::from(rows))])
}

//! `POST /v1/features/batch`: many entities, in the format that `Accept` asks for.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use tracing::instrument;

use crate::encode::{EncodeError, Format};
use crate::model::{EntityId, FeatureBatch, FeatureName};
use crate::store::{FeatureStore, RequestError};

use super::admission::Answer;
use super::body;
use super::deadline::{Deadline, Timing};
use super::error::ApiError;
use super::listed::{FEATURES_KEPT_MAX, IDS_KEPT_MAX, Listed};
use super::negotiate;
use super::openapi::BatchErrors;
use super::query::Query;
use super::stale;
use super::state::HttpState;
use super::wire::{BatchAnswer, BatchRequest, RowLine};

/// Cells up to which an answer is written at once; a larger one would hold up other requests of the thread.
const ENCODED_AT_ONCE_CELLS_MAX: usize = 100_000;

/// Time that is kept back to write one cell of an answer: some four times what it takes.
const ENCODING_PER_CELL: Duration = Duration::from_nanos(200);

/// An Arrow IPC stream.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only its description is used")]
struct ArrowStream(Vec<u8>);

/// Read features of many entities.
///
/// One row per id, in the order of `ids`, each with a status. Rows whose shard could not answer are `unavailable`
/// and say why; the answer is 200 all the same.
#[utoipa::path(
    post, path = "/v1/features/batch", operation_id = "read_batch", tag = "features", request_body = BatchRequest,
    security(("bearer" = ["read"])),
    params(
        ("timeout_ms" = Option<u64>, Query, description = "Deadline, counted from the head of the request; the smallest \
            one given counts."),
        ("x-timeout-ms" = Option<u64>, Header, description = "As timeout_ms; the smallest one given counts."),
    ),
    responses(
        (status = 200, description = "A row per id.", headers(
            ("x-stale-possible" = u64, description = "Rows that replicas answered, where there are any."),
        ), content(
            (BatchAnswer = "application/json"),
            (RowLine = "application/x-ndjson"),
            (String = "text/csv"),
            (ArrowStream = "application/vnd.apache.arrow.stream"),
        )),
        BatchErrors,
    ),
)]
pub(super) async fn read(
    State(state): State<HttpState>,
    timing: Timing,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let format = negotiate::format(&headers)?;
    let timing = timing.and(Query::of(&uri, &["timeout_ms"])?.number("timeout_ms")?);
    let (request, held): (BatchRequest, _) = body::json(body, &state, timing).await?;
    let deadline = state.deadline(timing.and(request.timeout_ms))?;
    let store = state.store().entity(request.entity.as_deref())?;
    let ids = checked_ids(&store, request.ids)?;
    let projection = match (request.features, request.feature_set) {
        (Some(features), None) => store.projection(checked_features(&store, features)?, request.defaults)?,
        (None, Some(set)) => store.feature_set(&set, request.defaults)?,
        (Some(_), Some(_)) | (None, None) => return Err(ApiError::FeaturesOrSet),
    };
    let cells = ids.len().saturating_mul(projection.len());
    let turn = state.admission().turn_for(held.turn, cells, deadline, state.options()).await?;
    let started = Instant::now();
    let timeout = for_reading(deadline.left()?, cells);
    let batch = store.batch_get_projection(ids, projection, Some(timeout)).await?;
    let stale = stale::head(batch.summary());
    let answer = encoded(store, format, batch, started.elapsed(), deadline).await?;
    drop(turn);
    let answer = Answer::body(answer, state.room())?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], stale, answer).into_response())
}

/// The ids, where they are within the limits and every one can be used.
fn checked_ids(store: &FeatureStore, ids: Listed<EntityId>) -> Result<Vec<EntityId>, ApiError> {
    let max = store.limits().batch_ids_max.min(IDS_KEPT_MAX);
    if ids.count > max {
        return Err(RequestError::TooManyIds { given: ids.count, max }.into());
    }
    match ids.problem {
        Some((index, error)) => Err(ApiError::IdAt { index, error }),
        None => Ok(ids.items),
    }
}

/// The features, likewise.
fn checked_features(
    store: &FeatureStore,
    features: Listed<FeatureName>,
) -> Result<Vec<FeatureName>, ApiError> {
    let max = store.limits().batch_features_max.min(FEATURES_KEPT_MAX);
    if features.count > max {
        return Err(RequestError::TooManyFeatures { given: features.count, max }.into());
    }
    match features.problem {
        Some((index, error)) => Err(ApiError::FeatureAt { index, error }),
        None => Ok(features.items),
    }
}

/// What is left of the time for the read, so that the answer is also written in it.
fn for_reading(left: Duration, cells: usize) -> Duration {
    let cells = u32::try_from(cells).unwrap_or(u32::MAX);
    left - ENCODING_PER_CELL.saturating_mul(cells).min(left / 4)
}

#[instrument(name = "encode", level = "debug", skip_all, fields(%format, rows = batch.len()))]
async fn encoded(
    store: FeatureStore,
    format: Format,
    batch: FeatureBatch,
    elapsed: Duration,
    deadline: Deadline,
) -> Result<Vec<u8>, ApiError> {
    if batch.len().saturating_mul(batch.features().len()) <= ENCODED_AT_ONCE_CELLS_MAX {
        return recorded(&store, format, &batch, elapsed).map_err(|error| internal(&error));
    }
    let encoding = tokio::task::spawn_blocking(move || recorded(&store, format, &batch, elapsed));
    deadline.bound(encoding).await?.map_err(|_| ApiError::Internal)?.map_err(|error| internal(&error))
}

/// The answer; the metrics hear what it took, and of values that are not of their type.
fn recorded(
    store: &FeatureStore,
    format: Format,
    batch: &FeatureBatch,
    elapsed: Duration,
) -> Result<Vec<u8>, EncodeError> {
    let begun = Instant::now();
    let (answer, unparsable) = format.encode_counting(batch, elapsed)?;
    store.record_encoding(begun.elapsed());
    store.record_unparsable(batch.projection(), unparsable.counts());
    Ok(answer)
}

fn internal(error: &EncodeError) -> ApiError {
    tracing::error!(%error, "an answer could not be written");
    ApiError::Internal
}

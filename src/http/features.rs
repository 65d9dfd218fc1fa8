//! `GET` and `PUT /v1/features/{id}`: one entity, read and written.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};

use crate::encode::{Format, Unparsable, encode_row};
use crate::ingest::parse_features;
use crate::model::FeatureName;

use super::body;
use super::deadline::Timing;
use super::error::ApiError;
use super::openapi::{ReadErrors, WriteErrors};
use super::path_id::PathId;
use super::query::Query;
use super::stale;
use super::state::HttpState;
use super::wire::{RowAnswer, WriteAnswer, WriteRequest};

/// Read features of one entity.
///
/// The same row as in a batch. Where the shard can't answer, an error instead of a row.
#[utoipa::path(
    get, path = "/v1/features/{id}", operation_id = "read_features", tag = "features", security(("bearer" = ["read"])),
    params(
        ("id" = String, Path, description = "The entity, percent-encoded."),
        ("features" = Option<String>, Query, description = "Features separated by commas; may be repeated. A name \
            with a comma in it can be asked for in a batch only. Either these or feature_set."),
        ("feature_set" = Option<String>, Query, description = "A set of features that the config names."),
        ("defaults" = Option<bool>, Query, description = "True to have the schema's defaults in the place of absent \
            values."),
        ("timeout_ms" = Option<u64>, Query, description = "Deadline, counted from the head of the request; the smallest \
            one given counts."),
        ("x-timeout-ms" = Option<u64>, Header, description = "As timeout_ms; the smallest one given counts."),
        ("entity" = Option<String>, Query, description = "The kind of entity; needed where several are configured."),
    ),
    responses(
        (status = 200, description = "The row.", body = RowAnswer, headers(
            ("x-stale-possible" = u64, description = "1 where a replica answered."),
        )),
        ReadErrors,
    ),
)]
pub(super) async fn read(
    State(state): State<HttpState>,
    PathId(id): PathId,
    timing: Timing,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = Query::of(&uri, &["features", "feature_set", "defaults", "timeout_ms", "entity"])?;
    let defaults = query.flag("defaults")?;
    let deadline = state.deadline(timing.and(query.number("timeout_ms")?))?;
    let store = state.store().entity(query.one("entity")?)?;
    let projection = match query.one("feature_set")? {
        None => store.projection(features_of(&query)?, defaults)?,
        Some(_) if query.all("features").next().is_some() => return Err(ApiError::FeaturesOrSet),
        Some(set) => store.feature_set(set, defaults)?,
    };
    let _turn = state.turn(projection.len(), deadline).await?;
    let timeout = Some(deadline.left()?);
    let batch = store.get_projection(id, projection, timeout).await.map_err(ApiError::in_path)?;
    let row = batch.row(0).ok_or(ApiError::Internal)?;
    if let Some(reason) = row.reason {
        return Err(reason.clone().into());
    }
    let (mut answer, mut unparsable) = (Vec::new(), Unparsable::default());
    tracing::debug_span!("encode", format = "json", rows = 1)
        .in_scope(|| encode_row(&mut answer, &row, &mut unparsable));
    store.record_unparsable(batch.projection(), unparsable.counts());
    let stale = stale::head(batch.summary());
    Ok(([(header::CONTENT_TYPE, Format::Json.content_type())], stale, answer).into_response())
}

fn features_of(query: &Query) -> Result<Vec<FeatureName>, ApiError> {
    let names: Vec<&str> = query.all("features").flat_map(|value| value.split(',')).collect();
    if names.is_empty() || names == [""] {
        return Err(ApiError::FeaturesNotNamed);
    }
    let name = |(index, name)| FeatureName::new(name).map_err(|error| ApiError::FeatureAt { index, error });
    names.into_iter().enumerate().map(name).collect()
}

/// Write streaming features of one entity.
///
/// Every feature gets its own TTL, in one atomic step with its value.
#[utoipa::path(
    put, path = "/v1/features/{id}", operation_id = "write_features", tag = "features", security(("bearer" = ["write"])),
    params(
        ("id" = String, Path, description = "The entity, percent-encoded."),
        ("timeout_ms" = Option<u64>, Query, description = "Deadline, counted from the head of the request; the smallest \
            one given counts."),
        ("x-timeout-ms" = Option<u64>, Header, description = "As timeout_ms; the smallest one given counts."),
    ),
    request_body = WriteRequest,
    responses((status = 200, description = "All features are written, each with its TTL.", body = WriteAnswer), WriteErrors),
)]
pub(super) async fn write(
    State(state): State<HttpState>,
    PathId(id): PathId,
    timing: Timing,
    uri: Uri,
    body: Body,
) -> Result<Json<WriteAnswer>, ApiError> {
    let timing = timing.and(Query::of(&uri, &["timeout_ms"])?.number("timeout_ms")?);
    let (request, _held): (WriteRequest, _) = body::json(body, &state, timing).await?;
    let deadline = state.deadline(timing.and(request.timeout_ms))?;
    let store = state.store().entity(request.entity.as_deref())?;
    let features = parse_features(request.features.get())?;
    let written = store.update_streaming_within(&id, &features, request.ttl_seconds, Some(deadline.left()?));
    written.await.map_err(ApiError::in_path)?;
    let own = features.iter().map(|(name, _)| store.streaming_ttl_seconds(name)).min();
    let ttl_seconds = request.ttl_seconds.or(own).unwrap_or(store.options().streaming_ttl_seconds);
    Ok(Json(WriteAnswer { written: features.len(), ttl_seconds }))
}

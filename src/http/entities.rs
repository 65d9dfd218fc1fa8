//! `GET /v1/entities/{id}`: everything that Redis holds of one entity. For people, not for the request path.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;

use crate::store::{FieldView, Inspection};

use super::deadline::Timing;
use super::error::ApiError;
use super::openapi::ReadErrors;
use super::path_id::PathId;
use super::query::Query;
use super::state::HttpState;
use super::wire::{EntityAnswer, FieldAnswer};

/// What an inspection counts for: how many fields there are shows only when they have been read.
const INSPECTED_CELLS: usize = 100;

/// Inspect one entity.
///
/// Its key, slot and shard, and every field with its value and TTL, seen at one moment. An entity that is not
/// there is answered with `exists: false`.
#[utoipa::path(
    get, path = "/v1/entities/{id}", tag = "entities", security(("bearer" = ["read"])),
    params(
        ("id" = String, Path, description = "The entity, percent-encoded."),
        ("timeout_ms" = Option<u64>, Query, description = "Deadline, counted from the head of the request; the smallest \
            one given counts."),
        ("x-timeout-ms" = Option<u64>, Header, description = "As timeout_ms; the smallest one given counts."),
        ("entity" = Option<String>, Query, description = "The kind of entity; needed where several are configured."),
    ),
    responses((status = 200, description = "What Redis holds of it.", body = EntityAnswer), ReadErrors),
)]
pub(super) async fn inspect(
    State(state): State<HttpState>,
    PathId(id): PathId,
    timing: Timing,
    uri: Uri,
) -> Result<Json<EntityAnswer>, ApiError> {
    let query = Query::of(&uri, &["entity", "timeout_ms"])?;
    let deadline = state.deadline(timing.and(query.number("timeout_ms")?))?;
    let store = state.store().entity(query.one("entity")?)?;
    let _turn = state.turn(INSPECTED_CELLS, deadline).await?;
    let seen = store.inspect_within(&id, Some(deadline.left()?)).await.map_err(ApiError::in_path)?;
    Ok(Json(answer(seen)))
}

fn answer(seen: Inspection) -> EntityAnswer {
    let field = |field: FieldView| FieldAnswer {
        name: field.name.into(),
        value: field.value.into(),
        ttl_seconds: field.ttl_seconds,
    };
    EntityAnswer {
        id: seen.id.as_str().to_owned(),
        key: seen.key.into(),
        slot: seen.slot.number(),
        shard: seen.shard.map(|node| node.to_string()),
        exists: seen.exists,
        key_ttl_seconds: seen.key_ttl_seconds,
        fields: seen.fields.into_iter().map(field).collect(),
    }
}

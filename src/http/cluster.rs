//! `GET /v1/cluster`: the cluster as the engine sees it. Addresses and prefixes, never credentials.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;

use crate::slot::{Cohort, NodeAddr, Shard};
use crate::store::{EntityOptions, FeatureStore};

use super::deadline::Timing;
use super::error::ApiError;
use super::openapi::AdminErrors;
use super::query::Query;
use super::state::HttpState;
use super::wire::{ClusterAnswer, CohortAnswer, EntityKindAnswer, ShardAnswer};

/// See the cluster.
#[utoipa::path(
    get, path = "/v1/cluster", operation_id = "show_cluster", tag = "operations", security(("bearer" = ["admin"])),
    params(
        ("timeout_ms" = Option<u64>, Query, description = "Deadline, counted from the head of the request; the smallest \
            one given counts."),
        ("x-timeout-ms" = Option<u64>, Header, description = "As timeout_ms; the smallest one given counts."),
    ),
    responses((status = 200, description = "The topology, and what is served from it.", body = ClusterAnswer), AdminErrors),
)]
pub(super) async fn show(
    State(state): State<HttpState>,
    timing: Timing,
    uri: Uri,
) -> Result<Json<ClusterAnswer>, ApiError> {
    let query = Query::of(&uri, &["timeout_ms"])?;
    state.deadline(timing.and(query.number("timeout_ms")?))?.left()?;
    let store = state.store();
    let topology = store.topology();
    let entities = store.entities().map(|options| kind(store, options)).collect::<Result<_, _>>()?;
    Ok(Json(ClusterAnswer {
        server: store.capabilities().server.clone(),
        version: topology.version(),
        age_seconds: topology.learned().elapsed().as_secs_f64(),
        slots_covered: topology.slots_covered(),
        shards: topology.shards().iter().map(|one| shard(one)).collect(),
        entities,
    }))
}

fn shard(shard: &Shard) -> ShardAnswer {
    ShardAnswer {
        primary: shard.primary.to_string(),
        replicas: shard.replicas.iter().map(NodeAddr::to_string).collect(),
        slots: shard.ranges.iter().map(|(first, last)| [first.number(), last.number()]).collect(),
        slot_count: shard.slot_count(),
    }
}

fn kind(store: &FeatureStore, options: &EntityOptions) -> Result<EntityKindAnswer, ApiError> {
    let layout = store.entity(Some(&options.name))?.layout();
    Ok(EntityKindAnswer {
        name: options.name.clone(),
        prefix: options.prefix.clone(),
        batch_ttl_seconds: options.batch_ttl_seconds,
        streaming_ttl_seconds: options.streaming_ttl_seconds,
        feature_sets: options.schema.set_names().map(str::to_owned).collect(),
        cohorts: layout.cohorts().cohorts().iter().map(cohort).collect(),
    })
}

fn cohort(cohort: &Cohort) -> CohortAnswer {
    CohortAnswer {
        name: cohort.name.clone(),
        tags: cohort.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
        members: cohort.members.len(),
    }
}

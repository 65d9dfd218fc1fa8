//! `GET /healthz`, `/readyz` and `/metrics`: for whoever watches. They answer also when the server is overloaded.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::negotiate;
use super::openapi::{MetricsErrors, ServerErrors};
use super::state::HttpState;
use super::wire::{HealthAnswer, ReadyAnswer};

/// The version of Prometheus' text format, as its scraper expects it.
pub(super) const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The same of its protobuf format.
pub(super) const METRICS_PROTOBUF_CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Is the process alive?
#[utoipa::path(
    get, path = "/healthz", tag = "operations",
    responses((status = 200, description = "It is.", body = HealthAnswer), ServerErrors),
)]
pub(super) async fn healthz() -> Json<HealthAnswer> {
    Json(HealthAnswer { status: "ok".to_owned() })
}

/// Can every key be answered for?
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "Every slot has a node that answers; problems are told all the same.", body = ReadyAnswer),
        (status = 503, description = "Some slot has not, or the server is shutting down; says what problem there is.", body = ReadyAnswer),
        ServerErrors,
    ),
)]
pub(super) async fn readyz(State(state): State<HttpState>) -> Response {
    if state.is_shutting_down() {
        let answer = ReadyAnswer { ready: false, problems: vec!["shutting down".to_owned()] };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(answer)).into_response();
    }
    let readiness = state.store().readiness(state.options().readiness_timeout).await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyAnswer { ready: readiness.ready, problems: readiness.problems })).into_response()
}

/// Metrics, in Prometheus' text format; in its protobuf format for who prefers that, where it is built in.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses(
        (status = 200, description = "All metrics.", body = String, content_type = "text/plain"),
        MetricsErrors,
    ),
)]
pub(super) async fn metrics(
    State(state): State<HttpState>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let protobuf = negotiate::prefers_protobuf(&headers);
    let (content_type, page) = state.metrics_page(protobuf).await?;
    Ok(([(header::CONTENT_TYPE, content_type)], page).into_response())
}

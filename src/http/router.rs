//! Which path leads to which handler, and what lies around all of them.

use std::any::Any;

use axum::Router;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tower_http::catch_panic::CatchPanicLayer;

use super::error::ApiError;
use super::state::HttpState;
use super::{batch, cluster, entities, features, health, load, observe, openapi, overload, status_page};

/// Every route. The router is made from it, and the description is held to it by a test.
fn routes() -> [(&'static str, MethodRouter<HttpState>); 10] {
    [
        ("/v1/features/batch", post(batch::read)),
        ("/v1/features/load", post(load::load)),
        ("/v1/features/{id}", get(features::read).put(features::write)),
        ("/v1/entities/{id}", get(entities::inspect)),
        ("/v1/cluster", get(cluster::show)),
        ("/healthz", get(health::healthz)),
        ("/readyz", get(health::readyz)),
        ("/metrics", get(health::metrics)),
        ("/openapi.json", get(openapi::openapi)),
        ("/", get(status_page::show)),
    ]
}

/// The paths of every route, as patterns.
pub fn paths() -> impl Iterator<Item = &'static str> {
    routes().into_iter().map(|(path, _)| path)
}

/// The whole API over `state`, for [`run`](super::run) or for a test to call.
pub fn router(state: HttpState) -> Router {
    let add = |router: Router<HttpState>, (path, methods)| router.route(path, methods);
    let router = with_fallbacks(routes().into_iter().fold(Router::new(), add));
    surround(router.layer(from_fn_with_state(state.clone(), overload::bound))).with_state(state)
}

fn with_fallbacks<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.fallback(unknown_route).method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
}

/// Puts around `router` what every request has, matched or not.
fn surround<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(CatchPanicLayer::custom(caught)).layer(from_fn(observe::observe))
}

async fn unknown_route(uri: Uri) -> ApiError {
    match uri.path() {
        "/v1/features/" | "/v1/entities/" => ApiError::PathId("it is empty".to_owned()),
        _ => ApiError::UnknownRoute,
    }
}

/// The panic's message is not repeated: it may hold anything. The panic hook has shown it.
fn caught(_panic: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    ApiError::Internal.into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt;

    use super::super::wire::ErrorAnswer;
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_answer_like_any_other() {
        async fn panics() {
            panic!("a secret");
        }
        let router: Router = surround(with_fallbacks(Router::new().route("/", get(panics))));
        let request = Request::get("/").header("x-request-id", "mine").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["x-request-id"], "mine");
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let answer: ErrorAnswer = serde_json::from_slice(&body).unwrap();
        assert_eq!((answer.error.code.as_str(), answer.request_id.as_str()), ("internal", "mine"));
        assert!(!answer.error.message.contains("secret"));
    }
}

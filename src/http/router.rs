//! Which path leads to which handler, and what lies around all of them.

use std::any::Any;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::metrics::HttpRequests;

use super::access::{self, Access, Guard};
use super::error::ApiError;
use super::state::HttpState;
use super::tokens::Scope;
use super::{
    batch, cluster, cross_site, entities, features, health, load, observe, openapi, overload, status_page,
};

/// Every route, and who may ask for it. The router is made from it, and the description is held to it by a test.
fn routes() -> [(&'static str, Access, MethodRouter<HttpState>); 10] {
    use Access::{ByMethod, Needs, Open};
    [
        ("/v1/features/batch", Needs(Scope::Read), post(batch::read)),
        ("/v1/features/load", Needs(Scope::Write), post(load::load)),
        ("/v1/features/{id}", ByMethod, get(features::read).put(features::write)),
        ("/v1/entities/{id}", Needs(Scope::Read), get(entities::inspect)),
        ("/v1/cluster", Needs(Scope::Admin), get(cluster::show)),
        ("/healthz", Open, get(health::healthz)),
        ("/readyz", Open, get(health::readyz)),
        ("/metrics", Open, get(health::metrics)),
        ("/openapi.json", Open, get(openapi::openapi)),
        ("/", Open, get(status_page::show)),
    ]
}

/// The paths of every route, as patterns.
pub fn paths() -> impl Iterator<Item = &'static str> {
    routes().into_iter().map(|(path, _, _)| path)
}

/// The pattern that a path matches; what is turned away does not get as far as the router.
pub(super) fn pattern(path: &str) -> Option<&'static str> {
    static PATTERNS: LazyLock<Vec<&str>> = LazyLock::new(|| paths().collect());
    let matches = |pattern: &str| match pattern.split_once('{') {
        None => pattern == path,
        Some((before, _)) => path.strip_prefix(before).is_some_and(|id| !id.is_empty() && !id.contains('/')),
    };
    // Those without an id come first.
    PATTERNS.iter().copied().find(|pattern| matches(pattern))
}

/// The whole API over `state`, for [`run`](super::run) or for a test to call.
pub fn router(state: HttpState) -> Router {
    let add = |router: Router<HttpState>, (path, access, methods): (_, _, MethodRouter<HttpState>)| {
        let methods = match state.tokens().cloned() {
            None => methods,
            Some(tokens) => methods.layer(from_fn_with_state(Guard { tokens, access }, access::check)),
        };
        router.route(path, methods)
    };
    let router = with_fallbacks(routes().into_iter().fold(Router::new(), add));
    let router = router.layer(from_fn_with_state(state.clone(), cross_site::refuse));
    let router = surround(router, state.requests());
    let router = router.layer(from_fn_with_state(state.clone(), close_in_shutdown)).with_state(state.clone());
    // Around the router and not around each route: to be turned away a request needs none of what they have.
    Router::new().fallback_service(router).layer(from_fn_with_state(state, overload::bound))
}

fn with_fallbacks<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.fallback(unknown_route).method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
}

/// Puts around `router` what every request has, matched or not.
fn surround<S: Clone + Send + Sync + 'static>(router: Router<S>, requests: &Arc<HttpRequests>) -> Router<S> {
    let observe = from_fn_with_state(Arc::clone(requests), observe::observe);
    router.layer(CatchPanicLayer::custom(caught)).layer(observe)
}

/// Whoever keeps a connection to a server that stops shall find another server.
async fn close_in_shutdown(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if state.is_shutting_down() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
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
    use axum::extract::MatchedPath;
    use axum::http::StatusCode;
    use tower::ServiceExt;

    use super::super::wire::ErrorAnswer;
    use super::*;

    #[tokio::test]
    async fn a_pattern_is_the_one_that_the_router_finds() {
        let shown =
            async |path: Option<MatchedPath>| path.map_or("none".to_owned(), |it| it.as_str().to_owned());
        let add = |router: Router, path| router.route(path, get(shown));
        let router = paths().fold(Router::new(), add).fallback(async || "none");
        let odd =
            ["/v1/features/", "/v1/features/a/b", "/v1/features/batch/", "/v1/features/batches", "/v1", "//"];
        let more =
            ["/v1/entities/%2F", "/v1/features/{id}", "/healthz/", "*", "/v1/clusters", "/v1/entities"];
        for path in paths().chain(odd).chain(more) {
            let response =
                router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            let body = to_bytes(response.into_body(), 10_000).await.unwrap();
            assert_eq!(pattern(path).unwrap_or("none").as_bytes(), body, "{path}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_answer_like_any_other() {
        async fn panics() {
            panic!("a secret");
        }
        let router: Router = surround(with_fallbacks(Router::new().route("/", get(panics))), &Arc::default());
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

//! Turns requests away at once where too many are in flight, so that those under way keep their deadlines.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::state::HttpState;

/// Routes that answer however busy the server is: somebody has to be able to see it.
const EXEMPT: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

pub(super) async fn bound(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let exempt =
        request.extensions().get::<MatchedPath>().is_some_and(|path| EXEMPT.contains(&path.as_str()));
    if exempt {
        return next.run(request).await;
    }
    match state.requests().try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => ApiError::Overloaded { what: "requests", max: state.options().requests_in_flight_max }
            .into_response(),
    }
}

//! Turns requests away at once where too many are in flight, so that those under way keep their deadlines.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::metrics::Counter;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use futures::StreamExt;
use tokio::time::timeout;

use crate::metrics;

use super::admission::Limit;
use super::error::{OVERLOADED, RETRY_AFTER_SECONDS};
use super::observe::{Route, Seen};
use super::request_id::{REQUEST_ID_HEADER, RequestId};
use super::router::pattern;
use super::state::HttpState;

/// Largest body of a request turned away that is read all the same, and for how long.
const DISCARDED_BYTES_MAX: u64 = 256 << 10;
const DISCARD_TIMEOUT: Duration = Duration::from_millis(100);

/// Routes that answer however busy the server is: somebody has to be able to see it.
const EXEMPT: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Marks the requests of a connection for which there was no place but one of those kept for health routes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowded;

/// Around everything else: what is turned away shall cost as little as can be, or turning away many takes the time that
/// is meant for the others.
pub(super) async fn bound(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    if EXEMPT.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let crowded = request.extensions().get::<Crowded>().is_some();
    match state.admission().arrive(crowded, state.options()) {
        Ok(_place) => next.run(request).await,
        Err(refusal) => {
            let mut response = refuse(refusal, &state, request).await;
            if state.is_shutting_down() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

async fn refuse(refusal: &Refusal, state: &HttpState, request: Request) -> Response {
    let route = pattern(request.uri().path()).map(Route::Known);
    let mut seen = Seen::new(&request, route, Arc::clone(state.requests()));
    let head = request.method() == Method::HEAD;
    // Before anything that a client who hangs up would break off.
    refusal.shed.get_or_init(|| metrics::http_shed(refusal.limit.label())).increment(1);
    discard(request.into_body()).await;
    (seen.status, seen.code) = (StatusCode::SERVICE_UNAVAILABLE.as_u16(), OVERLOADED);
    refusal.response(&seen.id, head)
}

/// The answer to whom a limit turns away at the door, the same for all but for the request's id.
pub(super) struct Refusal {
    limit: Limit,
    /// Its body, up to the id.
    start: String,
    /// Looked up when it is needed: the metrics may not be recorded yet.
    shed: OnceLock<Counter>,
}

impl Refusal {
    pub(super) fn new(limit: Limit, max: usize) -> Self {
        // No message has anything in it that JSON would write in another way.
        let message = limit.reached(max).to_string();
        let start = format!(r#"{{"error":{{"code":"{OVERLOADED}","message":"{message}"}},"request_id":"#);
        Self { limit, start, shed: OnceLock::new() }
    }

    fn response(&self, id: &RequestId, head: bool) -> Response {
        let mut response = Response::new(if head { Body::empty() } else { Body::from(self.body(id)) });
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), id.header());
        response
    }

    fn body(&self, id: &RequestId) -> String {
        let id = id.as_str();
        let mut body = String::with_capacity(self.start.len() + id.len() + 3);
        body.push_str(&self.start);
        body.push('"');
        for character in id.chars() {
            // Of visible ASCII, JSON escapes only these.
            if matches!(character, '"' | '\\') {
                body.push('\\');
            }
            body.push(character);
        }
        body.push_str("\"}");
        body
    }
}

/// Reads a small body and throws it away: with a part of it unread its connection could not be used again, and a new
/// one costs more than reading it.
async fn discard(body: Body) {
    if body.size_hint().exact().is_some_and(|bytes| bytes <= DISCARDED_BYTES_MAX) {
        let mut pieces = body.into_data_stream();
        let to_the_end = async { while let Some(Ok(_)) = pieces.next().await {} };
        let _ = timeout(DISCARD_TIMEOUT, to_the_end).await;
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::super::wire::ErrorAnswer;
    use super::*;

    #[test]
    fn what_is_said_at_the_door_is_an_error_like_any_other() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID_HEADER, HeaderValue::from_static(r#"a"b\c"#));
        let id = RequestId::of(&headers);
        for limit in [Limit::Connections, Limit::Requests, Limit::Queue] {
            let body = Refusal::new(limit, 7).body(&id);
            let answer: ErrorAnswer = serde_json::from_str(&body).unwrap();
            assert_eq!(serde_json::to_string(&answer).unwrap(), body);
            assert_eq!((answer.error.code.as_str(), answer.request_id.as_str()), (OVERLOADED, id.as_str()));
            assert_eq!(answer.error.message, limit.reached(7).to_string());
        }
    }
}

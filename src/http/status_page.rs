//! `GET /`: a page for people, one file without anything from elsewhere.

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};

use super::openapi::PlainErrors;

const PAGE: &str = include_str!("status_page.html");
/// The page runs its own script and asks its own server, nothing else.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                              connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A status page for people.
#[utoipa::path(
    get, path = "/", operation_id = "status_page", tag = "operations",
    responses((status = 200, description = "HTML.", body = String, content_type = "text/html"), PlainErrors),
)]
pub(super) async fn show() -> Response {
    ([(header::CONTENT_SECURITY_POLICY, CONTENT_POLICY)], Html(PAGE)).into_response()
}

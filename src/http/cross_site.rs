//! Refuses what a page of another site makes a browser send: a local server must not be written to by whatever page
//! its user looks at. Programs send none of the headers looked at here.

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::state::HttpState;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(super) async fn refuse(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    // What they answer is not shown to pages of other sites; browsers see to that.
    let harmless = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    let names_are_safe = state.tokens().is_some();
    if harmless || is_own(request.headers(), names_are_safe) {
        next.run(request).await
    } else {
        ApiError::CrossSite.into_response()
    }
}

/// Does it come from a program, or from a page of this very server? Without tokens a name is not enough: a page of
/// another site may have its own name point here.
fn is_own(headers: &HeaderMap, names_are_safe: bool) -> bool {
    let fetch = headers.get(SEC_FETCH_SITE).map(|value| value.as_bytes());
    if fetch.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1.to_owned()));
    let (Some(origin), Some(host)) = (origin, headers.get(header::HOST)) else { return false };
    origin.as_bytes().eq_ignore_ascii_case(host.as_bytes()) && (names_are_safe || is_address(&origin))
}

/// An address or `localhost`: what no page of another site is called.
fn is_address(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(headers: &[(&'static str, &'static str)], names_are_safe: bool) -> bool {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        is_own(&headers.iter().map(pair).collect(), names_are_safe)
    }

    #[test]
    fn programs_and_the_servers_own_pages_pass() {
        for headers in [
            &[][..],
            &[("host", "features.corp")],
            &[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")],
            &[("host", "[::1]:8080"), ("origin", "http://[::1]:8080"), ("sec-fetch-site", "same-origin")],
            &[("host", "LOCALHOST:1"), ("origin", "http://localhost:1"), ("sec-fetch-site", "none")],
        ] {
            assert!(own(headers, false), "{headers:?}");
        }
    }

    #[test]
    fn pages_of_other_sites_do_not() {
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("host", "127.0.0.1:8080"), ("origin", "http://evil.example")],
            &[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8081")],
            &[("host", "127.0.0.1:8080"), ("origin", "null")],
        ] {
            assert!(!own(headers, false) && !own(headers, true), "{headers:?}");
        }
        // The page's own name leads to this server.
        let rebound = [("host", "evil.example:8080"), ("origin", "http://evil.example:8080")];
        assert!(!own(&rebound, false) && own(&rebound, true));
    }
}

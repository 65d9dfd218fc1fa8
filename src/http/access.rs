//! Lets a request through where its token has the scope that the route needs.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::tokens::{Caller, Scope, Tokens};

const SCHEME: &str = "bearer ";

/// What a route asks of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing: whoever watches the server must see it.
    Open,
    /// The scope, whatever the method.
    Needs(Scope),
    /// To read, or with `PUT` to write.
    ByMethod,
}

impl Access {
    fn scope(self, method: &Method) -> Option<Scope> {
        match self {
            Self::Open => None,
            Self::Needs(scope) => Some(scope),
            Self::ByMethod if method == Method::PUT => Some(Scope::Write),
            Self::ByMethod => Some(Scope::Read),
        }
    }
}

/// A route's guard.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) tokens: Tokens,
    pub(super) access: Access,
}

pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let Some(scope) = guard.access.scope(request.method()) else { return next.run(request).await };
    match caller(&guard.tokens, request.headers(), scope) {
        Err(error) => error.into_response(),
        Ok(caller) => {
            let mut response = next.run(request).await;
            response.extensions_mut().insert(caller);
            response
        }
    }
}

/// Who asks, where it may.
fn caller(tokens: &Tokens, headers: &HeaderMap, scope: Scope) -> Result<Caller, ApiError> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return Err(ApiError::NoToken);
    };
    let (scheme, token) = value.as_bytes().split_at_checked(SCHEME.len()).ok_or(ApiError::NoToken)?;
    if !scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) {
        return Err(ApiError::NoToken);
    }
    let caller = tokens.caller(token.trim_ascii()).ok_or(ApiError::WrongToken)?;
    if caller.may(scope) { Ok(caller) } else { Err(ApiError::ScopeMissing(scope)) }
}

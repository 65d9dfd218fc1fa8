//! The entity id in a path, percent-decoded. An id called like a route, `batch` or `load`, is reached by encoding
//! one of its characters.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::model::EntityId;

use super::error::ApiError;

/// A decoder would take a broken escape for itself, and an entity that nobody meant would be read or written.
fn is_well_encoded(path: &str) -> bool {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = path.as_bytes();
    (0..bytes.len()).all(|at| bytes[at] != b'%' || (is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2))))
}

pub(super) struct PathId(pub(super) EntityId);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if !is_well_encoded(parts.uri.path()) {
            return Err(ApiError::PathId("a % is not followed by two hexadecimal digits".to_owned()));
        }
        // The route has one parameter and it is a text, so bytes that are no text are all that can go wrong.
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::PathId("it is no UTF-8".to_owned()))?;
        EntityId::new(id).map(Self).map_err(|error| ApiError::PathId(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_escape_is_no_id() {
        for path in ["/v1/features/%zz", "/v1/features/a%", "/v1/features/%4", "/%e2%82%a"] {
            assert!(!is_well_encoded(path), "{path}");
        }
        for path in ["/v1/features/a", "/v1/features/%25zz", "/v1/features/%E2%82%ac%2F"] {
            assert!(is_well_encoded(path), "{path}");
        }
    }
}

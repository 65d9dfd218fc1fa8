//! The entity id in a path, percent-decoded. An id called like a route, `batch` or `load`, is reached by encoding
//! one of its characters.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::model::EntityId;

use super::error::ApiError;

pub(super) struct PathId(pub(super) EntityId);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // The route has one parameter and it is a text, so bytes that are no text are all that can go wrong.
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::PathId("it is no UTF-8".to_owned()))?;
        EntityId::new(id).map(Self).map_err(|error| ApiError::PathId(error.to_string()))
    }
}

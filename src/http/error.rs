//! Everything a request can get instead of its answer, and the one table of statuses and codes.
//!
//! Invariant: no `_` arm; a new error does not compile before somebody says what its status is.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::ingest::RowError;
use crate::metrics;
use crate::model::{EntityIdError, FeatureNameError, SchemaViolation, UnavailableReason};
use crate::slot::PlanError;
use crate::store::{RequestError, StoreError};

use super::admission::Limit;
use super::deadline::TIMEOUT_HEADER;
use super::request_id::RequestId;
use super::tokens::Scope;
use super::wire::{ErrorAnswer, ErrorDetail};

/// Longest error message, in bytes: some repeat what the client sent.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// Seconds after which an overloaded server may be asked again.
pub(super) const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Code of a request that was turned away because of a limit.
pub(super) const OVERLOADED: &str = "overloaded";

/// Why a body can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than the limit of {max} bytes")]
    TooLarge { max: u64 },
    #[error("no more of the body came for {seconds} s")]
    Stalled { seconds: u64 },
    #[error("the deadline passed; the rows under way may or may not have been written")]
    Late,
    #[error("the body broke off: {0}")]
    Broken(String),
}

/// Anything that is answered with an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("ids[{index}]: {error}")]
    IdAt { index: usize, error: EntityIdError },
    #[error("features[{index}]: {error}")]
    FeatureAt { index: usize, error: FeatureNameError },
    #[error("the id in the path: {0}")]
    PathId(String),
    #[error(transparent)]
    Row(#[from] RowError),
    #[error("the body is not what this route takes: {0}")]
    Json(String),
    #[error("{TIMEOUT_HEADER}: {0:?} is not a whole number of milliseconds")]
    TimeoutHeader(String),
    #[error("{0}")]
    Query(String),
    #[error(
        "features: name the features to read, such as ?features=a,b, or a feature_set; GET /v1/entities/{{id}} shows \
         everything an entity has"
    )]
    FeaturesNotNamed,
    #[error("give exactly one of features and feature_set")]
    FeaturesOrSet,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("{cause}; up to line {line}, {written} rows were written and {rejected} rejected")]
    LoadBroken { cause: BodyError, line: u64, written: u64, rejected: u64 },
    #[error("Accept: none of what it names can be answered here; there is {0}")]
    NotAcceptable(String),
    #[error("there is no such route; GET /openapi.json lists all")]
    UnknownRoute,
    #[error("the route does not take this method; see the header Allow")]
    MethodNotAllowed,
    #[error("{}", limit.message(*max))]
    Overloaded { limit: Limit, max: u64 },
    #[error("this route needs a token: send the header Authorization: Bearer TOKEN, once")]
    NoToken,
    #[error("the token is not one of this server's")]
    WrongToken,
    #[error("the token does not have the scope {}, which this route needs", .0.as_str())]
    ScopeMissing(Scope),
    #[error("a page of another site sent this; only programs and this server's own pages may")]
    CrossSite,
    #[error("this server was started without metrics")]
    NoMetrics,
    #[error("a fault of the server; its log says more under this request id")]
    Internal,
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        Self::Store(error.into())
    }
}

impl From<UnavailableReason> for ApiError {
    fn from(reason: UnavailableReason) -> Self {
        Self::Store(reason.into())
    }
}

impl ApiError {
    /// The same error for a route that has its one id in the path: there is no list to point into.
    pub(super) fn in_path(error: impl Into<StoreError>) -> Self {
        match error.into() {
            StoreError::Request(RequestError::Plan(PlanError::Key { error, .. })) => {
                Self::PathId(error.to_string())
            }
            other => other.into(),
        }
    }

    /// The table.
    pub(super) fn status_and_code(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::Store(error) => of_store(error),
            Self::IdAt { .. } | Self::PathId(_) => (S::BAD_REQUEST, "invalid_id"),
            Self::FeatureAt { .. } => (S::BAD_REQUEST, "invalid_feature"),
            Self::Row(_) => (S::BAD_REQUEST, "invalid_features"),
            Self::Json(_) => (S::BAD_REQUEST, "invalid_body"),
            Self::TimeoutHeader(_) => (S::BAD_REQUEST, "invalid_timeout"),
            Self::Query(_) => (S::BAD_REQUEST, "invalid_query"),
            Self::FeaturesNotNamed => (S::BAD_REQUEST, "no_features"),
            Self::FeaturesOrSet => (S::BAD_REQUEST, "features_or_feature_set"),
            Self::Body(cause) | Self::LoadBroken { cause, .. } => of_body(cause),
            Self::NotAcceptable(_) => (S::NOT_ACCEPTABLE, "not_acceptable"),
            Self::UnknownRoute => (S::NOT_FOUND, "unknown_route"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Overloaded { .. } => (S::SERVICE_UNAVAILABLE, OVERLOADED),
            Self::NoToken | Self::WrongToken => (S::UNAUTHORIZED, "unauthorized"),
            Self::ScopeMissing(_) => (S::FORBIDDEN, "scope_missing"),
            Self::CrossSite => (S::FORBIDDEN, "cross_site"),
            Self::NoMetrics => (S::NOT_FOUND, "no_metrics"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// What `WWW-Authenticate` says (RFC 6750).
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::NoToken => Some("Bearer realm=\"slotwise\""),
            Self::WrongToken => Some("Bearer realm=\"slotwise\", error=\"invalid_token\""),
            Self::ScopeMissing(scope) => Some(match scope {
                Scope::Read => "Bearer realm=\"slotwise\", error=\"insufficient_scope\", scope=\"read\"",
                Scope::Write => "Bearer realm=\"slotwise\", error=\"insufficient_scope\", scope=\"write\"",
                Scope::Admin => "Bearer realm=\"slotwise\", error=\"insufficient_scope\", scope=\"admin\"",
            }),
            _ => None,
        }
    }

    fn detail(&self, code: &'static str) -> ErrorDetail {
        let (written, rejected_count) = match self {
            Self::LoadBroken { written, rejected, .. } => (Some(*written), Some(*rejected)),
            _ => (None, None),
        };
        let message = shortened(self.to_string(), MESSAGE_BYTES_MAX);
        ErrorDetail { code: code.to_owned(), message, written, rejected_count }
    }
}

fn of_store(error: &StoreError) -> (StatusCode, &'static str) {
    match error {
        StoreError::Request(error) => of_request(error),
        StoreError::Connect(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_connected"),
        StoreError::Options(_) => (StatusCode::INTERNAL_SERVER_ERROR, "misconfigured"),
        StoreError::Unavailable(reason) => (of_reason(reason), reason.kind()),
        StoreError::Broken(_) => (StatusCode::BAD_GATEWAY, "broken_promise"),
    }
}

fn of_request(error: &RequestError) -> (StatusCode, &'static str) {
    let code = match error {
        RequestError::NoFeatures => "no_features",
        RequestError::TooManyFeatures { .. } => "too_many_features",
        RequestError::TooManyIds { .. } => "too_many_ids",
        RequestError::TooManyCells { .. } => "too_many_cells",
        RequestError::TooFewReplicas { .. } => "too_few_replicas",
        RequestError::Timeout { .. } => "invalid_timeout",
        RequestError::Ttl { .. } => "invalid_ttl",
        RequestError::Plan(PlanError::Key { .. }) | RequestError::Id(_) => "invalid_id",
        RequestError::Plan(PlanError::TooLarge) => "batch_too_large",
        RequestError::Feature(_) => "invalid_feature",
        RequestError::ValueTooLarge { .. } => "value_too_large",
        RequestError::FeatureTwice(_) => "feature_twice",
        RequestError::Schema(SchemaViolation::Type { .. }) => "wrong_type",
        RequestError::Schema(SchemaViolation::Class { .. }) => "wrong_kind",
        RequestError::UnknownFeatureSet { .. } => "unknown_feature_set",
        RequestError::UnknownEntity { .. } => "unknown_entity",
        RequestError::EntityNotNamed(_) => "entity_not_named",
        RequestError::UnknownCohort { .. } => "unknown_cohort",
    };
    (StatusCode::BAD_REQUEST, code)
}

fn of_reason(reason: &UnavailableReason) -> StatusCode {
    match reason {
        UnavailableReason::DeadlineExceeded(_) => StatusCode::GATEWAY_TIMEOUT,
        UnavailableReason::SlotUncovered
        | UnavailableReason::AttemptsExhausted(_)
        | UnavailableReason::OutcomeUnknown(_)
        | UnavailableReason::ShardAway(_)
        | UnavailableReason::Unconfirmed(_) => StatusCode::SERVICE_UNAVAILABLE,
        UnavailableReason::Refused(_) => StatusCode::BAD_GATEWAY,
    }
}

fn of_body(error: &BodyError) -> (StatusCode, &'static str) {
    match error {
        BodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        BodyError::Late => (StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded"),
        BodyError::Stalled { .. } => (StatusCode::REQUEST_TIMEOUT, "body_stalled"),
        BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "body_broken"),
    }
}

/// `text` within `bytes_max`, cut at a character.
pub(super) fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}

/// The error on its way out: the body is written where the request's id is known.
#[derive(Clone)]
struct Outgoing(ErrorDetail, &'static str);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let mut response = status.into_response();
        if let Self::Overloaded { limit, .. } = self {
            metrics::http_shed(limit.label()).increment(1);
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.extensions_mut().insert(Outgoing(self.detail(code), code));
        response
    }
}

/// Gives an error its JSON body; returns its code, or nothing where the response is no error.
pub(super) fn write_body(response: &mut Response, id: &RequestId, head: bool) -> &'static str {
    let Some(Outgoing(error, code)) = response.extensions_mut().remove() else { return "" };
    let json = Json(ErrorAnswer { error, request_id: id.as_str().to_owned() }).into_response();
    let (parts, body) = json.into_parts();
    response.headers_mut().extend(parts.headers);
    if !head {
        // Its length was that of the empty body.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = body;
    } else {
        *response.body_mut() = Body::empty();
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_fails_is_the_servers_fault_and_says_how() {
        let status = |reason: UnavailableReason| ApiError::from(reason).status_and_code();
        let answers = [
            status(UnavailableReason::DeadlineExceeded(None)),
            status(UnavailableReason::SlotUncovered),
            status(UnavailableReason::AttemptsExhausted("x".into())),
            status(UnavailableReason::OutcomeUnknown("x".into())),
            status(UnavailableReason::Refused("WRONGTYPE".into())),
            ApiError::Store(StoreError::Broken("x".into())).status_and_code(),
        ];
        let answers = answers.map(|(status, code)| (status.as_u16(), code));
        let expected = [
            (504, "deadline_exceeded"),
            (503, "slot_uncovered"),
            (503, "attempts_exhausted"),
            (503, "outcome_unknown"),
            (502, "refused"),
            (502, "broken_promise"),
        ];
        assert_eq!(answers, expected);
    }

    #[test]
    fn a_message_is_bounded_and_cut_at_a_character() {
        let long = ApiError::Json("é".repeat(MESSAGE_BYTES_MAX));
        let message = long.detail("x").message;
        assert!(message.len() <= MESSAGE_BYTES_MAX + '…'.len_utf8() && message.ends_with('…'));
        assert_eq!(shortened("abc".into(), 3), "abc");
    }
}

//! When a request has to be answered: so long after its head came, as its caller says. Whatever happens to it until then
//! counts, also the wait for its body and for its turn.

use std::future::Future;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::time::{Instant, timeout_at};

use crate::model::UnavailableReason;
use crate::store::RequestError;

use super::error::ApiError;

/// Header that says how long an answer may take, on every route under `/v1`.
pub const TIMEOUT_HEADER: &str = "x-timeout-ms";

/// When the head of a request had been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived(pub(super) Instant);

/// What is known of a request's deadline. Where it is given several times, the earliest counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    arrived: Instant,
    given_ms: Option<u64>,
    /// The largest one given: each has to be within the limit.
    largest_ms: u64,
}

impl<S: Send + Sync> FromRequestParts<S> for Timing {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let arrived = parts.extensions.get::<Arrived>().map_or_else(Instant::now, |arrived| arrived.0);
        let mut timing = Self::at(arrived);
        for value in parts.headers.get_all(TIMEOUT_HEADER) {
            let text = value.to_str().unwrap_or_default();
            let given = text.parse().map_err(|_| ApiError::TimeoutHeader(text.to_owned()))?;
            timing = timing.and(Some(given));
        }
        Ok(timing)
    }
}

impl Timing {
    /// Of a request that came then and says nothing yet.
    pub(super) fn at(arrived: Instant) -> Self {
        Self { arrived, given_ms: None, largest_ms: 0 }
    }

    /// With what else the request says.
    pub(super) fn and(mut self, given_ms: Option<u64>) -> Self {
        self.largest_ms = self.largest_ms.max(given_ms.unwrap_or(0));
        self.given_ms = self.given_ms.into_iter().chain(given_ms).min();
        self
    }

    /// The deadline; `default` where the request gives none. Errors where it gives nothing at all, or more than `max`.
    pub(super) fn deadline(self, default: Duration, max: Duration) -> Result<Deadline, ApiError> {
        let wrong = |given: u64| {
            ApiError::from(RequestError::Timeout { given_ms: given.into(), max_ms: max.as_millis() })
        };
        if self.given_ms == Some(0) {
            return Err(wrong(0));
        }
        if u128::from(self.largest_ms) > max.as_millis() {
            return Err(wrong(self.largest_ms));
        }
        Ok(Deadline(self.arrived + self.given_ms.map_or(default, Duration::from_millis)))
    }
}

/// When a request has to be answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// The time that is left; an error where there is none.
    pub(super) fn left(self) -> Result<Duration, ApiError> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(late()) } else { Ok(left) }
    }

    /// What becomes of `work`, where that is in time.
    pub(super) async fn bound<T>(self, work: impl Future<Output = T>) -> Result<T, ApiError> {
        timeout_at(self.0, work).await.map_err(|_| late())
    }
}

fn late() -> ApiError {
    UnavailableReason::DeadlineExceeded(None).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn left(given: &[u64]) -> Result<Duration, String> {
        let start = Timing::at(Instant::now());
        let timing = given.iter().fold(start, |timing, ms| timing.and(Some(*ms))).and(None);
        timing.deadline(SECOND, 3 * SECOND).and_then(Deadline::left).map_err(|error| error.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_counts_and_each_has_to_be_allowed() {
        assert_eq!(left(&[]), Ok(SECOND));
        assert_eq!(left(&[200, 100, 3_000]), Ok(SECOND / 10));
        assert_eq!(left(&[100, 0]), Err("timeout_ms: 0 is not between 1 and 3000".to_owned()));
        assert_eq!(left(&[100, 3_001]), Err("timeout_ms: 3001 is not between 1 and 3000".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn time_runs_from_the_head_on() {
        let timing = Timing::at(Instant::now()).and(Some(50));
        let deadline = timing.deadline(SECOND, SECOND).unwrap();
        tokio::time::advance(Duration::from_millis(20)).await;
        assert_eq!(deadline.left(), Ok(Duration::from_millis(30)));
        assert_eq!(deadline.bound(std::future::pending::<()>()).await, Err(late()));
        assert_eq!((deadline.left(), deadline.bound(async { 7 }).await), (Err(late()), Ok(7)));
    }
}

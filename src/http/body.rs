//! Request bodies: piece by piece within a limit, or whole as JSON. The content type is not looked at: what
//! matters is whether the body can be read, and `curl -d` names another one by itself.

use std::error::Error;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream, HttpBody};
use bytes::Bytes;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::admission::Room;
use super::deadline::Timing;
use super::error::{ApiError, BodyError};
use super::state::HttpState;

/// Cells that a byte of a body counts for until it is parsed: more than most have. Whoever turns out to have more has to
/// wait for another turn, and may be turned away with the parsing done in vain.
const CELLS_PER_BODY_BYTE: usize = 2;

/// The pieces of a body, until it is larger than a limit or stops coming.
pub(super) struct Pieces {
    stream: BodyDataStream,
    announced: u64,
    bytes: u64,
    bytes_max: u64,
    idle_max: Duration,
}

impl Pieces {
    /// Errors at once where the body announces that it is too large.
    pub(super) fn new(body: Body, bytes_max: u64, idle_max: Duration) -> Result<Self, BodyError> {
        if body.size_hint().lower() > bytes_max {
            return Err(BodyError::TooLarge { max: bytes_max });
        }
        let announced = body.size_hint().lower();
        Ok(Self { announced, stream: body.into_data_stream(), bytes: 0, bytes_max, idle_max })
    }

    /// All that is left of it.
    async fn whole(&mut self, room: &mut Room) -> Result<Vec<u8>, ApiError> {
        let mut whole = Vec::new();
        room.reserve(self.announced)?;
        while let Some(piece) = self.next().await? {
            room.reserve(self.bytes)?;
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let piece = timeout(self.idle_max, self.stream.next())
            .await
            .map_err(|_| BodyError::Stalled { seconds: self.idle_max.as_secs() })?;
        let Some(piece) = piece.transpose().map_err(|error| BodyError::Broken(with_cause(&error)))? else {
            return Ok(None);
        };
        self.bytes += piece.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(BodyError::TooLarge { max: self.bytes_max });
        }
        Ok(Some(piece))
    }
}

/// The error, and what lies at the bottom of it where that says more.
fn with_cause(error: &dyn Error) -> String {
    let text = error.to_string();
    let mut bottom = error;
    while let Some(source) = bottom.source() {
        bottom = source;
    }
    let cause = bottom.to_string();
    if cause == text { text } else { format!("{text}: {cause}") }
}

/// What a request with a body holds until it is answered.
pub(super) struct Held<'a> {
    pub(super) turn: SemaphorePermit<'a>,
    _room: Room,
}

/// Reads a body whole, waits for its turn and parses it as JSON.
pub(super) async fn json<T: DeserializeOwned>(
    body: Body,
    state: &HttpState,
    timing: Timing,
) -> Result<(T, Held<'_>), ApiError> {
    let options = state.options();
    let mut pieces = Pieces::new(body, options.body_bytes_max as u64, options.body_idle_timeout)?;
    // The body may name an earlier deadline, but no later one.
    let max = state.store().limits().request_timeout_max;
    let mut room = state.room();
    let whole = timing.deadline(max, max)?.bound(pieces.whole(&mut room)).await??;
    let hinted =
        || state.deadline(timing.and(timeout_hint(&whole).filter(|ms| u128::from(*ms) <= max.as_millis())));
    let turn =
        state.admission().turn(whole.len().saturating_mul(CELLS_PER_BODY_BYTE), hinted, options).await?;
    Ok((parse(&whole)?, Held { turn, _room: room }))
}

/// What the body seems to say of its deadline. Whoever waits for a turn has to know, and to parse it is what the turn is
/// for; a hint that is wrong shortens a wait.
fn timeout_hint(whole: &[u8]) -> Option<u64> {
    let (_, rest) = std::str::from_utf8(whole).ok()?.rsplit_once("\"timeout_ms\"")?;
    let digits = rest.trim_start().strip_prefix(':')?.trim_start();
    let end = digits.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok().filter(|ms| *ms > 0)
}

fn parse<T: DeserializeOwned>(whole: &[u8]) -> Result<T, ApiError> {
    if whole.trim_ascii().is_empty() {
        return Err(ApiError::Json("it is empty; JSON is needed".to_owned()));
    }
    // A list would pass for an object whose fields come in order.
    if whole.trim_ascii().first() != Some(&b'{') {
        return Err(ApiError::Json("it is no JSON object".to_owned()));
    }
    serde_json::from_slice(whole).map_err(|error| {
        // Read again in the slower way that also knows the path of the field.
        let rejection = Json::<T>::from_bytes(whole).err();
        let named = rejection.as_ref().and_then(Error::source).map(ToString::to_string);
        ApiError::Json(named.unwrap_or_else(|| error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[expect(dead_code, reason = "only its type matters")]
        list: Vec<String>,
    }

    fn error(text: &str) -> String {
        parse::<Shape>(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_field_line_and_column() {
        insta::assert_snapshot!(error("{\"list\":[\"a\",\n5]}"), @"the body is not what this route takes: list[1]: invalid type: integer `5`, expected a string at line 2 column 1");
        insta::assert_snapshot!(error("{\"list\":[],\"lost\":1}"), @"the body is not what this route takes: lost: unknown field `lost`, expected `list` at line 1 column 17");
        insta::assert_snapshot!(error("{\"list\":["), @"the body is not what this route takes: list: EOF while parsing a list at line 1 column 9");
        insta::assert_snapshot!(error("{\"list\":[]} x"), @"the body is not what this route takes: trailing characters at line 1 column 13");
        insta::assert_snapshot!(error("{}"), @"the body is not what this route takes: missing field `list` at line 1 column 2");
        insta::assert_snapshot!(error("[[]]"), @"the body is not what this route takes: it is no JSON object");
        insta::assert_snapshot!(error(" \n"), @"the body is not what this route takes: it is empty; JSON is needed");
    }

    #[test]
    fn a_deadline_is_seen_in_a_body_that_is_not_parsed() {
        for (body, seen) in [
            (r#"{"ids":["a"],"timeout_ms":50}"#, Some(50)),
            (r#"{"timeout_ms" : 7 ,"ids":["timeout_ms"]}"#, None),
            (r#"{"timeout_ms" : 7 ,"ids":["\"timeout_ms\":5"]}"#, Some(7)),
            (r#"{"timeout_ms":0}"#, None),
            (r#"{"timeout_ms":"#, None),
            ("{}", None),
        ] {
            assert_eq!(timeout_hint(body.as_bytes()), seen, "{body}");
        }
    }

    #[tokio::test]
    async fn a_body_that_stops_coming_is_given_up() {
        let stream = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"a"))])
            .chain(futures::stream::pending());
        let mut pieces = Pieces::new(Body::from_stream(stream), 10, Duration::from_millis(20)).unwrap();
        assert_eq!(pieces.next().await, Ok(Some(Bytes::from_static(b"a"))));
        assert_eq!(pieces.next().await, Err(BodyError::Stalled { seconds: 0 }));
    }

    #[tokio::test]
    async fn a_body_is_refused_at_the_announcement_or_at_the_byte_too_much() {
        let announced = Pieces::new(Body::from("12345"), 4, Duration::from_secs(1));
        assert_eq!(announced.err(), Some(BodyError::TooLarge { max: 4 }));
        let stream = futures::stream::iter(["123", "45"].map(Ok::<_, std::io::Error>));
        let mut pieces = Pieces::new(Body::from_stream(stream), 4, Duration::from_secs(1)).unwrap();
        assert!(pieces.next().await.is_ok());
        assert_eq!(pieces.next().await, Err(BodyError::TooLarge { max: 4 }));
    }
}

//! Request bodies: piece by piece within a limit, or whole as JSON. The content type is not looked at: what
//! matters is whether the body can be read, and `curl -d` names another one by itself.

use std::error::Error;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream, HttpBody};
use bytes::Bytes;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::{ApiError, BodyError};
use super::options::HttpOptions;

/// The pieces of a body, until it is larger than a limit or stops coming.
pub(super) struct Pieces {
    stream: BodyDataStream,
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
        Ok(Self { stream: body.into_data_stream(), bytes: 0, bytes_max, idle_max })
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

/// Reads a body whole and parses it as JSON.
pub(super) async fn json<T: DeserializeOwned>(body: Body, options: &HttpOptions) -> Result<T, ApiError> {
    let mut pieces = Pieces::new(body, options.body_bytes_max as u64, options.body_idle_timeout)?;
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await? {
        whole.extend_from_slice(&piece);
    }
    parse(&whole)
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

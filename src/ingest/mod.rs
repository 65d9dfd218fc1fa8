//! Sources of rows: files, standard input and synthetic users, all behind [`RowSource`].
//!
//! Invariants: a bad row never stops a source, it comes out as [`SourceItem::Rejected`] with its line; nothing
//! is skipped in silence; no source holds more than one line or record of the input, whatever the input.

mod csv;
mod ids;
mod json_row;
mod ndjson;
mod open;
mod split;
mod stream;
mod synthetic;

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::model::FeatureRow;

pub use self::csv::CsvSource;
pub use ids::{IdsError, IdsFormat, IdsReader};
pub use json_row::{RowError, parse_features, parse_row};
pub use ndjson::{NdjsonDecoder, NdjsonSource};
pub use open::{OpenedSource, RowFormat, RowFormatError};
pub use stream::{STREAM_SEED, STREAM_USERS_MAX, StreamOptions, stream_features};
pub use synthetic::{
    BATCH_FEATURES, STREAMING_FEATURES, SYNTHETIC_SEED, SyntheticRng, SyntheticSource, SyntheticUsers,
    streaming_features, synthetic_rng,
};

/// A row as one NDJSON line without its line break, every value a string, so that a row that could not be
/// written can be loaded again. A value that is not UTF-8 (no source gives one) is written lossily.
pub fn to_ndjson(row: &FeatureRow) -> String {
    let mut line = String::with_capacity(row.size_bytes() + 32 + 6 * row.features.len());
    line.push_str("{\"id\":");
    push_json_str(&mut line, &row.id);
    line.push_str(",\"features\":{");
    for (index, (name, value)) in row.features.iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        push_json_str(&mut line, name);
        line.push(':');
        push_json_str(&mut line, &String::from_utf8_lossy(value.as_bytes()));
    }
    line.push_str("}}");
    line
}

fn push_json_str(line: &mut String, text: &str) {
    // A string always serializes; Value's Display is the infallible way to say so.
    line.push_str(&serde_json::Value::from(text).to_string());
}

/// A row that can't be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// File name, `-` for standard input, or what the source was named.
    pub source: Arc<str>,
    /// The line where the row starts, counted from 1.
    pub line: u64,
    /// What is wrong, naming the field and the limit.
    pub error: String,
    /// The line or record as it was read, without its line break; lossy where it is not UTF-8, `None` where it
    /// was too long to keep.
    pub raw: Option<String>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.source, self.line, self.error)
    }
}

/// What a source gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceItem {
    /// A row to write. Its text is not kept: [`to_ndjson`] brings back a loadable line.
    Row {
        /// The line where the row starts, counted from 1.
        line: u64,
        /// The row.
        row: FeatureRow,
    },
    /// A row that can't be used.
    Rejected(Rejected),
}

/// What ends a source early. The rows that came before it stand.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file can't be opened.
    #[error("cannot open {source_name}: {error}")]
    Open {
        /// The file.
        source_name: Arc<str>,
        /// Why.
        error: io::Error,
    },
    /// Reading failed in the middle.
    #[error("{source_name}:{line}: cannot read on: {error}")]
    Read {
        /// The file, or `-`.
        source_name: Arc<str>,
        /// The line that was being read, counted from 1.
        line: u64,
        /// Why.
        error: io::Error,
    },
    /// The header row of a CSV file can't be used.
    #[error("{source_name}:{line}: {problem}")]
    Header {
        /// The file, or `-`.
        source_name: Arc<str>,
        /// The line where the header starts, counted from 1.
        line: u64,
        /// What is wrong, naming the column.
        problem: String,
    },
    /// Neither the caller nor the file's extension says what the format is.
    #[error("{source_name}: {error}")]
    Format {
        /// The file, or `-`.
        source_name: Arc<str>,
        /// What was looked for.
        error: RowFormatError,
    },
}

/// A source of rows, read from start to end on a thread that may block. After an error it gives nothing more.
pub trait RowSource: Iterator<Item = Result<SourceItem, SourceError>> + Send {
    /// File name, `-`, or `synthetic`.
    fn name(&self) -> &Arc<str>;

    /// Bytes of input used so far, for a progress bar; 0 where there is no input.
    fn bytes_read(&self) -> u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_was_not_written_can_be_loaded_again() {
        let row = parse_row(br#"{"id":"a \"b\"\n\ud83e\udd80","features":{"n\t":1.50,"s":"x\\y","t":true}}"#)
            .unwrap();
        let line = to_ndjson(&row);
        insta::assert_snapshot!(line, @r#"{"id":"a \"b\"\n🦀","features":{"n\t":"1.5","s":"x\\y","t":"true"}}"#);
        assert_eq!(parse_row(line.as_bytes()), Ok(row));
    }

    #[test]
    fn a_rejection_reads_as_place_and_reason() {
        let rejected = Rejected {
            source: "users.csv".into(),
            line: 7,
            error: "no features".into(),
            raw: Some("u7,".into()),
        };
        assert_eq!(rejected.to_string(), "users.csv:7: no features");
    }
}

//! Output formats, one file each, straight from the cells of a [`FeatureBatch`].
//!
//! Invariants: rows keep their order and their status; an absent feature never looks like an empty value, a value that
//! is not of its type never like an absent one; nothing is built per row or per value besides the output.

#[cfg(feature = "arrow")]
mod arrow;
mod csv;
mod json;
mod ndjson;
mod text;
mod unparsable;
mod value;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{FeatureBatch, Projection};

#[cfg(feature = "arrow")]
pub use self::arrow::ArrowEncoder;
pub use self::csv::CsvEncoder;
pub use json::{JsonEncoder, encode_row};
pub use ndjson::NdjsonEncoder;
pub use unparsable::Unparsable;

/// An output format. To add one: a file beside this one, and a line in each place below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One document: the features once, rows of values, a summary.
    Json,
    /// One object a line, features by name.
    Ndjson,
    /// A header, then one record per row.
    Csv,
    /// An Arrow IPC stream, with columns of the schema's types.
    #[cfg(feature = "arrow")]
    Arrow,
}

/// A text that is no [`Format`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format {0:?}; known are {known}", known = Format::ALL.map(Format::as_str).join(", "))]
pub struct FormatError(String);

/// Why rows could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("can't write the rows as {format}: {cause}")]
pub struct EncodeError {
    format: Format,
    cause: String,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; if cfg!(feature = "arrow") { 4 } else { 3 }] = [
        Self::Json,
        Self::Ndjson,
        Self::Csv,
        #[cfg(feature = "arrow")]
        Self::Arrow,
    ];

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            #[cfg(feature = "arrow")]
            Self::Arrow => "arrow",
        }
    }

    /// The usual file extension, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json | Self::Ndjson | Self::Csv => self.as_str(),
            // `arrow` is the file format, which has a footer.
            #[cfg(feature = "arrow")]
            Self::Arrow => "arrows",
        }
    }

    /// The media type, for `Content-Type` and `Accept`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            #[cfg(feature = "arrow")]
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// Is it made of lines that a person can read?
    pub fn is_text(self) -> bool {
        match self {
            Self::Json | Self::Ndjson | Self::Csv => true,
            #[cfg(feature = "arrow")]
            Self::Arrow => false,
        }
    }

    /// An encoder for one output whose batches all have these columns.
    pub fn encoder(self, projection: &Arc<Projection>) -> Result<Box<dyn Encoder>, EncodeError> {
        Ok(match self {
            Self::Json => Box::new(JsonEncoder::new(Arc::clone(projection))),
            Self::Ndjson => Box::new(NdjsonEncoder::new(projection)),
            Self::Csv => Box::new(CsvEncoder::new(Arc::clone(projection))),
            #[cfg(feature = "arrow")]
            Self::Arrow => Box::new(ArrowEncoder::new(Arc::clone(projection))?),
        })
    }

    /// A whole output of one batch; `elapsed` is how long the read took.
    pub fn encode(self, batch: &FeatureBatch, elapsed: Duration) -> Result<Vec<u8>, EncodeError> {
        self.encode_counting(batch, elapsed).map(|(out, _)| out)
    }

    /// The same, and what [`Encoder::unparsable`] says of it.
    pub fn encode_counting(
        self,
        batch: &FeatureBatch,
        elapsed: Duration,
    ) -> Result<(Vec<u8>, Unparsable), EncodeError> {
        let mut out = Vec::with_capacity(256 + batch.len() * self.row_bytes_guess(batch));
        let mut encoder = self.encoder(batch.projection())?;
        encoder.begin(&mut out);
        encoder.batch(&mut out, batch)?;
        encoder.end(&mut out, elapsed)?;
        Ok((out, encoder.unparsable()))
    }
}

impl Format {
    /// Room for a row of short values; longer ones let the buffer grow.
    fn row_bytes_guess(self, batch: &FeatureBatch) -> usize {
        let values = 48 + 12 * batch.features().len();
        match self {
            Self::Json | Self::Csv => values,
            Self::Ndjson => {
                let keys = batch.features().iter().map(|name| name.len() + ndjson::KEY_BYTES);
                values + keys.sum::<usize>()
            }
            #[cfg(feature = "arrow")]
            Self::Arrow => values,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let known = Self::ALL.into_iter().find(|format| format.as_str().eq_ignore_ascii_case(text));
        known.ok_or_else(|| FormatError(text.to_owned()))
    }
}

/// Writes batches as one output: [`begin`](Encoder::begin) once, [`batch`](Encoder::batch) as often as there
/// are batches, [`end`](Encoder::end) once. Each appends to `out`, which the caller may empty in between. After an
/// error the output can't be used.
pub trait Encoder: Send {
    /// What comes before the first row.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// The rows of a batch, which has the columns that the encoder was made for.
    fn batch(&mut self, out: &mut Vec<u8>, batch: &FeatureBatch) -> Result<(), EncodeError>;

    /// What comes after the last row; `elapsed` is how long the whole read took.
    fn end(&mut self, out: &mut Vec<u8>, elapsed: Duration) -> Result<(), EncodeError>;

    /// The values so far that turned out not to be of their type. None where the format writes values as they are.
    fn unparsable(&self) -> Unparsable {
        Unparsable::default()
    }
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use super::testing::{self, sample};
    use super::*;

    #[test]
    fn a_format_reads_back_from_its_name() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(format.as_str().to_ascii_uppercase().parse(), Ok(format));
        }
        insta::assert_snapshot!("xml".parse::<Format>().unwrap_err(), @r#"unknown format "xml"; known are json, ndjson, csv, arrow"#);
        let types = Format::ALL.map(Format::content_type).join(" ");
        insta::assert_snapshot!(types, @"application/json application/x-ndjson text/csv application/vnd.apache.arrow.stream");
    }

    #[test]
    fn every_format_that_reads_values_counts_those_that_are_not_of_their_type() {
        let batch = testing::typed_sample();
        let mut counts = [0; 6];
        batch.count_unparsable(&mut counts);
        assert_eq!(counts, [1, 1, 1, 1, 1, 0]);
        for format in Format::ALL {
            let (out, unparsable) = format.encode_counting(&batch, Duration::ZERO).unwrap();
            assert_eq!(out, format.encode(&batch, Duration::ZERO).unwrap());
            let expected = if format == Format::Csv { &[][..] } else { &counts[..5] };
            assert_eq!(unparsable.counts(), expected, "{format}");
        }
    }

    #[test]
    fn streaming_rows_of_many_batches_gives_the_same_rows_as_one() {
        let batch = sample();
        for format in Format::ALL.into_iter().filter(|format| !matches!(format, Format::Json | Format::Arrow))
        {
            let mut encoder = format.encoder(batch.projection()).unwrap();
            let mut twice = Vec::new();
            encoder.begin(&mut twice);
            let header_bytes = twice.len();
            encoder.batch(&mut twice, &batch).unwrap();
            encoder.batch(&mut twice, &batch).unwrap();
            encoder.end(&mut twice, Duration::ZERO).unwrap();
            let once = format.encode(&batch, Duration::ZERO).unwrap();
            assert_eq!(twice, [&once[..], &once[header_bytes..]].concat(), "{format}");
        }
    }
}

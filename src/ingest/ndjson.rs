//! Rows from NDJSON: one JSON object a line, blank lines skipped. The decoder takes chunks, for a request body;
//! the source wraps it around a reader, for files.

use std::io::{self, BufRead};
use std::sync::Arc;

use super::json_row::{RowError, parse_row};
use super::split::{Cut, Piece, Splitter, without_bom};
use super::{Rejected, RowSource, SourceError, SourceItem};
use crate::model::limits::INPUT_LINE_BYTES_MAX;

/// Turns chunks of NDJSON into rows. Holds at most one line.
///
/// ```
/// # use slotwise::ingest::{NdjsonDecoder, SourceItem};
/// let mut decoder = NdjsonDecoder::new("body");
/// let mut rows = 0;
/// for mut chunk in [&b"{\"id\":\"u1\",\"fea"[..], b"tures\":{\"f\":1}}\n", b"{\"id\":\"u2\",\"features\":{\"f\":2}}"] {
///     while let Some(item) = decoder.next_item(&mut chunk) {
///         rows += usize::from(matches!(item, SourceItem::Row { .. }));
///     }
/// }
/// rows += usize::from(matches!(decoder.finish(), Some(SourceItem::Row { .. })));
/// assert_eq!(rows, 2);
/// ```
#[derive(Debug)]
pub struct NdjsonDecoder {
    source: Arc<str>,
    splitter: Splitter,
}

impl NdjsonDecoder {
    /// A decoder at line 1 of `source`.
    pub fn new(source: impl Into<Arc<str>>) -> Self {
        Self { source: source.into(), splitter: Splitter::new(Cut::Lines, INPUT_LINE_BYTES_MAX) }
    }

    /// Takes bytes off the front of `chunk` up to the end of a row; `None` where the chunk ends before that.
    pub fn next_item(&mut self, chunk: &mut &[u8]) -> Option<SourceItem> {
        while self.splitter.take(chunk) {
            if let Some(item) = self.item() {
                return Some(item);
            }
        }
        None
    }

    /// Says that the input is over; gives the last row where its line has no line break.
    pub fn finish(&mut self) -> Option<SourceItem> {
        if self.splitter.finish() { self.item() } else { None }
    }

    /// The line that is being read, counted from 1.
    pub fn line(&self) -> u64 {
        self.splitter.line()
    }

    fn item(&self) -> Option<SourceItem> {
        let line = self.splitter.line();
        let (error, raw) = match self.splitter.piece() {
            Piece::TooLong { bytes } => (RowError::LineTooLong { bytes }, None),
            Piece::Whole(raw) | Piece::BadQuotes { raw, .. } => {
                let raw = without_bom(line, raw);
                if raw.trim_ascii().is_empty() {
                    return None;
                }
                match parse_row(raw) {
                    Ok(row) => return Some(SourceItem::Row { line, row }),
                    Err(error) => (error, Some(String::from_utf8_lossy(raw).into_owned())),
                }
            }
        };
        let source = Arc::clone(&self.source);
        Some(SourceItem::Rejected(Rejected { source, line, error: error.to_string(), raw }))
    }
}

/// Rows of an NDJSON file or stream.
#[derive(Debug)]
pub struct NdjsonSource<R> {
    reader: R,
    decoder: NdjsonDecoder,
    bytes_read: u64,
    done: bool,
}

impl<R: BufRead> NdjsonSource<R> {
    /// The rows that `reader` gives; `name` stands in rejections.
    pub fn new(name: impl Into<Arc<str>>, reader: R) -> Self {
        Self { reader, decoder: NdjsonDecoder::new(name), bytes_read: 0, done: false }
    }
}

impl<R: BufRead> Iterator for NdjsonSource<R> {
    type Item = Result<SourceItem, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let mut chunk = match self.reader.fill_buf() {
                Ok([]) => {
                    self.done = true;
                    return self.decoder.finish().map(Ok);
                }
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.done = true;
                    let source_name = Arc::clone(&self.decoder.source);
                    return Some(Err(SourceError::Read { source_name, line: self.decoder.line(), error }));
                }
            };
            let available = chunk.len();
            let item = self.decoder.next_item(&mut chunk);
            let used = available - chunk.len();
            self.reader.consume(used);
            self.bytes_read += used as u64;
            if let Some(item) = item {
                return Some(Ok(item));
            }
        }
        None
    }
}

impl<R: BufRead + Send> RowSource for NdjsonSource<R> {
    fn name(&self) -> &Arc<str> {
        &self.decoder.source
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(items: impl Iterator<Item = Result<SourceItem, SourceError>>) -> String {
        let line = |item| match item {
            Ok(SourceItem::Row { line, row }) => format!("{line} {row:?}"),
            Ok(SourceItem::Rejected(rejected)) => format!("{rejected} | {:?}", rejected.raw),
            Err(error) => format!("error: {error}"),
        };
        items.map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_bad_line_is_rejected_with_its_number_and_the_next_is_read() {
        let input = b"\xEF\xBB\xBF{\"id\":\"u1\",\"features\":{\"f\":1}}\r\n\n  \t\n{\"id\":\"u2\"\n\xff\n{\"id\":\"u3\",\"features\":{\"f\":true}}";
        let source = NdjsonSource::new("in.ndjson", &input[..]);
        insta::assert_snapshot!(summary(source), @r#"
        1 FeatureRow { id: "u1", features: [("f", b"1")] }
        in.ndjson:4: not valid JSON: EOF while parsing an object at column 10 | Some("{\"id\":\"u2\"")
        in.ndjson:5: not UTF-8, from byte 0 on | Some("�")
        6 FeatureRow { id: "u3", features: [("f", b"true")] }
        "#);
    }

    #[test]
    fn an_over_long_line_is_rejected_and_the_next_is_read() {
        let mut input = vec![b'x'; INPUT_LINE_BYTES_MAX + 1];
        input.extend_from_slice(b"\r\n{\"id\":\"u2\",\"features\":{\"f\":2}}\n");
        let source = NdjsonSource::new("-", io::BufReader::new(input.as_slice()));
        insta::assert_snapshot!(summary(source), @r#"
        -:1: the line has 4194305 bytes, the limit is 4194304 | None
        2 FeatureRow { id: "u2", features: [("f", b"2")] }
        "#);
    }

    struct Breaks(usize);

    impl io::Read for Breaks {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => io::Read::read(&mut &b"{\"id\":\"u1\",\"features\":{\"f\":1}}\n{\"id\""[..], buf),
                2 => Err(io::ErrorKind::Interrupted.into()),
                _ => Err(io::Error::other("the disk is gone")),
            }
        }
    }

    #[test]
    fn a_read_error_ends_the_source_naming_the_line() {
        let source = NdjsonSource::new("in.ndjson", io::BufReader::new(Breaks(0)));
        insta::assert_snapshot!(summary(source), @r#"
        1 FeatureRow { id: "u1", features: [("f", b"1")] }
        error: in.ndjson:2: cannot read on: the disk is gone
        "#);
    }

    proptest::proptest! {
        #[test]
        fn chunking_changes_nothing(ids in proptest::collection::vec("[a-z\u{1f980}]{1,4}", 0..6), chunk_bytes in 1_usize..40) {
            let input: String = ids.iter().map(|id| format!("{{\"id\":\"{id}\",\"features\":{{\"f\":1}}}}\n\n")).collect();
            let source = NdjsonSource::new("-", io::BufReader::with_capacity(chunk_bytes, input.as_bytes()));
            let rows: Vec<(u64, String)> = source.map(|item| match item.unwrap() {
                SourceItem::Row { line, row } => (line, row.id.to_string()),
                SourceItem::Rejected(rejected) => panic!("{rejected}"),
            }).collect();
            let expected: Vec<(u64, String)> = (0..).map(|i| 2 * i + 1).zip(ids).collect();
            proptest::prop_assert_eq!(rows, expected);
        }
    }
}

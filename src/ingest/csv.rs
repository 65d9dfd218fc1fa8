//! Rows from CSV: a header with a column `id`, every other column a feature, an empty cell a feature left out.
//!
//! The `csv` crate reads a record whole, however long, so that one quote too many would pull the rest of the
//! file into memory. Records are therefore cut off by [`PieceReader`], which has a limit, and handed to the
//! crate one at a time.

use std::collections::HashSet;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use super::json_row::check_value_size;
use super::split::{Cut, Piece, PieceReader, skip_bom};
use super::{Rejected, RowSource, SourceError, SourceItem};
use crate::model::limits::{FEATURES_PER_WRITE_MAX, INPUT_LINE_BYTES_MAX};
use crate::model::{EntityId, FeatureName, FeatureRow};

/// The name of the column that holds the ids.
const ID_COLUMN: &str = "id";

/// Rows of a CSV file or stream: RFC 4180 with LF or CR LF; a byte order mark and blank lines are skipped.
/// A quoted empty cell is an empty cell too: a value that is empty can only come as NDJSON.
pub struct CsvSource<R> {
    name: Arc<str>,
    records: PieceReader<io::Chain<io::Cursor<Vec<u8>>, R>>,
    cells: CellReader,
    columns: Vec<Column>,
    done: bool,
}

enum Column {
    Id,
    Feature(FeatureName),
}

impl<R: BufRead> CsvSource<R> {
    /// Reads the header from `reader`; `name` stands in errors and rejections.
    pub fn new(name: impl Into<Arc<str>>, reader: R) -> Result<Self, SourceError> {
        let name = name.into();
        let read_error = |error| SourceError::Read { source_name: Arc::clone(&name), line: 1, error };
        let reader = skip_bom(reader).map_err(read_error)?;
        let mut records = PieceReader::new(reader, Cut::CsvRecords, INPUT_LINE_BYTES_MAX);
        let mut cells = CellReader::new();
        let blank = |piece: &Piece<'_>| matches!(piece, Piece::Whole([]));
        let mut present = records.advance().map_err(read_error)?;
        while present && blank(&records.piece()) {
            present = records.advance().map_err(read_error)?;
        }
        let header = if present { header(&records.piece(), &mut cells) } else { Err("no header row".into()) };
        match header {
            Ok(columns) => Ok(Self { name, records, cells, columns, done: false }),
            Err(problem) => Err(SourceError::Header { source_name: name, line: records.line(), problem }),
        }
    }

    /// The names of the feature columns, in the order of the file.
    pub fn features(&self) -> impl Iterator<Item = &FeatureName> {
        self.columns.iter().filter_map(|column| match column {
            Column::Id => None,
            Column::Feature(name) => Some(name),
        })
    }

    fn item(&mut self) -> Option<SourceItem> {
        let line = self.records.line();
        let (raw, row) = match self.records.piece() {
            Piece::Whole([]) => return None,
            Piece::Whole(raw) => (Some(raw), row(raw, &mut self.cells, &self.columns)),
            piece => (raw_of(&piece), Err(problem_of(&piece))),
        };
        Some(match row {
            Ok(row) => SourceItem::Row { line, row },
            Err(error) => {
                let raw = raw.map(|raw| String::from_utf8_lossy(raw).into_owned());
                SourceItem::Rejected(Rejected { source: Arc::clone(&self.name), line, error, raw })
            }
        })
    }
}

impl<R: BufRead> Iterator for CsvSource<R> {
    type Item = Result<SourceItem, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.records.advance() {
                Ok(true) => {
                    if let Some(item) = self.item() {
                        return Some(Ok(item));
                    }
                }
                Ok(false) => self.done = true,
                Err(error) => {
                    self.done = true;
                    let source_name = Arc::clone(&self.name);
                    return Some(Err(SourceError::Read { source_name, line: self.records.line(), error }));
                }
            }
        }
        None
    }
}

impl<R: BufRead + Send> RowSource for CsvSource<R> {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn bytes_read(&self) -> u64 {
        self.records.bytes_read()
    }
}

fn raw_of<'a>(piece: &Piece<'a>) -> Option<&'a [u8]> {
    match piece {
        Piece::Whole(raw) | Piece::BadQuotes { raw, .. } => Some(raw),
        Piece::TooLong { .. } => None,
    }
}

fn problem_of(piece: &Piece<'_>) -> String {
    match piece {
        Piece::Whole(_) => String::new(),
        Piece::BadQuotes { problem, .. } => (*problem).to_owned(),
        Piece::TooLong { bytes } => format!(
            "the record has {bytes} bytes, the limit is {INPUT_LINE_BYTES_MAX}; is a quote not closed?"
        ),
    }
}

/// The columns, or what is wrong with them.
fn header(piece: &Piece<'_>, cells: &mut CellReader) -> Result<Vec<Column>, String> {
    let Piece::Whole(raw) = piece else {
        return Err(format!("header: {}", problem_of(piece)));
    };
    let mut columns = Vec::new();
    for (index, cell) in cells.read(raw)?.iter().enumerate() {
        let wrong = |problem: String| format!("header, column {}: {problem}", index + 1);
        let text = std::str::from_utf8(cell).map_err(|_| wrong("the name is not UTF-8".into()))?;
        columns.push(match text {
            ID_COLUMN => Column::Id,
            _ => Column::Feature(FeatureName::new(text).map_err(|error| wrong(error.to_string()))?),
        });
    }
    let mut seen = HashSet::new();
    for (index, column) in columns.iter().enumerate() {
        let name = match column {
            Column::Id => ID_COLUMN,
            Column::Feature(name) => name,
        };
        if !seen.insert(name) {
            return Err(format!("header, column {}: {name:?} is there twice", index + 1));
        }
    }
    if !seen.contains(ID_COLUMN) {
        return Err(format!("header: no column {ID_COLUMN:?}"));
    }
    if columns.len() == 1 {
        return Err(format!("header: no column besides {ID_COLUMN:?}"));
    }
    Ok(columns)
}

fn row(raw: &[u8], cells: &mut CellReader, columns: &[Column]) -> Result<FeatureRow, String> {
    let record = cells.read(raw)?;
    if record.len() != columns.len() {
        return Err(format!("{} columns, the header has {}", record.len(), columns.len()));
    }
    let mut id = None;
    let mut features = Vec::with_capacity(columns.len() - 1);
    for (index, (cell, column)) in record.iter().zip(columns).enumerate() {
        let text = std::str::from_utf8(cell).map_err(|_| match column {
            Column::Id => format!("column {} {ID_COLUMN:?}: not UTF-8", index + 1),
            Column::Feature(name) => format!("column {} {name:?}: not UTF-8", index + 1),
        })?;
        match column {
            Column::Id => id = Some(EntityId::new(text).map_err(|error| format!("field \"id\": {error}"))?),
            Column::Feature(_) if text.is_empty() => {}
            Column::Feature(name) => {
                check_value_size(text.len()).map_err(|problem| format!("feature {name:?}: {problem}"))?;
                features.push((name.clone(), text.into()));
            }
        }
    }
    if features.is_empty() {
        return Err("no features: every cell besides \"id\" is empty".into());
    }
    if features.len() > FEATURES_PER_WRITE_MAX {
        return Err(format!("{} features, the limit is {FEATURES_PER_WRITE_MAX}", features.len()));
    }
    // The header has the column, so the id is there.
    let id = id.ok_or("no id")?;
    Ok(FeatureRow { id, features })
}

/// Takes one record apart with the `csv` crate.
struct CellReader {
    reader: csv::Reader<OneRecord>,
    record: csv::ByteRecord,
}

impl CellReader {
    fn new() -> Self {
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            // Line breaks are gone from the record; a lone CR is text.
            .terminator(csv::Terminator::Any(b'\n'))
            .from_reader(OneRecord::default());
        Self { reader, record: csv::ByteRecord::new() }
    }

    fn read(&mut self, raw: &[u8]) -> Result<&csv::ByteRecord, String> {
        self.reader.get_mut().fill(raw);
        // Ends at the line feed, so the reader never sees an end of input, which it would remember.
        self.reader.read_byte_record(&mut self.record).map_err(|error| error.to_string())?;
        Ok(&self.record)
    }
}

/// The bytes of one record and its line feed.
#[derive(Default)]
struct OneRecord {
    bytes: Vec<u8>,
    used: usize,
}

impl OneRecord {
    fn fill(&mut self, raw: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(raw);
        self.bytes.push(b'\n');
        self.used = 0;
    }
}

impl Read for OneRecord {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = Read::read(&mut &self.bytes[self.used..], buf)?;
        self.used += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;

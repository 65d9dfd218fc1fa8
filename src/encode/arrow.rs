//! An Arrow IPC stream: `id`, a column per feature in the order asked, `__status`, `__error`.
//!
//! A feature's column has the type that the schema gives it; without one it is text. Absent is null. A value that is
//! not of its column's type is null too, and `__error` of its row names the feature; a row that is unavailable says
//! there why. A feature may be called as one of the other columns: theirs are the first place and the last two.

mod column;
mod parse;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

use super::{EncodeError, Encoder, Format, Unparsable};
use crate::model::{Column, FeatureBatch, FeatureType, Projection, RowView};
use column::{Cells, Full, Problem, TEXT_BYTES_MAX, feature, text};

/// Writes a schema, a record batch per batch with rows, and the end of the stream.
pub struct ArrowEncoder {
    projection: Arc<Projection>,
    schema: SchemaRef,
    writer: StreamWriter<Vec<u8>>,
    /// Most bytes of a text column in one record batch.
    text_bytes_max: usize,
    unparsable: Unparsable,
}

impl ArrowEncoder {
    /// For batches of these columns.
    pub fn new(projection: Arc<Projection>) -> Result<Self, EncodeError> {
        Self::with_text_bytes_max(projection, TEXT_BYTES_MAX)
    }

    fn with_text_bytes_max(projection: Arc<Projection>, text_bytes_max: usize) -> Result<Self, EncodeError> {
        let schema = Arc::new(schema(&projection));
        let writer = StreamWriter::try_new(Vec::new(), &schema).map_err(failed)?;
        Ok(Self { projection, schema, writer, text_bytes_max, unparsable: Unparsable::default() })
    }

    /// Appends to `out` what `write` writes, without copying it once more.
    fn append(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut StreamWriter<Vec<u8>>) -> Result<(), ArrowError>,
    ) -> Result<(), EncodeError> {
        std::mem::swap(out, self.writer.get_mut());
        let written = write(&mut self.writer);
        std::mem::swap(out, self.writer.get_mut());
        written.map_err(failed)
    }

    /// The arrays of some rows, and the values that are not of their type.
    fn columns(&self, rows: &[RowView<'_>]) -> Result<(Vec<ArrayRef>, Vec<Problem>), Full> {
        let max = self.text_bytes_max;
        let mut problems = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.projection.len() + 3);
        columns.push(Arc::new(text(rows.iter().map(|row| Some(row.id.as_bytes())), max, |_| {})?));
        for (index, wanted) in self.projection.columns().iter().enumerate() {
            let cells = Cells::new(rows, index, wanted);
            let data_type = self.schema.field(index + 1).data_type();
            columns
                .push(feature(cells, data_type, max, |row| problems.push(Problem { row, column: index }))?);
        }
        columns.push(Arc::new(text(
            rows.iter().map(|row| Some(row.status.as_str().as_bytes())),
            max,
            |_| {},
        )?));
        columns.push(Arc::new(self.errors(rows, &mut problems)?));
        Ok((columns, problems))
    }

    /// What is wrong with each row, where something is.
    fn errors(&self, rows: &[RowView<'_>], problems: &mut [Problem]) -> Result<StringArray, Full> {
        if problems.is_empty() && rows.iter().all(|row| row.reason.is_none()) {
            return Ok(StringArray::new_null(rows.len()));
        }
        let mut errors: Vec<Option<String>> =
            rows.iter().map(|row| row.reason.map(ToString::to_string)).collect();
        problems.sort_by_key(|problem| problem.row);
        for problem in problems {
            let error = errors[problem.row].get_or_insert_default();
            if !error.is_empty() {
                error.push_str("; ");
            }
            let column = &self.projection.columns()[problem.column];
            error.push_str(&column.name);
            error.push_str(": ");
            error.push_str(what_it_is_not(column.feature_type));
        }
        text(errors.iter().map(|error| error.as_deref().map(str::as_bytes)), self.text_bytes_max, |_| {})
    }
}

impl Encoder for ArrowEncoder {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.append(self.writer.get_mut());
    }

    fn batch(&mut self, out: &mut Vec<u8>, batch: &FeatureBatch) -> Result<(), EncodeError> {
        debug_assert_eq!(batch.projection(), &self.projection);
        let rows: Vec<RowView<'_>> = batch.rows().collect();
        let mut next = 0;
        let mut end = rows.len();
        while next < rows.len() {
            match self.columns(&rows[next..end]) {
                Ok((columns, problems)) => {
                    problems.iter().for_each(|problem| self.unparsable.note(problem.column));
                    let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(failed)?;
                    self.append(out, |writer| writer.write(&batch))?;
                    (next, end) = (end, rows.len());
                }
                Err(Full { rows_that_fit: 0 }) => return Err(failed("a value is longer than 2 GiB")),
                Err(Full { rows_that_fit }) => end = next + rows_that_fit,
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>, _elapsed: Duration) -> Result<(), EncodeError> {
        self.append(out, StreamWriter::finish)
    }

    fn unparsable(&self) -> Unparsable {
        self.unparsable.clone()
    }
}

fn failed(cause: impl fmt::Display) -> EncodeError {
    EncodeError { format: Format::Arrow, cause: cause.to_string() }
}

fn schema(projection: &Projection) -> Schema {
    let feature = |column: &Column| Field::new(column.name.as_str(), data_type(column.feature_type), true);
    let mut fields = vec![Field::new("id", DataType::Utf8, false)];
    fields.extend(projection.columns().iter().map(feature));
    fields.push(Field::new("__status", DataType::Utf8, false));
    fields.push(Field::new("__error", DataType::Utf8, true));
    Schema::new(fields)
}

fn data_type(feature_type: Option<FeatureType>) -> DataType {
    match feature_type {
        None | Some(FeatureType::String) => DataType::Utf8,
        Some(FeatureType::Int64) => DataType::Int64,
        Some(FeatureType::Float64) => DataType::Float64,
        Some(FeatureType::Bool) => DataType::Boolean,
        Some(FeatureType::TimestampMs) => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
    }
}

fn what_it_is_not(feature_type: Option<FeatureType>) -> &'static str {
    match feature_type {
        None | Some(FeatureType::String) => "not UTF-8",
        Some(FeatureType::Int64) => "not an int64",
        Some(FeatureType::Float64) => "not a float64",
        Some(FeatureType::Bool) => "not a bool",
        Some(FeatureType::TimestampMs) => "not a timestamp_ms",
    }
}

#[cfg(test)]
mod tests;

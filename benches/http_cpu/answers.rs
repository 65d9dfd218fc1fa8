//! Reads an answer back in its format and holds every cell against what was loaded.

use serde_json::Value;
use slotwise::encode::Format;

use crate::TYPES;
use crate::common::{FEATURES, FEATURES_READ, Request, value};

/// A row as it was read: the id, and the values as text.
type Row = (String, Vec<String>);

/// Panics where a row, an id or a value is another one than was loaded, or is not of its type.
pub(crate) fn check(format: Format, typed: bool, answer: &[u8], request: &Request) {
    let rows = match format {
        Format::Json => json(answer, typed),
        Format::Ndjson => ndjson(answer, typed),
        Format::Csv => csv(answer),
        #[cfg(feature = "arrow")]
        Format::Arrow => arrow::rows(answer, typed),
    };
    assert_eq!(rows.len(), request.ids.len(), "{format}");
    for ((number, id), (read, values)) in request.numbers.iter().zip(&*request.ids).zip(&rows) {
        assert_eq!(read, id.as_str(), "{format}");
        assert_eq!(values.len(), FEATURES_READ, "{format}");
        for (feature, read) in values.iter().enumerate() {
            let loaded = value(*number, feature);
            // As a number, 1.50 is 1.5.
            let same =
                *read == loaded || (typed && number_of(read).is_some_and(|n| number_of(&loaded) == Some(n)));
            assert!(same, "{format}: {} of {id} is {read}, not {loaded}", FEATURES[feature]);
        }
    }
}

fn number_of(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn json(answer: &[u8], typed: bool) -> Vec<Row> {
    let answer: Value = serde_json::from_slice(answer).expect("a document");
    let rows = answer["rows"].as_array().expect("rows");
    rows.iter()
        .map(|row| (text(&row["id"]), cells(row["values"].as_array().expect("values"), typed)))
        .collect()
}

fn ndjson(answer: &[u8], typed: bool) -> Vec<Row> {
    let lines = answer.split_inclusive(|byte| *byte == b'\n');
    let row = |line: &[u8]| {
        let row: Value = serde_json::from_slice(line).expect("a line");
        let values = FEATURES[..FEATURES_READ].iter().map(|name| row["features"][name].clone());
        (text(&row["id"]), cells(&values.collect::<Vec<_>>(), typed))
    };
    lines.map(row).collect()
}

fn cells(values: &[Value], typed: bool) -> Vec<String> {
    let cell = |(value, of): (&Value, &str)| {
        assert_eq!(value.is_string(), !typed || of == "string", "{value}");
        text(value)
    };
    values.iter().zip(TYPES).map(cell).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn csv(answer: &[u8]) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(answer);
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.expect("a record");
        let mut cells = record.iter().map(str::to_owned);
        (cells.next().expect("an id"), cells.skip(1).collect())
    };
    reader.records().map(row).collect()
}

#[cfg(feature = "arrow")]
mod arrow {
    use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
    use arrow_array::{Array, cast::AsArray};
    use arrow_ipc::reader::StreamReader;

    use super::{FEATURES_READ, Row, TYPES};

    pub(super) fn rows(answer: &[u8], typed: bool) -> Vec<Row> {
        let mut rows = Vec::new();
        for batch in StreamReader::try_new(answer, None).expect("a stream") {
            let batch = batch.expect("a record batch");
            for row in 0..batch.num_rows() {
                let cell = |feature: usize| {
                    let of = if typed { TYPES[feature] } else { "string" };
                    cell(batch.column(feature + 1), of, row)
                };
                rows.push((cell_of_text(batch.column(0), row), (0..FEATURES_READ).map(cell).collect()));
            }
        }
        rows
    }

    fn cell(column: &dyn Array, of: &str, row: usize) -> String {
        assert!(column.is_valid(row), "a value that is null");
        match of {
            "int64" => column.as_primitive::<Int64Type>().value(row).to_string(),
            "timestamp_ms" => column.as_primitive::<TimestampMillisecondType>().value(row).to_string(),
            "float64" => column.as_primitive::<Float64Type>().value(row).to_string(),
            _ => cell_of_text(column, row),
        }
    }

    fn cell_of_text(column: &dyn Array, row: usize) -> String {
        column.as_string::<i32>().value(row).to_owned()
    }
}

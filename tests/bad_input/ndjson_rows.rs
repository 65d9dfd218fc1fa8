//! Rows as NDJSON: every line that is not blank comes out once, as a row or as a rejection with its line.

use std::io::BufReader;

use proptest::prelude::*;
use serde_json::Value;
use slotwise::ingest::{NdjsonSource, SourceItem};
use slotwise::model::FeatureRow;

use crate::cases::try_many;
use crate::mutate::{Bytes, JSON_MARKS, JSON_PIECES, Material, inputs};

const ROWS: Material = Material {
    valid: &[
        b"{\"id\":\"u1\",\"features\":{\"a\":1,\"b\":\"x\"}}\n{\"id\":\"u2\",\"features\":{\"c\":true}}",
        b"{\"features\":{\"a\":1.5e3,\"\\u0062\":-7},\"id\":\"u\\n1\"}\r\n\n  \t\n{\"id\":\"u2\",\"features\":{\"f\":\"\"}}\n",
        b"\xef\xbb\xbf{\"id\":\"\xc3\xa9\",\"features\":{\"\xf0\x9f\xa6\x80\":false}}\n",
        b"{ \"id\" : \"u1\" , \"features\" : { \"a\" : 18446744073709551615 } }",
    ],
    pieces: JSON_PIECES,
    marks: JSON_MARKS,
};

/// A row that stands before and behind everything else.
const GOOD: &[u8] = b"{\"id\":\"good\",\"features\":{\"a\":1}}";

/// The lines that are not blank, from 1.
fn lines(text: &[u8]) -> Vec<(u64, &[u8])> {
    let lines = (1..).zip(text.split(|byte| *byte == b'\n'));
    let bare = lines.map(|(number, line)| match number {
        1 => (number, line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)),
        _ => (number, line),
    });
    bare.filter(|(_, line)| !line.trim_ascii().is_empty()).collect()
}

/// Does `line`, read by somebody else's reader, hold this row?
fn holds(line: &[u8], row: &FeatureRow) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_slice(line) else { return false };
    let Some(Value::Object(features)) = fields.get("features") else { return false };
    let same = |(name, value): &(slotwise::model::FeatureName, slotwise::model::FeatureValue)| match features
        .get(name.as_str())
    {
        Some(Value::String(text)) => value.as_bytes() == text.as_bytes(),
        Some(Value::Bool(truth)) => value.as_bytes() == truth.to_string().as_bytes(),
        Some(Value::Number(_)) => {
            std::str::from_utf8(value.as_bytes()).is_ok_and(|text| text.parse::<f64>().is_ok())
        }
        _ => false,
    };
    fields.len() == 2
        && fields.get("id").and_then(Value::as_str) == Some(row.id.as_str())
        && features.len() == row.features.len()
        && row.features.iter().all(same)
}

#[test]
fn every_line_is_a_row_or_a_rejection_that_names_it() {
    let cases = (inputs(ROWS), any::<bool>(), 1..40_usize);
    try_many("NDJSON rows", cases, |(Bytes(mut text), between, chunk_bytes)| {
        if between {
            text = [GOOD, b"\n", &text, b"\r\n", GOOD].concat();
        }
        let expected = lines(&text);
        let source = NdjsonSource::new("in", BufReader::with_capacity(chunk_bytes * chunk_bytes, &text[..]));
        let mut seen = Vec::new();
        for item in source {
            match item.unwrap() {
                SourceItem::Row { line, row } => {
                    let raw = expected.iter().find(|(number, _)| *number == line);
                    prop_assert!(
                        raw.is_some_and(|(_, raw)| holds(raw, &row)),
                        "line {} is not {:?}",
                        line,
                        row
                    );
                    seen.push((line, true));
                }
                SourceItem::Rejected(rejected) => {
                    let told = rejected.to_string();
                    let start = format!("in:{}: ", rejected.line);
                    prop_assert!(told.len() > start.len() && told.starts_with(&start), "{}", told);
                    let raw = rejected.raw.unwrap_or_default();
                    let line = expected.iter().find(|(number, _)| *number == rejected.line);
                    let kept = |line: &[u8]| {
                        raw == String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line))
                            || raw == String::from_utf8_lossy(line)
                    };
                    prop_assert!(line.is_some_and(|(_, line)| kept(line)), "the line is not kept: {:?}", raw);
                    seen.push((rejected.line, false));
                }
            }
        }
        let numbers: Vec<u64> = expected.iter().map(|(number, _)| *number).collect();
        prop_assert_eq!(
            seen.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            numbers,
            "rows in are rows out"
        );
        if between {
            prop_assert!(seen[0].1 && seen[seen.len() - 1].1, "good rows are kept");
        }
        Ok(())
    });
}

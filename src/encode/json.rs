//! The answer of the HTTP API: `{"features":[…],"rows":[{"id","status","values":[…]}],"summary":{…}}`; the summary has
//! `"stale_possible"` where replicas answered rows, and `"unparsable"` where values are not of their type.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::text::push_str;
use super::value::push_cell;
use super::{EncodeError, Encoder, Unparsable};
use crate::model::{BatchSummary, FeatureBatch, Projection, RowView};

/// Writes one JSON document. The summary adds up all its batches.
#[derive(Debug)]
pub struct JsonEncoder {
    projection: Arc<Projection>,
    summary: BatchSummary,
    unparsable: Unparsable,
    first: bool,
}

impl JsonEncoder {
    /// For batches of these columns.
    pub fn new(projection: Arc<Projection>) -> Self {
        Self { projection, summary: BatchSummary::default(), unparsable: Unparsable::default(), first: true }
    }
}

impl Encoder for JsonEncoder {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"features\":[");
        for (index, name) in self.projection.names().iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_str(out, name);
        }
        out.extend_from_slice(b"],\"rows\":[");
    }

    fn batch(&mut self, out: &mut Vec<u8>, batch: &FeatureBatch) -> Result<(), EncodeError> {
        debug_assert_eq!(batch.projection(), &self.projection);
        for row in batch.rows() {
            if !self.first {
                out.push(b',');
            }
            self.first = false;
            encode_row(out, &row, &mut self.unparsable);
        }
        self.summary.add(batch.summary());
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>, elapsed: Duration) -> Result<(), EncodeError> {
        let BatchSummary { found, partial, missing, unavailable, shards, stale_possible } = self.summary;
        // Whole microseconds, so three decimals at most; a Vec takes any write.
        #[expect(clippy::cast_precision_loss, reason = "exact below 285 years")]
        let elapsed_ms = elapsed.as_micros() as f64 / 1000.0;
        let _ = write!(
            out,
            "],\"summary\":{{\"found\":{found},\"partial\":{partial},\"missing\":{missing},\
             \"unavailable\":{unavailable},\"shards\":{shards},\"elapsed_ms\":{elapsed_ms}"
        );
        if stale_possible > 0 {
            let _ = write!(out, ",\"stale_possible\":{stale_possible}");
        }
        let unparsable = self.unparsable.total();
        if unparsable > 0 {
            let _ = write!(out, ",\"unparsable\":{unparsable}");
        }
        out.extend_from_slice(b"}}");
        Ok(())
    }

    fn unparsable(&self) -> Unparsable {
        self.unparsable.clone()
    }
}

/// Appends one row, `{"id":…,"status":…,"values":[…]}`, and counts those of its values that are not of their type. Values
/// are numbers, booleans and strings as their columns say, `{"unparsable":…}` where they are not of that type, `null`
/// where absent; without a type strings, `{"base64":…}` where they are not UTF-8. `"error"` says why a row is
/// unavailable.
pub fn encode_row(out: &mut Vec<u8>, row: &RowView<'_>, unparsable: &mut Unparsable) {
    push_head(out, row);
    out.extend_from_slice(b",\"values\":[");
    for (index, (column, cell)) in row.cells().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if !push_cell(out, column, cell) {
            unparsable.note(index);
        }
    }
    out.push(b']');
    push_tail(out, row);
}

/// Opens the object of a row: id and status.
pub(super) fn push_head(out: &mut Vec<u8>, row: &RowView<'_>) {
    out.extend_from_slice(b"{\"id\":");
    push_str(out, row.id);
    out.extend_from_slice(b",\"status\":\"");
    out.extend_from_slice(row.status.as_str().as_bytes());
    out.push(b'"');
}

/// Closes it, with the reason where there is one.
pub(super) fn push_tail(out: &mut Vec<u8>, row: &RowView<'_>) {
    if let Some(reason) = row.reason {
        out.extend_from_slice(b",\"error\":");
        push_str(out, &reason.to_string());
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::Format;
    use super::super::testing::{self, json_cell, sample};
    use super::*;

    #[test]
    fn an_answer_has_features_rows_and_a_summary() {
        let out = Format::Json.encode(&sample(), Duration::from_nanos(12_345_678)).unwrap();
        let out = String::from_utf8(out).unwrap().replace("},{", "},\n{");
        insta::assert_snapshot!(out, @r#"
        {"features":["risk","a,\"b\""],"rows":[{"id":"u0001","status":"found","values":["low",""]},
        {"id":"u \"2\",\n","status":"partial","values":["a\"b,c\r\n\u0001\\",null]},
        {"id":"u🦀","status":"missing","values":[null,null]},
        {"id":"u0004","status":"unavailable","values":[null,null],"error":"deadline exceeded; last: shard said \"LOADING\""},
        {"id":"u0001","status":"found","values":[{"base64":"//4="},"é"]}],"summary":{"found":2,"partial":1,"missing":1,"unavailable":1,"shards":3,"elapsed_ms":12.345}}
        "#);
    }

    #[test]
    fn a_single_row_is_written_as_in_a_batch() {
        let batch = sample();
        let mut out = Vec::new();
        encode_row(&mut out, &batch.row(3).unwrap(), &mut Unparsable::default());
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"{"id":"u0004","status":"unavailable","values":[null,null],"error":"deadline exceeded; last: shard said \"LOADING\""}"#);
    }

    #[test]
    fn values_are_written_as_their_types_and_those_that_are_not_are_counted() {
        let batch = testing::typed_sample();
        let out = Format::Json.encode(&batch, Duration::ZERO).unwrap();
        insta::assert_snapshot!(String::from_utf8(out.clone()).unwrap().replace("},{", "},\n{"), @r#"
        {"features":["count","score","vip","seen","name","other"],"rows":[{"id":"whole","status":"found","values":[12,0.50,true,1760000000000,"a\"b","7"]},
        {"id":"wrong","status":"found","values":[{"unparsable":"12.5"},
        {"unparsable":"half"},
        {"unparsable":"yes"},
        {"unparsable":""},
        {"unparsable":{"base64":"/w=="}},"7"]},
        {"id":"partial","status":"partial","values":[0,"NaN",null,null,"",null]},
        {"id":"missing","status":"missing","values":[0,null,null,null,"",null]},
        {"id":"away","status":"unavailable","values":[null,null,null,null,null,null],"error":"deadline exceeded; last: shard said \"LOADING\""}],"summary":{"found":2,"partial":1,"missing":1,"unavailable":1,"shards":3,"elapsed_ms":0,"unparsable":5}}
        "#);
        let answer: Value = serde_json::from_slice(&out).unwrap();
        let mut counts = [0; 6];
        batch.count_unparsable(&mut counts);
        assert_eq!((answer["summary"]["unparsable"].as_u64(), counts), (Some(5), [1, 1, 1, 1, 1, 0]));
    }

    #[test]
    fn many_batches_make_one_document_with_one_summary() {
        let batch = sample();
        let mut encoder = JsonEncoder::new(Arc::clone(batch.projection()));
        let mut out = Vec::new();
        encoder.begin(&mut out);
        encoder.batch(&mut out, &batch).unwrap();
        encoder.batch(&mut out, &batch).unwrap();
        encoder.end(&mut out, Duration::from_secs(1)).unwrap();
        let answer: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(answer["rows"].as_array().unwrap().len(), 2 * batch.len());
        insta::assert_snapshot!(answer["summary"], @r#"{"elapsed_ms":1000,"found":4,"missing":2,"partial":2,"shards":3,"unavailable":2}"#);
    }

    #[test]
    fn an_empty_batch_is_a_document_too() {
        let out = Format::Json.encode(&testing::batch(&[], &[]), Duration::ZERO).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"{"features":[],"rows":[],"summary":{"found":0,"partial":0,"missing":0,"unavailable":0,"shards":3,"elapsed_ms":0}}"#);
    }

    proptest! {
        #[test]
        fn any_batch_reads_back_in_order(table in testing::table()) {
            let batch = table.batch();
            let answer: Value = serde_json::from_slice(&Format::Json.encode(&batch, Duration::ZERO).unwrap()).unwrap();
            let names: Vec<&str> = answer["features"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
            prop_assert!(names.iter().eq(table.features.iter()));
            let rows = answer["rows"].as_array().unwrap();
            prop_assert_eq!(rows.len(), table.rows.len());
            for (row, (id, cells)) in rows.iter().zip(&table.rows) {
                prop_assert_eq!(row["id"].as_str(), Some(id.as_str()));
                prop_assert_eq!(row["status"].as_str(), Some(table.status(cells)));
                prop_assert_eq!(row.get("error").is_some(), cells.is_none());
                let values = row["values"].as_array().unwrap();
                prop_assert_eq!(values.len(), table.features.len());
                for (index, value) in values.iter().enumerate() {
                    prop_assert_eq!(json_cell(value), cells.as_ref().and_then(|cells| cells[index].clone()));
                }
            }
            let summary = &answer["summary"];
            for status in ["found", "partial", "missing", "unavailable"] {
                let count = table.rows.iter().filter(|(_, cells)| table.status(cells) == status).count();
                prop_assert_eq!(summary[status].as_u64(), Some(count as u64));
            }
        }
    }
}

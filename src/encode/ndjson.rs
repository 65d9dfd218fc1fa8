//! One row a line: `{"id":…,"status":…,"features":{"name":value-or-null,…}}`, with `"error"` where unavailable. Values
//! are as in JSON.

use std::time::Duration;

use super::json::{push_head, push_tail};
use super::text::push_str;
use super::value::push_cell;
use super::{EncodeError, Encoder, Unparsable};
use crate::model::{FeatureBatch, Projection};

/// Bytes round a feature's name in a row: a comma, two quotes, a colon.
pub(super) const KEY_BYTES: usize = 4;

/// Writes one line per row, and nothing before or after.
#[derive(Debug)]
pub struct NdjsonEncoder {
    /// `"name":` of every feature, escaped once, one after the other; from the second on with the comma before it.
    keys: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    unparsable: Unparsable,
}

impl NdjsonEncoder {
    /// For batches of these columns.
    pub fn new(projection: &Projection) -> Self {
        let names = projection.names();
        let bytes_guess = names.iter().map(|name| name.len() + KEY_BYTES).sum();
        let (mut keys, mut ends) = (Vec::with_capacity(bytes_guess), Vec::with_capacity(names.len()));
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                keys.push(b',');
            }
            push_str(&mut keys, name);
            keys.push(b':');
            ends.push(keys.len());
        }
        Self { keys, ends, unparsable: Unparsable::default() }
    }
}

impl Encoder for NdjsonEncoder {
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    fn batch(&mut self, out: &mut Vec<u8>, batch: &FeatureBatch) -> Result<(), EncodeError> {
        debug_assert_eq!(batch.features().len(), self.ends.len());
        for row in batch.rows() {
            push_head(out, &row);
            out.extend_from_slice(b",\"features\":{");
            let mut start = 0;
            for (index, (end, (column, cell))) in self.ends.iter().zip(row.cells()).enumerate() {
                out.extend_from_slice(&self.keys[start..*end]);
                if !push_cell(out, column, cell) {
                    self.unparsable.note(index);
                }
                start = *end;
            }
            out.push(b'}');
            push_tail(out, &row);
            out.push(b'\n');
        }
        Ok(())
    }

    fn end(&mut self, _out: &mut Vec<u8>, _elapsed: Duration) -> Result<(), EncodeError> {
        Ok(())
    }

    fn unparsable(&self) -> Unparsable {
        self.unparsable.clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::Format;
    use super::super::testing::{self, json_cell, sample};
    use super::*;

    #[test]
    fn a_row_is_a_line() {
        let out = Format::Ndjson.encode(&sample(), Duration::ZERO).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        {"id":"u0001","status":"found","features":{"risk":"low","a,\"b\"":""}}
        {"id":"u \"2\",\n","status":"partial","features":{"risk":"a\"b,c\r\n\u0001\\","a,\"b\"":null}}
        {"id":"u🦀","status":"missing","features":{"risk":null,"a,\"b\"":null}}
        {"id":"u0004","status":"unavailable","features":{"risk":null,"a,\"b\"":null},"error":"deadline exceeded; last: shard said \"LOADING\""}
        {"id":"u0001","status":"found","features":{"risk":{"base64":"//4="},"a,\"b\"":"é"}}
        "#);
    }

    #[test]
    fn values_are_written_as_their_types() {
        let out = Format::Ndjson.encode(&testing::typed_sample(), Duration::ZERO).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        {"id":"whole","status":"found","features":{"count":12,"score":0.50,"vip":true,"seen":1760000000000,"name":"a\"b","other":"7"}}
        {"id":"wrong","status":"found","features":{"count":{"unparsable":"12.5"},"score":{"unparsable":"half"},"vip":{"unparsable":"yes"},"seen":{"unparsable":""},"name":{"unparsable":{"base64":"/w=="}},"other":"7"}}
        {"id":"partial","status":"partial","features":{"count":0,"score":"NaN","vip":null,"seen":null,"name":"","other":null}}
        {"id":"missing","status":"missing","features":{"count":0,"score":null,"vip":null,"seen":null,"name":"","other":null}}
        {"id":"away","status":"unavailable","features":{"count":null,"score":null,"vip":null,"seen":null,"name":null,"other":null},"error":"deadline exceeded; last: shard said \"LOADING\""}
        "#);
    }

    proptest! {
        #[test]
        fn any_batch_reads_back_in_order(table in testing::table()) {
            let out = Format::Ndjson.encode(&table.batch(), Duration::ZERO).unwrap();
            let lines: Vec<&[u8]> = out.split_inclusive(|byte| *byte == b'\n').collect();
            prop_assert_eq!(lines.len(), table.rows.len());
            for (line, (id, cells)) in lines.into_iter().zip(&table.rows) {
                let row: Value = serde_json::from_slice(line).unwrap();
                prop_assert_eq!(row["id"].as_str(), Some(id.as_str()));
                prop_assert_eq!(row["status"].as_str(), Some(table.status(cells)));
                prop_assert_eq!(row.get("error").is_some(), cells.is_none());
                let features = row["features"].as_object().unwrap();
                prop_assert_eq!(features.len(), table.features.len());
                for (index, name) in table.features.iter().enumerate() {
                    let cell = cells.as_ref().and_then(|cells| cells[index].clone());
                    prop_assert_eq!(json_cell(&features[name]), cell);
                }
            }
        }
    }
}

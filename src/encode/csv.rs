//! A header `id,status,<features…>` and one record per row, quoted as RFC 4180 says, lines ending in LF.
//!
//! An absent feature is an empty cell and an empty value is `""`, so that they differ. Value bytes are written
//! as they are, of whatever type: what is not of its type can be seen in JSON and NDJSON. There is no column for the reason of an unavailable row; JSON and NDJSON have it.

use std::sync::Arc;
use std::time::Duration;

use super::{EncodeError, Encoder};
use crate::model::{FeatureBatch, Projection};

/// Writes a header and one record per row.
#[derive(Debug)]
pub struct CsvEncoder {
    projection: Arc<Projection>,
}

impl CsvEncoder {
    /// For batches of these columns.
    pub fn new(projection: Arc<Projection>) -> Self {
        Self { projection }
    }
}

impl Encoder for CsvEncoder {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"id,status");
        for name in self.projection.names() {
            out.push(b',');
            push_value(out, name.as_bytes());
        }
        out.push(b'\n');
    }

    fn batch(&mut self, out: &mut Vec<u8>, batch: &FeatureBatch) -> Result<(), EncodeError> {
        debug_assert_eq!(batch.projection(), &self.projection);
        for row in batch.rows() {
            push_value(out, row.id.as_bytes());
            out.push(b',');
            out.extend_from_slice(row.status.as_str().as_bytes());
            for cell in row.values() {
                out.push(b',');
                if let Some(value) = cell {
                    push_value(out, value);
                }
            }
            out.push(b'\n');
        }
        Ok(())
    }

    fn end(&mut self, _out: &mut Vec<u8>, _elapsed: Duration) -> Result<(), EncodeError> {
        Ok(())
    }
}

fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    let plain = !value.is_empty() && !value.iter().any(|byte| matches!(byte, b'"' | b',' | b'\n' | b'\r'));
    if plain {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for (index, run) in value.split(|byte| *byte == b'"').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(run);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Format;
    use super::super::testing::{self, sample};
    use super::*;

    #[test]
    fn an_empty_value_is_quoted_and_an_absent_one_is_not_there() {
        let out = Format::Csv.encode(&sample(), Duration::ZERO).unwrap();
        let out = String::from_utf8_lossy(&out).replace('\r', "<CR>").replace('\x01', "<SOH>");
        insta::assert_snapshot!(out, @r#"
        id,status,risk,"a,""b"""
        u0001,found,low,""
        "u ""2"",
        ",partial,"a""b,c<CR>
        <SOH>\",
        u🦀,missing,,
        u0004,unavailable,,
        u0001,found,��,é
        "#);
    }

    #[test]
    fn values_are_written_as_they_are_kept_with_defaults_in_the_place_of_absent_ones() {
        let out = Format::Csv.encode(&testing::typed_sample(), Duration::ZERO).unwrap();
        insta::assert_snapshot!(String::from_utf8_lossy(&out), @r#"
        id,status,count,score,vip,seen,name,other
        whole,found,+12,0.50,true,1760000000000,"a""b",7
        wrong,found,12.5,half,yes,"",�,7
        partial,partial,0,NaN,,,"",
        missing,missing,0,,,,"",
        away,unavailable,,,,,,
        "#);
    }

    proptest! {
        #[test]
        fn any_batch_reads_back_in_order(table in testing::table()) {
            let out = Format::Csv.encode(&table.batch(), Duration::ZERO).unwrap();
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&out[..]);
            let mut records = reader.byte_records().map(Result::unwrap);
            let header: Vec<Vec<u8>> = records.next().unwrap().iter().map(<[u8]>::to_vec).collect();
            let expected = ["id", "status"].into_iter().chain(table.features.iter().map(String::as_str));
            prop_assert!(header.iter().map(Vec::as_slice).eq(expected.map(str::as_bytes)));
            for (id, cells) in &table.rows {
                let record = records.next().unwrap();
                prop_assert_eq!(&record[0], id.as_bytes());
                prop_assert_eq!(&record[1], table.status(cells).as_bytes());
                prop_assert_eq!(record.len(), 2 + table.features.len());
                for (index, seen) in record.iter().skip(2).enumerate() {
                    let cell = cells.as_ref().and_then(|cells| cells[index].as_deref());
                    prop_assert_eq!(seen, cell.unwrap_or_default());
                }
            }
            prop_assert!(records.next().is_none());
        }
    }
}

//! Rows as CSV: every record comes out once, as a row or as a rejection with its line; a header that can't be used is an
//! error that names it.

use std::io::BufReader;

use proptest::prelude::*;
use slotwise::ingest::{CsvSource, SourceItem};

use crate::cases::try_many;
use crate::mutate::{Bytes, Material, inputs};

const TABLES: Material = Material {
    valid: &[
        b"id,a,b\nu1,1,x\nu2,,\"y, \"\"z\"\"\nw\"\nu3,3,\n",
        b"\xef\xbb\xbf\"a\",id\r\n1,u1\r\n\r\n2,u2",
        b"\n\nb c,id,\xc3\xa9\n \"x\",u1,7\n\"\",u2,\"8\"\n",
        b"id,a\nu1,\"1\n2\n3\"\nu2,5\" pipe\n",
    ],
    pieces: &[
        b"\n",
        b"\r\n",
        b"\r",
        b",",
        b",,,",
        b"\"",
        b"\"\"",
        b"\"\"\"",
        b"\"a\"b",
        b"\"\n",
        b"id",
        b"a",
        b"\xff",
        b"\xc3",
        b"\x00",
        b"\xef\xbb\xbf",
        b" ",
        b"\t",
        b";",
        b"\\",
        b"id,id",
        b"id,a\n",
        &[b'x'; 1_100],
        &[b','; 50],
        &[b'\n'; 9],
        &[b'"'; 33],
    ],
    marks: b",\n\"",
};

/// Where the records of `text` start that somebody else's reader finds, by line, and what the first one is.
fn records(text: &[u8]) -> Vec<u64> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .terminator(csv::Terminator::Any(b'\n'))
        .from_reader(text);
    let mut found = Vec::new();
    for record in reader.byte_records() {
        let record = record.unwrap();
        let start = usize::try_from(record.position().unwrap().byte()).unwrap();
        // Blank lines are skipped: it stands still at the first of them.
        let blank = text[start..].iter().take_while(|byte| **byte == b'\n').count();
        let start = start + blank;
        if !text[start..].starts_with(b"\r\n") {
            found.push(1 + text[..start].iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>());
        }
    }
    found
}

#[test]
fn every_record_is_a_row_or_a_rejection_that_names_its_line() {
    let cases = (inputs(TABLES), any::<bool>(), 1..40_usize);
    try_many("CSV rows", cases, |(Bytes(mut text), good_first, chunk_bytes)| {
        if good_first {
            text = [b"id,a,b\ngood,1,2\n", &text[..]].concat();
        }
        let expected = records(&text);
        let reader = BufReader::with_capacity(chunk_bytes * chunk_bytes, &text[..]);
        let source = match CsvSource::new("in", reader) {
            Ok(source) => source,
            Err(error) => {
                prop_assert!(!good_first, "{}", error);
                let told = error.to_string();
                let line = expected.first().map_or("in:".to_owned(), |line| format!("in:{line}: header"));
                prop_assert!(told.starts_with(&line), "{} for the header of {:?}", told, expected.first());
                return Ok(());
            }
        };
        let columns = source.features().count();
        let mut seen = Vec::new();
        for item in source {
            match item.unwrap() {
                SourceItem::Row { line, row } => {
                    prop_assert!((1..=columns).contains(&row.features.len()));
                    seen.push(line);
                    prop_assert!(!good_first || seen.len() > 1 || row.id.as_str() == "good");
                }
                SourceItem::Rejected(rejected) => {
                    prop_assert!(!good_first || !seen.is_empty(), "a good row is kept: {}", rejected);
                    let told = rejected.to_string();
                    let start = format!("in:{}: ", rejected.line);
                    prop_assert!(told.len() > start.len() && told.starts_with(&start), "{}", told);
                    prop_assert!(rejected.raw.is_some());
                    seen.push(rejected.line);
                }
            }
        }
        prop_assert_eq!(&seen[..], expected.get(1..).unwrap_or_default(), "rows in are rows out");
        Ok(())
    });
}

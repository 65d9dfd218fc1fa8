//! Lists of ids: the ids before the first bad line, in order, then an error that names that line.

use std::io::{BufReader, Cursor};

use proptest::prelude::*;
use slotwise::ingest::{IdsError, IdsFormat, IdsReader};

use crate::cases::try_many;
use crate::mutate::{Bytes, Material, inputs};

const LISTS: Material = Material {
    valid: &[
        b"u1\nu2\r\n a b \nu\xc3\xa9\n\"q\"\nu5",
        b"\xef\xbb\xbfu1\nu2\n",
        b"\"u1\"\n\"a\\nb\"\r\n\"\\ud83e\\udd80\"\n \"u4\" \n",
        b"\xef\xbb\xbf\"u1\"\n\"u2\"",
        b"one\n",
    ],
    pieces: &[
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
        b"\"",
        b"\"\"",
        b"\"a\"",
        b"\"\\ud800\"",
        b"\"\\u0000\"",
        b"\\",
        b"\xff",
        b"\xc3",
        b"\xef\xbb\xbf",
        b"\x00",
        b" ",
        b"null",
        b"7",
        b"[\"a\"]",
        &[b'x'; 1_020],
        &[b'x'; 1_100],
        &[b'"'; 40],
        &[b'x'; 7_000],
    ],
    marks: b"\n\"",
};

/// What the list should give: its ids, and the line that ends it, where one does.
fn expected(list: &[u8], format: IdsFormat) -> (Vec<String>, Option<u64>) {
    let mut ids = Vec::new();
    let mut lines: Vec<&[u8]> = list.split(|byte| *byte == b'\n').collect();
    // What follows the last line break is a line where it is something.
    let cut = if lines.last().is_some_and(|last| last.is_empty()) { lines.pop().is_some() } else { false };
    let count = lines.len();
    for (number, line) in (1..).zip(lines) {
        let broken = cut || number < count;
        let line = if broken { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let id = std::str::from_utf8(line).ok().and_then(|text| match format {
            IdsFormat::Lines => Some(text.to_owned()),
            IdsFormat::Json => serde_json::from_str::<String>(text).ok(),
        });
        match id {
            Some(id) if (1..=1_024).contains(&id.len()) => ids.push(id),
            _ => return (ids, Some(u64::try_from(number).unwrap())),
        }
    }
    (ids, None)
}

#[test]
fn a_list_gives_its_ids_up_to_the_bad_line_and_names_it() {
    let cases = (inputs(LISTS), any::<bool>(), 1..6_usize, 1..9_usize);
    try_many("lists of ids", cases, |(Bytes(list), json, ids_max, chunk_bytes)| {
        let format = if json { IdsFormat::Json } else { IdsFormat::Lines };
        let (ids, bad_line) = expected(&list, format);
        let reader = BufReader::with_capacity(chunk_bytes * chunk_bytes * 8, Cursor::new(list));
        let mut reader = IdsReader::new("in", Box::new(reader), format);
        let mut seen = Vec::new();
        let error = loop {
            match reader.next_window(ids_max) {
                Ok(Some(window)) => {
                    prop_assert!((1..=ids_max).contains(&window.len()));
                    seen.extend(window.iter().map(ToString::to_string));
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        prop_assert_eq!(seen, ids);
        match error {
            None => prop_assert_eq!(bad_line, None),
            Some(IdsError::Line { line, ref problem, .. }) => {
                prop_assert_eq!(Some(line), bad_line, "{}", problem);
                prop_assert!(!problem.is_empty());
                let told = error.unwrap().to_string();
                prop_assert!(told.starts_with(&format!("in:{line}: ")), "{}", told);
            }
            Some(other) => prop_assert!(false, "{}", other),
        }
        prop_assert!(
            reader.next_window(ids_max).is_ok_and(|window| window.is_none()),
            "after the end is nothing"
        );
        Ok(())
    });
}

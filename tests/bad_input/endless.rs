//! A line without an end takes no more memory than its limit.

use std::io::{BufReader, Read};

use slotwise::ingest::{CsvSource, IdsFormat, IdsReader, NdjsonSource, SourceItem};
use slotwise::model::limits::INPUT_LINE_BYTES_MAX;

/// How long the line is.
const LINE_BYTES: u64 = 48 << 20;
/// What may be held of it: the limit, and the room that a growing buffer takes.
const HELD_BYTES_MAX: u64 = 4 * INPUT_LINE_BYTES_MAX as u64;

/// The most memory that this process has had, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn endless(start: &'static [u8]) -> impl std::io::BufRead + Send {
    BufReader::with_capacity(64 << 10, start.chain(std::io::repeat(b'x').take(LINE_BYTES)))
}

/// Reads a source to its end: the rejections, and how much more memory there was.
fn read(items: impl Iterator<Item = SourceItem>) -> Vec<String> {
    items
        .map(|item| match item {
            SourceItem::Row { line, row } => panic!("{line}: {row:?}"),
            SourceItem::Rejected(rejected) => {
                assert_eq!(rejected.raw, None, "too long to keep");
                rejected.to_string()
            }
        })
        .collect()
}

#[test]
fn a_line_without_an_end_is_named_and_not_held() {
    let before = peak_bytes();
    let told = read(NdjsonSource::new("in", endless(b"\n{\"id\":\"")).map(Result::unwrap));
    assert_eq!(told, [format!("in:2: the line has {} bytes, the limit is 4194304", LINE_BYTES + 7)]);
    let told = read(CsvSource::new("in", endless(b"id,a\nu1,\"")).unwrap().map(Result::unwrap));
    let long = format!(
        "in:2: the record has {} bytes, the limit is 4194304; is a quote not closed?",
        LINE_BYTES + 4
    );
    assert_eq!(told, [long]);
    let told = CsvSource::new("in", endless(b"id,")).err().unwrap().to_string();
    assert!(told.starts_with("in:1: header: the record has 5033"), "{told}");
    let mut ids = IdsReader::new("in", Box::new(endless(b"u1\n")), IdsFormat::Lines);
    assert_eq!(ids.next_window(9).unwrap().unwrap().len(), 1);
    let told = ids.next_window(9).unwrap_err().to_string();
    assert_eq!(told, format!("in:2: an entity id has {LINE_BYTES} bytes, the limit is 1024"));
    let held = peak_bytes() - before;
    assert!(held < HELD_BYTES_MAX, "{held} bytes were held of lines of {LINE_BYTES}");
}

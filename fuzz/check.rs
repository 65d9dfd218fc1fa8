//! What must hold whatever a node sends: shared by the fuzzer and by the test that replays its corpus.
//!
//! An input is a header, which says what was asked for and how the reply arrives, and the bytes of the reply:
//! rows, width, flags, number of cuts, one byte per cut, reply.

use redis::{Parser, Value};
use slotwise::model::Span;
use slotwise::shard::{Malformed, ReplyScanner};
use slotwise::slot::NodeAddr;

const ROWS_MAX: u8 = 5;
const WIDTH_MAX: u8 = 6;
const CUTS_MAX: u8 = 8;
/// Replies up to this length are fed byte by byte, too.
const BYTE_BY_BYTE_MAX: usize = 512;

/// What was asked for, and how the answer comes.
struct Input<'a> {
    rows: usize,
    width: usize,
    asking: bool,
    /// Where the reply is cut, in ascending order; the last cut is its end.
    cuts: Vec<usize>,
    reply: &'a [u8],
}

/// What a scan came to.
#[derive(Debug, PartialEq)]
struct Scanned {
    whole: bool,
    taken: usize,
    spans: Vec<Span>,
    faults: Vec<String>,
    faulty: Vec<usize>,
}

/// Panics where one of the scanner's promises is broken.
pub(crate) fn check(data: &[u8]) {
    let Some(input) = Input::read(data) else { return };
    let end = input.reply.len();
    let at_once = input.scan(&[end]);
    assert_eq!(input.scan(&input.cuts), at_once, "the same however it is cut");
    let taken = input.scan_given_up(&input.cuts);
    assert_eq!(taken, at_once.as_ref().map(|scanned| (scanned.whole, scanned.taken)).map_err(|error| *error));
    if end <= BYTE_BY_BYTE_MAX {
        let all: Vec<usize> = (0..=end).collect();
        assert_eq!(input.scan(&all), at_once, "the same byte by byte");
        assert_eq!(input.scan_given_up(&all), taken, "the same number of bytes when they are dropped");
    }
    if let Ok(scanned) = at_once {
        input.hold_against_itself(&scanned);
        input.hold_against_the_client_crate(&scanned);
    }
}

impl<'a> Input<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let [rows, width, flags, cuts, rest @ ..] = data else { return None };
        let (cuts, reply) = rest.split_at_checked(usize::from(cuts % CUTS_MAX))?;
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) * reply.len() / 255).collect();
        cuts.push(reply.len());
        cuts.sort_unstable();
        let (rows, width) = (usize::from(rows % ROWS_MAX) + 1, usize::from(width % WIDTH_MAX) + 1);
        Some(Self { rows, width, asking: flags & 1 == 1, cuts, reply })
    }

    /// Feeds the reply as a connection does: all of it so far, more each time, until it is whole.
    fn scan(&self, cuts: &[usize]) -> Result<Scanned, Malformed> {
        let mut scanner = ReplyScanner::new(self.rows, self.width, self.asking);
        let mut whole = false;
        for cut in cuts {
            whole = scanner.scan(&self.reply[..*cut], &node())?;
            assert!(scanner.taken() <= *cut, "more was taken than there is");
            if whole {
                break;
            }
        }
        let taken = scanner.taken();
        let (spans, faults) = scanner.finish();
        let faulty = faults.iter().map(|(row, _)| *row).collect();
        let faults = faults.into_iter().map(|(_, fault)| format!("{fault:?}")).collect();
        Ok(Scanned { whole, taken, spans, faults, faulty })
    }

    /// The caller goes away at the first cut, and what was taken is dropped. Brings whether the reply ended, and how
    /// many bytes it had.
    fn scan_given_up(&self, cuts: &[usize]) -> Result<(bool, usize), Malformed> {
        let mut scanner = ReplyScanner::new(self.rows, self.width, self.asking);
        let (mut dropped, mut whole) = (0, false);
        for (number, cut) in cuts.iter().enumerate() {
            whole = scanner.scan(&self.reply[dropped..*cut], &node())?;
            if whole {
                break;
            }
            if number == 0 {
                scanner.give_up();
            }
            dropped += scanner.taken();
            scanner.forget_taken();
        }
        Ok((whole, dropped + scanner.taken()))
    }

    fn hold_against_itself(&self, scanned: &Scanned) {
        if scanned.whole {
            let taken = &self.reply[..scanned.taken];
            let inside = |span: &Span| *span == Span::ABSENT || span.slice(taken).is_some();
            assert!(scanned.spans.iter().all(inside), "a value outside of what was taken");
            assert_eq!(scanned.spans.len(), self.rows * self.width);
        }
        assert!(scanned.faulty.iter().all(|row| *row < self.rows));
        assert!(scanned.faulty.windows(2).all(|pair| pair[0] < pair[1]), "one fault a row, in order");
        for row in &scanned.faulty {
            let cells = &scanned.spans[row * self.width..(row + 1) * self.width];
            assert!(cells.iter().all(|cell| *cell == Span::ABSENT), "a faulty row has no values");
        }
    }

    /// The client crate is stricter about numbers and texts; where it reads the reply, both read the same.
    fn hold_against_the_client_crate(&self, scanned: &Scanned) {
        let step = if self.asking { 2 } else { 1 };
        let wanted = self.rows * step;
        if !scanned.whole {
            let values = values_in(self.reply);
            let short = values.is_none_or(|values| values.len() < wanted);
            assert!(short, "the replies are whole, and were not taken so");
            return;
        }
        // With one more reply behind what was taken: it is only seen where exactly the replies before it were.
        let Some(mut values) = values_in(&[&self.reply[..scanned.taken], b"+next\r\n"].concat()) else {
            return;
        };
        assert_eq!(
            values.pop(),
            Some(Value::SimpleString("next".to_owned())),
            "not the last byte of the replies"
        );
        assert_eq!(values.len(), wanted, "another number of replies");
        for (row, value) in values.iter().skip(step - 1).step_by(step).enumerate() {
            let spans = &scanned.spans[row * self.width..(row + 1) * self.width];
            let cells = spans.iter().map(|span| span.slice(self.reply)).collect::<Vec<_>>();
            match row_of(value, self.width) {
                Some(expected) => {
                    assert!(!scanned.faulty.contains(&row), "row {row} is well");
                    assert_eq!(cells, expected, "row {row}");
                }
                None => assert!(scanned.faulty.contains(&row), "row {row} is no row: {value:?}"),
            }
        }
    }
}

/// The replies that these bytes hold, one after the other, without what was sent unasked; `None` where the client crate
/// does not read all of them to their end.
fn values_in(mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    // The parser reads ahead, and keeps what it has read.
    let mut parser = Parser::new();
    loop {
        match parser.parse_value(&mut bytes) {
            Ok(value) => values.push(bare(value)),
            Err(error) if error.is_io_error() => break,
            Err(_) => return None,
        }
    }
    values.retain(|value| !matches!(value, Value::Push { .. }));
    Some(values)
}

/// A value without what describes it.
fn bare(value: Value) -> Value {
    match value {
        Value::Attribute { data, .. } => bare(*data),
        value => value,
    }
}

/// The cells of a reply to `HMGET`; `None` where it is no such reply.
fn row_of(value: &Value, width: usize) -> Option<Vec<Option<&[u8]>>> {
    let Value::Array(cells) = value else { return None };
    let cell = |cell| match cell {
        &Value::Nil => Some(None),
        Value::BulkString(text) => Some(Some(text.as_slice())),
        _ => None,
    };
    if cells.len() == width { cells.iter().map(cell).collect() } else { None }
}

fn node() -> NodeAddr {
    NodeAddr::new("h", 1)
}

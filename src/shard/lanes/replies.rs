//! The replies to a pipeline of `HMGET`s, scanned as they arrive: each value becomes a span, each error the fault of
//! its key. Nothing is allocated per value, and no value is looked at twice.
//!
//! Invariants: exactly as many bytes are taken as the replies have, whatever is in them, so that the next pipeline's
//! replies start where they do; a row is whole or has a fault; input never makes it panic.

use crate::model::Span;
use crate::slot::NodeAddr;

use super::super::fault::KeyFault;
use super::resp::{Head, Malformed, head};
use super::skip::Skip;

/// Scans the replies to one pipeline. Give it all bytes from the first reply on, again with more behind them as they
/// come.
#[derive(Debug)]
pub struct ReplyScanner {
    width: usize,
    rows: usize,
    /// Every `HMGET` has an `ASKING` before it.
    asking: bool,
    /// False once nobody wants the values.
    kept: bool,
    /// Rows whose reply is whole.
    row: usize,
    /// The first byte that has not been taken.
    at: usize,
    /// What is to be passed over before anything else.
    skip: Skip,
    /// The answer to this row's `ASKING` has been met.
    asked: bool,
    part: Part,
    row_fault: Option<KeyFault>,
    spans: Vec<Span>,
    faults: Vec<(usize, KeyFault)>,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A reply that starts there.
    Start,
    /// A row with so many cells to come.
    Cells(usize),
    /// An error text of `len` bytes from `start` on that has been passed over.
    ErrorText { start: usize, len: usize },
    /// A reply that has been passed over.
    Whole,
}

impl ReplyScanner {
    /// For the replies to `rows` times `HMGET` with `width` features each; `asking`: with an `ASKING` before each.
    pub fn new(rows: usize, width: usize, asking: bool) -> Self {
        Self {
            width,
            rows,
            asking,
            kept: true,
            row: 0,
            at: 0,
            skip: Skip::default(),
            asked: false,
            part: Part::Start,
            row_fault: None,
            spans: Vec::with_capacity(rows * width),
            faults: Vec::new(),
        }
    }

    /// Takes what has come; true when the last reply is whole. `node` is the one that answers.
    pub fn scan(&mut self, bytes: &[u8], node: &NodeAddr) -> Result<bool, Malformed> {
        while self.row < self.rows {
            let more = self.skip.pass(bytes, &mut self.at)?
                && match self.part {
                    Part::Start => self.start(bytes, node)?,
                    Part::Cells(left) => self.cells(bytes, left)?,
                    Part::ErrorText { start, len } => {
                        let text = bytes.get(start..start + len).unwrap_or_default();
                        self.end_row(Some(KeyFault::from_line(text, node)))
                    }
                    Part::Whole => self.end_row(None),
                };
            if !more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Rows whose replies are awaited in all.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Those that are not whole yet.
    pub(super) fn rows_left(&self) -> usize {
        self.rows - self.row
    }

    /// Cells of a row.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Bytes taken so far.
    pub fn taken(&self) -> usize {
        self.at
    }

    /// From now on values are passed over, and the bytes taken may be dropped: see [`Self::forget_taken`].
    pub fn give_up(&mut self) {
        self.kept = false;
        self.spans = Vec::new();
        self.faults = Vec::new();
        if let Part::ErrorText { .. } = self.part {
            self.part = Part::Whole;
        }
    }

    /// Says that the bytes taken so far are gone: what comes next starts at 0. Only after [`Self::give_up`].
    pub fn forget_taken(&mut self) {
        debug_assert!(!self.kept, "the spans would point elsewhere");
        self.at = 0;
    }

    /// `rows × width` spans into the bytes that were scanned, and the faulty rows, by number, with their faults.
    pub fn finish(self) -> (Vec<Span>, Vec<(usize, KeyFault)>) {
        (self.spans, self.faults)
    }

    /// Where a reply starts. True where there is something to go on with, as in the following ones.
    fn start(&mut self, bytes: &[u8], node: &NodeAddr) -> Result<bool, Malformed> {
        let Some((head, line_end, next)) = head(bytes, self.at)? else { return Ok(false) };
        let first = std::mem::replace(&mut self.at, next);
        match head {
            // Beside the replies; neither counts as one.
            Head::Push(values) | Head::Attribute(values) => self.skip.values(values)?,
            // What `ASKING` was answered shows in the answer to the command after it.
            _ if self.asking && !self.asked => {
                self.asked = true;
                self.skip.rest_of(head)?;
            }
            Head::List(cells) if cells == self.width => self.part = Part::Cells(cells),
            Head::ErrorLine => {
                let line = bytes.get(first + 1..line_end).unwrap_or_default();
                self.end_row(Some(KeyFault::from_line(line, node)));
            }
            Head::ErrorText(len) if self.kept => {
                self.skip.rest_of(head)?;
                self.part = Part::ErrorText { start: next, len };
            }
            _ => {
                self.refuse_row("an answer to HMGET of another shape");
                self.skip.rest_of(head)?;
                self.part = Part::Whole;
            }
        }
        Ok(true)
    }

    /// Inside a row: strings and absent values, one span each.
    fn cells(&mut self, bytes: &[u8], cells: usize) -> Result<bool, Malformed> {
        for left in (0..cells).rev() {
            // Most values are short, and whole.
            let (start, len) = match bytes.get(self.at..).unwrap_or_default() {
                [b'$', a @ b'0'..=b'9', b'\r', b'\n', ..] => (self.at + 4, usize::from(a - b'0')),
                [b'$', a @ b'0'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => {
                    (self.at + 5, usize::from(a - b'0') * 10 + usize::from(b - b'0'))
                }
                [b'_', b'\r', b'\n', ..] => {
                    self.at += 3;
                    self.cell(Span::ABSENT);
                    continue;
                }
                rest => {
                    let text = rest.first() == Some(&b'$');
                    match head(bytes, self.at)? {
                        None => {
                            self.part = Part::Cells(left + 1);
                            return Ok(false);
                        }
                        Some((Head::Text(len), _, next)) if text => (next, len),
                        Some((head, _, next)) => {
                            self.at = next;
                            self.cell(Span::ABSENT);
                            self.part = Part::Cells(left);
                            if head != Head::Nil {
                                self.refuse_row("a cell of HMGET that is no string");
                                self.skip.rest_of(head)?;
                            }
                            return Ok(true);
                        }
                    }
                }
            };
            self.cell(Span::new(start, len).ok_or(Malformed("a reply beyond 4 GiB"))?);
            match bytes.get(start + len..start + len + 2) {
                Some(b"\r\n") => self.at = start + len + 2,
                Some(_) => return Err(Malformed("a string of another length than it said")),
                None => {
                    self.at = start;
                    self.skip.string(len);
                    self.part = Part::Cells(left);
                    return Ok(true);
                }
            }
        }
        Ok(self.end_row(None))
    }

    fn cell(&mut self, span: Span) {
        if self.kept {
            self.spans.push(span);
        }
    }

    /// The row has a fault, and goes on.
    fn refuse_row(&mut self, why: &str) {
        self.row_fault.get_or_insert_with(|| KeyFault::Refused(why.into()));
    }

    fn end_row(&mut self, fault: Option<KeyFault>) -> bool {
        let fault = self.row_fault.take().or(fault);
        if self.kept {
            if let Some(fault) = fault {
                self.spans.truncate(self.row * self.width);
                self.faults.push((self.row, fault));
            }
            self.spans.resize((self.row + 1) * self.width, Span::ABSENT);
        }
        self.row += 1;
        self.asked = false;
        self.part = Part::Start;
        true
    }
}

#[cfg(test)]
mod tests;

//! Cuts input into lines, or into CSV records (whose quotes may hold line breaks), chunk by chunk.
//!
//! Invariant: never holds more than the limit; a longer piece is counted, thrown away and named by its length.

use std::io::{self, BufRead, Read};

/// How input is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// At every line feed.
    Lines,
    /// At line feeds outside quotes (RFC 4180).
    CsvRecords,
}

/// One piece of input, without its line break (LF or CR LF).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// The bytes.
    Whole(&'a [u8]),
    /// Longer than the limit.
    TooLong {
        /// Its length in bytes.
        bytes: u64,
    },
    /// A CSV record that breaks the quoting rules; the bytes are there for the rejects file.
    BadQuotes {
        /// The bytes.
        raw: &'a [u8],
        /// What is wrong.
        problem: &'static str,
    },
}

/// Where a CSV record is between two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QuoteState {
    CellStart,
    Plain,
    Quoted,
    /// After a quote inside quotes: the end of the cell, or half of an escaped quote.
    MaybeClosed,
    ClosedCr,
}

/// The cutter. Feed it with [`Splitter::take`]; whenever that says true, [`Splitter::piece`] is the next piece.
#[derive(Debug)]
pub(super) struct Splitter {
    cut: Cut,
    bytes_max: usize,
    kept: Vec<u8>,
    /// Length of the piece so far, also where it is no longer kept; with its line break once complete.
    len: u64,
    complete: bool,
    quotes: QuoteState,
    text_after_quote: bool,
    line: u64,
    lines_in_piece: u64,
}

impl Splitter {
    pub(super) fn new(cut: Cut, bytes_max: usize) -> Self {
        Self {
            cut,
            bytes_max,
            kept: Vec::new(),
            len: 0,
            complete: false,
            quotes: QuoteState::CellStart,
            text_after_quote: false,
            line: 1,
            lines_in_piece: 0,
        }
    }

    /// The line where the current piece starts, counted from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Takes bytes off the front of `chunk` up to the end of a piece; false where the chunk ends before that.
    pub(super) fn take(&mut self, chunk: &mut &[u8]) -> bool {
        if self.complete {
            self.next_piece();
        }
        let (end, found) = match self.find_end(chunk) {
            Some(line_feed) => (line_feed + 1, true),
            None => (chunk.len(), false),
        };
        let (taken, rest) = chunk.split_at(end);
        *chunk = rest;
        self.lines_in_piece += taken.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.len += taken.len() as u64;
        // Room for the line break, which does not count.
        let room = self.bytes_max + 2;
        if self.len <= room as u64 {
            self.kept.extend_from_slice(taken);
        } else {
            // The last two bytes tell what the line break is.
            self.kept.extend_from_slice(&taken[taken.len().saturating_sub(2)..]);
            self.kept.drain(..self.kept.len().saturating_sub(2));
        }
        self.complete = found;
        found
    }

    /// Says that the input is over; true where a last piece without a line break is left.
    pub(super) fn finish(&mut self) -> bool {
        if self.complete {
            self.next_piece();
        }
        self.complete = self.len > 0;
        self.complete
    }

    /// The piece that [`Splitter::take`] or [`Splitter::finish`] completed.
    pub(super) fn piece(&self) -> Piece<'_> {
        let line_break = match self.kept.as_slice() {
            [.., b'\r', b'\n'] => 2,
            [.., b'\n'] => 1,
            _ => 0,
        };
        let len = self.len - line_break as u64;
        if len > self.bytes_max as u64 {
            return Piece::TooLong { bytes: len };
        }
        let raw = &self.kept[..self.kept.len() - line_break];
        if self.text_after_quote {
            return Piece::BadQuotes { raw, problem: "text after a closing quote" };
        }
        if self.quotes == QuoteState::Quoted {
            return Piece::BadQuotes { raw, problem: "a quote is opened and never closed" };
        }
        Piece::Whole(raw)
    }

    fn next_piece(&mut self) {
        self.kept.clear();
        self.len = 0;
        self.complete = false;
        self.quotes = QuoteState::CellStart;
        self.text_after_quote = false;
        self.line += self.lines_in_piece;
        self.lines_in_piece = 0;
    }

    fn find_end(&mut self, chunk: &[u8]) -> Option<usize> {
        match self.cut {
            Cut::Lines => chunk.iter().position(|byte| *byte == b'\n'),
            Cut::CsvRecords => chunk.iter().position(|byte| self.ends_record(*byte)),
        }
    }

    /// One step of the CSV state machine; true at the line feed that ends the record.
    fn ends_record(&mut self, byte: u8) -> bool {
        use QuoteState::{CellStart, ClosedCr, MaybeClosed, Plain, Quoted};
        let next = match (self.quotes, byte) {
            (Quoted, b'"') => MaybeClosed,
            (Quoted, _) | (CellStart | MaybeClosed, b'"') => Quoted,
            (_, b'\n') => return true,
            (_, b',') => CellStart,
            (CellStart | Plain, _) => Plain,
            (MaybeClosed, b'\r') => ClosedCr,
            (MaybeClosed | ClosedCr, _) => {
                self.text_after_quote = true;
                Plain
            }
        };
        if self.quotes == ClosedCr && byte == b',' {
            self.text_after_quote = true;
        }
        self.quotes = next;
        false
    }
}

/// A [`Splitter`] over a reader, with its place in the input.
pub(super) struct PieceReader<R> {
    reader: R,
    splitter: Splitter,
    bytes_read: u64,
}

impl<R: BufRead> PieceReader<R> {
    pub(super) fn new(reader: R, cut: Cut, bytes_max: usize) -> Self {
        Self { reader, splitter: Splitter::new(cut, bytes_max), bytes_read: 0 }
    }

    /// Reads to the end of the next piece; false at the end of the input.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        loop {
            let mut chunk = match self.reader.fill_buf() {
                Ok([]) => return Ok(self.splitter.finish()),
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let available = chunk.len();
            let complete = self.splitter.take(&mut chunk);
            let used = available - chunk.len();
            self.reader.consume(used);
            self.bytes_read += used as u64;
            if complete {
                return Ok(true);
            }
        }
    }

    /// The piece that [`PieceReader::advance`] came to.
    pub(super) fn piece(&self) -> Piece<'_> {
        self.splitter.piece()
    }

    /// The line where that piece starts, counted from 1.
    pub(super) fn line(&self) -> u64 {
        self.splitter.line()
    }

    /// Bytes used so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

/// The byte order mark that some editors put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// `raw` without a byte order mark, where it is the first line.
pub(super) fn without_bom(line: u64, raw: &[u8]) -> &[u8] {
    match line {
        1 => raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(raw),
        _ => raw,
    }
}

/// The reader behind a byte order mark, where there is one.
pub(super) fn skip_bom<R: BufRead>(mut reader: R) -> io::Result<io::Chain<io::Cursor<Vec<u8>>, R>> {
    let mut start = Vec::with_capacity(BYTE_ORDER_MARK.len());
    reader.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut start)?;
    if start == BYTE_ORDER_MARK {
        start.clear();
    }
    Ok(io::Cursor::new(start).chain(reader))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every piece as (line, text or what is wrong), read through chunks of `chunk_bytes`.
    fn pieces(
        cut: Cut,
        bytes_max: usize,
        chunk_bytes: usize,
        input: &[u8],
    ) -> Vec<(u64, Result<Vec<u8>, String>)> {
        let buffered = io::BufReader::with_capacity(chunk_bytes, input);
        let mut reader = PieceReader::new(buffered, cut, bytes_max);
        let mut seen = Vec::new();
        while reader.advance().unwrap() {
            seen.push((
                reader.line(),
                match reader.piece() {
                    Piece::Whole(raw) => Ok(raw.to_vec()),
                    other => Err(format!("{other:?}")),
                },
            ));
        }
        assert_eq!(reader.bytes_read(), input.len() as u64);
        seen
    }

    #[test]
    fn lines_end_in_lf_or_crlf_and_the_last_may_lack_both() {
        let seen = pieces(Cut::Lines, 10, 2, b"a\r\n\nb\rc\nd");
        assert_eq!(
            seen,
            [(1, Ok(b"a".to_vec())), (2, Ok(vec![])), (3, Ok(b"b\rc".to_vec())), (4, Ok(b"d".to_vec()))]
        );
    }

    #[test]
    fn a_line_at_the_limit_passes_and_one_above_is_counted_and_dropped() {
        for chunk_bytes in [1, 2, 3, 5, 64] {
            let seen = pieces(Cut::Lines, 4, chunk_bytes, b"1234\r\n12345\n123456789\r\n1234\nxxxxxx");
            let too_long = |bytes: u64| Err(format!("{:?}", Piece::TooLong { bytes }));
            assert_eq!(seen[0], (1, Ok(b"1234".to_vec())));
            assert_eq!(seen[1], (2, too_long(5)));
            assert_eq!(seen[2], (3, too_long(9)));
            assert_eq!(seen[3], (4, Ok(b"1234".to_vec())));
            assert_eq!(seen[4], (5, too_long(6)));
            assert_eq!(seen.len(), 5);
        }
    }

    #[test]
    fn a_long_line_is_not_kept() {
        let mut splitter = Splitter::new(Cut::Lines, 8);
        for _ in 0..1000 {
            assert!(!splitter.take(&mut &[b'x'; 100][..]));
            assert!(splitter.kept.capacity() <= 16);
        }
        assert!(splitter.take(&mut &b"\n"[..]));
        assert!(matches!(splitter.piece(), Piece::TooLong { bytes: 100_000 }));
    }

    #[test]
    fn broken_quotes_are_told_from_whole_records() {
        let seen =
            pieces(Cut::CsvRecords, 100, 3, b"a,\"b\n\"\"c\"\r\nd,\"e\"x\nf,\"g\"\rh\ni\"j,k\nl,\"m\n");
        assert_eq!(seen[0], (1, Ok(b"a,\"b\n\"\"c\"".to_vec())));
        assert!(seen[1].1.as_ref().is_err_and(|error| error.contains("after a closing quote")));
        assert_eq!(seen[1].0, 3);
        assert!(seen[2].1.is_err());
        assert_eq!(seen[3], (5, Ok(b"i\"j,k".to_vec())), "a quote inside plain text is text");
        assert!(seen[4].1.as_ref().is_err_and(|error| error.contains("never closed")));
        assert_eq!(seen.len(), 5);
    }

    proptest::proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_input_is_chunked(input in "[ab\r\n]{0,40}", chunk_bytes in 1_usize..9) {
            let expected: Vec<Vec<u8>> = input.split_inclusive('\n').map(|line| {
                let line = line.strip_suffix('\n').map_or(line, |l| l.strip_suffix('\r').unwrap_or(l));
                line.as_bytes().to_vec()
            }).collect();
            let seen = pieces(Cut::Lines, 100, chunk_bytes, input.as_bytes());
            let texts: Vec<Vec<u8>> = seen.iter().map(|(_, text)| text.clone().unwrap()).collect();
            proptest::prop_assert_eq!(texts, expected);
            proptest::prop_assert!(seen.iter().map(|(line, _)| *line).eq(1..=seen.len() as u64));
        }
    }
}

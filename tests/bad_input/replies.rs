//! What a node sends: a reply is read the same however it is cut, and one that is none is refused, not believed.

use proptest::prelude::*;
use slotwise::model::Span;
use slotwise::shard::ReplyScanner;
use slotwise::slot::NodeAddr;

use crate::cases::try_many;
use crate::mutate::{Bytes, Material, inputs};
use crate::scanner;

/// A reply to one `HMGET`, by what it should be read as.
#[derive(Debug, Clone)]
enum Row {
    Cells(Vec<Option<Vec<u8>>>),
    Fault(String),
}

const WIDTH: usize = 3;

fn row() -> impl Strategy<Value = Row> {
    let cell =
        prop::option::weighted(0.7, prop::collection::vec(prop::sample::select(&b"a\r\n$*-1:"[..]), 0..6));
    prop_oneof![
        4 => prop::collection::vec(cell, WIDTH).prop_map(Row::Cells),
        1 => prop::sample::select(FAULTS).prop_map(|fault| Row::Fault(fault.to_owned())),
    ]
}

const FAULTS: &[&str] = &[
    "-MOVED 5 h:2\r\n",
    "-ASK 5 h:2\r\n",
    "-ERR \r\n",
    "!5\r\nERR x\r\n",
    "*1\r\n$1\r\na\r\n",
    ":7\r\n",
    "_\r\n",
    "+OK\r\n",
];

impl Row {
    /// As a server may write it: RESP2 and RESP3, with what may come unasked.
    fn write(&self, variant: u8, reply: &mut Vec<u8>) {
        match variant % 8 {
            0 => reply.extend_from_slice(b">2\r\n$7\r\nmessage\r\n$1\r\nx\r\n"),
            1 => reply.extend_from_slice(b"|1\r\n+ttl\r\n:3\r\n"),
            _ => {}
        }
        let cells = match self {
            Self::Fault(text) => return reply.extend_from_slice(text.as_bytes()),
            Self::Cells(cells) => cells,
        };
        reply.extend_from_slice(format!("*{}\r\n", cells.len()).as_bytes());
        for cell in cells {
            match cell {
                Some(text) => {
                    reply.extend_from_slice(format!("${}\r\n", text.len()).as_bytes());
                    reply.extend_from_slice(text);
                    reply.extend_from_slice(b"\r\n");
                }
                None => reply.extend_from_slice(if variant & 8 == 0 { b"_\r\n" } else { b"$-1\r\n" }),
            }
        }
    }
}

#[test]
fn a_reply_is_read_the_same_wherever_it_is_cut() {
    let replies = prop::collection::vec((row(), any::<u8>()), 1..4);
    try_many("whole replies, cut everywhere", replies, |rows| {
        let mut reply = Vec::new();
        rows.iter().for_each(|(row, variant)| row.write(*variant, &mut reply));
        let node = NodeAddr::new("h", 1);
        for cut in 0..=reply.len() {
            let mut scanner = ReplyScanner::new(rows.len(), WIDTH, false);
            let whole = scanner.scan(&reply[..cut], &node);
            prop_assert_eq!(whole, Ok(cut == reply.len()), "cut at {}", cut);
            prop_assert_eq!(scanner.scan(&reply, &node), Ok(true), "cut at {}", cut);
            prop_assert_eq!(scanner.taken(), reply.len());
            let (spans, faults) = scanner.finish();
            let faulty: Vec<usize> = faults.iter().map(|(row, _)| *row).collect();
            for (number, (row, _)) in rows.iter().enumerate() {
                let read = &spans[number * WIDTH..(number + 1) * WIDTH];
                match row {
                    Row::Cells(cells) => {
                        let same =
                            |(span, cell): (&Span, &Option<Vec<u8>>)| span.slice(&reply) == cell.as_deref();
                        prop_assert!(read.iter().zip(cells).all(same), "row {} cut at {}", number, cut);
                        prop_assert!(!faulty.contains(&number));
                    }
                    Row::Fault(_) => prop_assert!(faulty.contains(&number), "row {} cut at {}", number, cut),
                }
            }
        }
        Ok(())
    });
}

/// Replies to up to three rows of two cells, behind the header of `fuzz/check.rs`.
const REPLIES: Material = Material {
    valid: &[
        b"*2\r\n$1\r\na\r\n$-1\r\n*2\r\n_\r\n$0\r\n\r\n*2\r\n$2\r\n\r\n\r\n$1\r\nb\r\n",
        b"-MOVED 9112 h:7002\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n!9\r\nLOADING x\r\n",
        b"|1\r\n+ttl\r\n:3\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n>1\r\n+x\r\n*2\r\n_\r\n_\r\n*0\r\n",
        b"*2\r\n$1\r\na\r\n=5\r\ntxt:b\r\n*2\r\n,1.5\r\n#t\r\n%1\r\n+a\r\n:1\r\n",
        b"*-1\r\n$-1\r\n*2\r\n*2\r\n:1\r\n(12\r\n~1\r\n$1\r\nx\r\n",
        b"*?\r\n$1\r\na\r\n.\r\n$?\r\n;1\r\na\r\n;0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    ],
    pieces: &[
        b"\r\n",
        b"\n",
        b"\r",
        b"$-1\r\n",
        b"$-2\r\n",
        b"*-1\r\n",
        b"_\r\n",
        b"$0\r\n\r\n",
        b"-ERR x\r\n",
        b"+OK\r\n",
        b"*1\r\n",
        b"*2\r\n",
        b"$9223372036854775807\r\n",
        b"$9223372036854775808\r\n",
        b"*9223372036854775807\r\n",
        b"%4611686018427387904\r\n",
        b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        b"-1",
        b"0",
        b"00",
        b"+1",
        b" 1",
        b"1e3",
        b">1\r\n",
        b"|1\r\n",
        b"-MOVED 99999 h:1\r\n",
        b"-ASK x y\r\n",
        b"-MOVED 1 :\r\n",
        b"\xff",
        b"\x00",
        b"HTTP/1.1 200 OK\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
    marks: b"\n*$-+:!>|",
};

#[test]
fn a_reply_that_was_changed_is_read_in_one_way_or_refused() {
    let headers = (0..5_u8, 0..3_u8, any::<u8>(), prop::collection::vec(any::<u8>(), 0..4));
    try_many("changed replies", (headers, inputs(REPLIES)), |((rows, width, flags, cuts), Bytes(reply))| {
        let mut data = vec![rows, width, flags, u8::try_from(cuts.len()).unwrap()];
        data.extend_from_slice(&cuts);
        data.extend_from_slice(&reply);
        scanner::check(&data);
        Ok(())
    });
}

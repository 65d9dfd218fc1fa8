//! Valid input, changed a little, and input that never was valid.

use std::fmt;
use std::ops::Deref;

use proptest::prelude::*;

/// Bytes that a failing test shows as text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// What an input is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Material {
    /// Inputs that are right.
    pub(crate) valid: &'static [&'static [u8]],
    /// What is put in, or in the place of a part. The first third could stand there, and is taken more often.
    pub(crate) pieces: &'static [&'static [u8]],
    /// Bytes that part a text into parts.
    pub(crate) marks: &'static [u8],
}

/// A change: its kind, where, and with what; each is taken modulo what there is.
type Change = (u8, u16, u16);

/// Seven in eight: a valid input with up to three changes. The others: pieces, marks and any bytes in a row.
pub(crate) fn inputs(material: Material) -> impl Strategy<Value = Bytes> + Send {
    let changed = (any::<u16>(), prop::collection::vec(any::<Change>(), 0..4))
        .prop_map(move |(which, changes)| material.changed(usize::from(which), &changes));
    let never_valid =
        prop::collection::vec(any::<(u8, u16)>(), 0..24).prop_map(move |parts| material.made(&parts));
    prop_oneof![7 => changed, 1 => never_valid]
}

impl Material {
    fn changed(&self, which: usize, changes: &[Change]) -> Bytes {
        let mut bytes = self.valid[which % self.valid.len()].to_vec();
        for (kind, at, with) in changes {
            self.change(&mut bytes, kind % 16, usize::from(*at), usize::from(*with));
        }
        Bytes(bytes)
    }

    fn change(&self, bytes: &mut Vec<u8>, kind: u8, at: usize, with: usize) {
        let place = at % (bytes.len() + 1);
        let end = (place + 1 + with % 16).min(bytes.len());
        let piece = self.pieces[with % self.pieces.len()];
        match kind {
            0 => bytes.truncate(place),
            1 => drop(bytes.drain(place..end)),
            2 => {
                let again = bytes[place..end].to_vec();
                bytes.splice(place..place, again);
            }
            3 => drop(bytes.splice(place..place, piece.iter().copied())),
            4 if place < bytes.len() => bytes[place] ^= 1 << (with % 8),
            5 if place < bytes.len() => bytes[place] = with.to_le_bytes()[0],
            6 => {
                let (from, to) = self.part(bytes, at);
                bytes.splice(from..to, piece.iter().copied());
            }
            7 => {
                // One part in the place of another: a name twice, a value of another kind.
                let (from, to) = self.part(bytes, with);
                let other = bytes[from..to].to_vec();
                let (from, to) = self.part(bytes, at);
                bytes.splice(from..to, other);
            }
            8 => {
                let (from, to) = self.part(bytes, at);
                bytes.drain(from..to);
            }
            _ => {
                let (from, to) = self.part(bytes, at);
                bytes.splice(from..to, self.pieces[with % (self.pieces.len() / 3)].iter().copied());
            }
        }
    }

    /// Where the part begins and ends that has this number.
    fn part(&self, bytes: &[u8], number: usize) -> (usize, usize) {
        let marks: Vec<usize> = (0..bytes.len()).filter(|at| self.marks.contains(&bytes[*at])).collect();
        let number = number % (marks.len() + 1);
        let from = if number == 0 { 0 } else { marks[number - 1] + 1 };
        (from, marks.get(number).copied().unwrap_or(bytes.len()))
    }

    fn made(&self, parts: &[(u8, u16)]) -> Bytes {
        let mut bytes = Vec::new();
        for (kind, with) in parts {
            let number = usize::from(*with);
            match kind % 4 {
                0 => bytes.extend_from_slice(self.pieces[number % self.pieces.len()]),
                1 => bytes.push(self.marks[number % self.marks.len()]),
                2 => bytes.push(b' ' + with.to_le_bytes()[0] % 95),
                _ => bytes.push(with.to_le_bytes()[0]),
            }
        }
        Bytes(bytes)
    }
}

/// What may stand where JSON is read, and mostly may not.
pub(crate) const JSON_PIECES: &[&[u8]] = &[
    b"null",
    b"true",
    b"-0",
    b"1",
    b"-1",
    b"1.5",
    b"1e999",
    b"18446744073709551616",
    b"\"\"",
    b"\"a\"",
    b"\"ids\"",
    b"\"features\"",
    b"\"\\u0000\"",
    b"\"\\ud800\"",
    b"{\"a\":1}",
    b"1e-999",
    b"01",
    b"NaN",
    b"-Infinity",
    b"18446744073709551615",
    b"123456789012345678901234567890123456789012345678901234567890",
    b"\"\\udc00\\ud800\"",
    b"\"\\x\"",
    b"\"\x00\"",
    b"\"",
    b"\\",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\x00",
    b"\n",
    b" ",
    b",",
    b"{}",
    b"[]",
    b"[[]]",
    b"{\"a\":{\"a\":1}}",
    b"\"id\":\"x\",",
    b"\"features\":{\"f\":1},",
    b"\"entity\":\"lost\",",
    b"\"\xf0\x9f\xa6\x80\"",
    &[b'['; 300],
    &[b'{'; 20],
    &[b'x'; 1_100],
    NESTED,
];

/// Deeper than any parser should follow.
const NESTED: &[u8] = &{
    let mut bytes = [b'['; 4_000];
    let mut at = 1_500;
    while at < 3_000 {
        bytes[at] = b'1';
        at += 1;
    }
    while at < 4_000 {
        bytes[at] = b']';
        at += 1;
    }
    bytes
};

/// The marks of JSON.
pub(crate) const JSON_MARKS: &[u8] = b"{}[]:,\n";

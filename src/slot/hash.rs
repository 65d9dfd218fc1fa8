//! Hash slots: which of the 16,384 slots of a Redis Cluster a key belongs to.
//!
//! Invariant: a [`Slot`] is below [`SLOT_COUNT`].

use std::fmt;

/// Slots of a Redis Cluster.
pub const SLOT_COUNT: u16 = 16_384;

/// A hash slot, below [`SLOT_COUNT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of that number; `None` from [`SLOT_COUNT`] on.
    pub fn new(number: u16) -> Option<Self> {
        (number < SLOT_COUNT).then_some(Self(number))
    }

    /// The slot of a key: CRC16 (XMODEM) of its hash tag, modulo [`SLOT_COUNT`].
    ///
    /// Source: the Redis Cluster specification, "Key distribution model".
    pub fn for_key(key: &[u8]) -> Self {
        Self(crc16::State::<crc16::XMODEM>::calculate(hash_tag(key)) % SLOT_COUNT)
    }

    /// The number, 0 to 16,383.
    pub fn number(self) -> u16 {
        self.0
    }

    /// The number as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The part of a key that decides its slot: what stands between the first `{` and the first `}` after it, or
/// the whole key where there is no such pair or nothing between.
///
/// Source: the Redis Cluster specification, "Hash tags".
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let rest = &key[open + 1..];
    match rest.iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(close) => &rest[..close],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_tags_follow_the_specification() {
        // The examples of the specification, and its check value for CRC16.
        assert_eq!(crc16::State::<crc16::XMODEM>::calculate(b"123456789"), 0x31C3);
        assert_eq!(hash_tag(b"{user1000}.following"), b"user1000");
        assert_eq!(hash_tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hash_tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hash_tag(b"foo{bar}{zap}"), b"bar");
        assert_eq!(hash_tag(b"foo}bar{"), b"foo}bar{");
        assert_eq!(hash_tag(b""), b"");
        assert_eq!(Slot::for_key(b"{user1000}.following"), Slot::for_key(b"{user1000}.followers"));
    }

    #[test]
    fn a_slot_is_below_the_count() {
        assert_eq!(Slot::new(16_383).map(Slot::number), Some(16_383));
        assert_eq!(Slot::new(16_384), None);
    }
}

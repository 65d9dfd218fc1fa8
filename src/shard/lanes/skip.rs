//! Passing over values that nobody wants, as they arrive: strings of any length, lists in lists.

use crate::model::limits::REPLY_DEPTH_MAX;

use super::resp::{Head, Malformed, head};

/// What is still to be passed over: the rest of a string with its line end, then values, per level of nesting.
#[derive(Debug, Default)]
pub(super) struct Skip {
    string_left: usize,
    left: [usize; REPLY_DEPTH_MAX],
    depth: usize,
}

impl Skip {
    /// A string of `len` bytes and its line end.
    pub(super) fn string(&mut self, len: usize) {
        self.string_left = len + 2;
    }

    /// So many values.
    pub(super) fn values(&mut self, values: usize) -> Result<(), Malformed> {
        let level = self.left.get_mut(self.depth).ok_or(Malformed("values nested too deep"))?;
        *level = values;
        self.depth += 1;
        Ok(())
    }

    /// What belongs to a head that has been taken.
    pub(super) fn rest_of(&mut self, head: Head) -> Result<(), Malformed> {
        match head {
            Head::Nil | Head::Line | Head::ErrorLine => Ok(()),
            Head::Text(len) | Head::ErrorText(len) => {
                self.string(len);
                Ok(())
            }
            Head::List(values) | Head::Other(values) | Head::Push(values) => self.values(values),
            // Its own values, and the one that it describes.
            Head::Attribute(values) => self.values(values + 1),
        }
    }

    /// Passes over what there is, from `at` on; false where more bytes are needed.
    pub(super) fn pass(&mut self, bytes: &[u8], at: &mut usize) -> Result<bool, Malformed> {
        loop {
            if self.string_left > 0 {
                let text = (self.string_left - 2).min(bytes.len().saturating_sub(*at));
                *at += text;
                self.string_left -= text;
                if self.string_left > 2 {
                    return Ok(false);
                }
                match bytes.get(*at..*at + 2) {
                    None => return Ok(false),
                    Some(b"\r\n") => (*at, self.string_left) = (*at + 2, 0),
                    Some(_) => return Err(Malformed("a string of another length than it said")),
                }
            }
            while self.depth > 0 && self.left[self.depth - 1] == 0 {
                self.depth -= 1;
            }
            if self.depth == 0 {
                return Ok(true);
            }
            let Some((head, _, next)) = head(bytes, *at)? else { return Ok(false) };
            *at = next;
            self.left[self.depth - 1] -= 1;
            self.rest_of(head)?;
        }
    }
}

/// How many bytes at the front are whole pushes. Errors where something else is there: with nobody waiting, it would
/// become somebody's reply.
pub(super) fn whole_pushes(bytes: &[u8]) -> Result<usize, Malformed> {
    let (mut whole, mut at, mut skip) = (0, 0, Skip::default());
    while let Some(first) = bytes.get(at) {
        if *first != b'>' {
            return Err(Malformed("a reply that nobody asked for"));
        }
        let Some((head, _, next)) = head(bytes, at)? else { break };
        at = next;
        skip.rest_of(head)?;
        if !skip.pass(bytes, &mut at)? {
            break;
        }
        whole = at;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pushes_are_passed_over_and_nothing_else_is() {
        let pushes = b">2\r\n+a\r\n*1\r\n$3\r\n\r\n>\r\n>0\r\n";
        assert_eq!(whole_pushes(pushes), Ok(pushes.len()));
        for cut in 0..pushes.len() {
            let whole = if cut < pushes.len() - 4 { 0 } else { pushes.len() - 4 };
            assert_eq!(whole_pushes(&pushes[..cut]), Ok(whole), "cut at {cut}");
        }
        for other in ["+OK\r\n", "*1", "$", "\r\n", "|1\r\n", "x"] {
            assert!(whole_pushes(other.as_bytes()).is_err(), "{other:?}");
            assert!(whole_pushes(&[pushes, other.as_bytes()].concat()).is_err(), "{other:?} behind pushes");
        }
    }
}

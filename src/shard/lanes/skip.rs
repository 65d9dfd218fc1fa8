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

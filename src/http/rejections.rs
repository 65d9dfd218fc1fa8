//! The rejected rows that the answer to a bulk load names: the first ones, within a limit.

use super::error::shortened;
use super::wire::RejectedRow;

/// Longest reason of one rejected row, in bytes: some repeat what the line held.
const REASON_BYTES_MAX: usize = 512;

/// Rejected rows, as many as an answer may name.
#[derive(Debug)]
pub(super) struct Rejections {
    rows_max: usize,
    rows: Vec<RejectedRow>,
    count: u64,
}

impl Rejections {
    pub(super) fn new(rows_max: usize) -> Self {
        Self { rows_max, rows: Vec::new(), count: 0 }
    }

    pub(super) fn add(&mut self, line: u64, error: String) {
        self.count += 1;
        if self.rows.len() < self.rows_max {
            self.rows.push(RejectedRow { line, error: shortened(error, REASON_BYTES_MAX) });
        }
    }

    /// All there were, named or not.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// By line. Rows are decided in another order: a line that is no row before the rows of the batch it is in.
    pub(super) fn into_rows(mut self) -> Vec<RejectedRow> {
        self.rows.sort_by_key(|row| row.line);
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections_are_named_up_to_the_limit_and_counted_beyond() {
        let mut rejections = Rejections::new(2);
        for line in [7, 3, 9] {
            rejections.add(line, "x".repeat(REASON_BYTES_MAX + 1));
        }
        assert_eq!(rejections.count(), 3);
        let rows = rejections.into_rows();
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [3, 7]);
        assert_eq!(rows[0].error.chars().count(), REASON_BYTES_MAX + 1);
    }
}

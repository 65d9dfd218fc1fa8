//! What a scenario brought, and the table of `make chaos`.

use std::time::Duration;

use slotwise::store::Transport;

use crate::support::features::transport;
use crate::support::report_row;

/// One row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Which promise it is about; the table is sorted by it.
    pub(crate) promise: u8,
    pub(crate) fault: String,
    pub(crate) batches: usize,
    pub(crate) rows: usize,
    /// Rows answered as they were written; absent entities that were called missing are among them.
    pub(crate) found: usize,
    pub(crate) unavailable: usize,
    /// Rows with another value, wrongly missing, doubled or out of order.
    pub(crate) wrong: usize,
    pub(crate) longest: Duration,
    /// From the moment at which the cluster was able to answer again.
    pub(crate) recovered: Option<Duration>,
    pub(crate) notes: Vec<String>,
}

impl Outcome {
    /// Adds something to say.
    pub(crate) fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    fn line(&self) -> String {
        let Self { promise, fault, batches, rows, found, unavailable, wrong, longest, .. } = self;
        let transport = if transport() == Transport::Cluster { "cluster" } else { "lanes" };
        let recovered = self.recovered.map_or_else(|| "–".to_owned(), ms);
        format!(
            "| {promise} | {fault} | {transport} | {batches} | {rows} | {found} | {unavailable} | {wrong} | {} | {recovered} | {} |",
            ms(*longest),
            self.notes.join("; "),
        )
    }

    /// Appends the row to the file of `make chaos`, where it runs.
    pub(crate) fn report(&self) {
        report_row(&self.line());
    }

    /// No row failed, none is wrong.
    pub(crate) fn assert_all_found(&self) {
        assert_eq!((self.unavailable, self.wrong), (0, 0), "{self:?}");
        assert!(self.found == self.rows && self.rows > 0, "{self:?}");
    }

    /// No row is wrong, and the rest is again found within the limit.
    pub(crate) fn assert_right_and_recovered(&self, limit: Duration) {
        assert_eq!(self.wrong, 0, "{self:?}");
        assert!(self.recovered.unwrap() <= limit, "{self:?}");
    }
}

/// Milliseconds with one decimal, where that says more.
pub(crate) fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

//! The answer to a read: features across, entities down, values as spans into shared reply buffers.
//!
//! Invariants: a batch has one row per requested id, in the order asked; every row is either read (its cells
//! lie in one block) or unavailable with a reason; nothing is allocated per value.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    BatchSummary, Column, EntityId, FeatureName, FeatureValue, Projection, RowStatus, UnavailableReason,
};

/// Where a value lies in its block's bytes; or nowhere, for an absent feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// The cell of an absent feature.
    pub const ABSENT: Self = Self { start: 0, len: u32::MAX };

    /// The cell that covers `start..start + len`; `None` beyond 4 GiB.
    pub fn new(start: usize, len: usize) -> Option<Self> {
        let end = u32::try_from(start.checked_add(len)?).ok()?;
        let start = u32::try_from(start).ok()?;
        (end != u32::MAX).then_some(Self { start, len: end - start })
    }

    /// Is this the cell of an absent feature?
    pub fn is_absent(self) -> bool {
        // No other span is that long.
        self.len == u32::MAX
    }

    /// The value, out of the bytes that the cell points into; `None` where it is absent.
    pub fn slice(self, bytes: &[u8]) -> Option<&[u8]> {
        if self.is_absent() {
            return None;
        }
        let start = self.start as usize;
        bytes.get(start..start + self.len as usize)
    }
}

/// What one pipeline brought: the bytes of its values, and a span per command and feature.
#[derive(Debug, Clone, Default)]
pub struct ReplyBlock {
    /// Value bytes, shared with whoever keeps a value.
    pub bytes: Bytes,
    /// `rows × features` cells, row by row.
    pub spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
enum RowPlace {
    Read { block: u32, row: u32, status: RowStatus },
    Unavailable { reason: u32 },
}

/// A whole answer. Read it row by row with [`FeatureBatch::rows`] or cell by cell with [`FeatureBatch::value`].
#[derive(Debug, Clone)]
pub struct FeatureBatch {
    projection: Arc<Projection>,
    ids: Arc<[EntityId]>,
    blocks: Vec<ReplyBlock>,
    rows: Vec<RowPlace>,
    reasons: Vec<UnavailableReason>,
    summary: BatchSummary,
    /// Rows of which an earlier row has the key already; `None` where that is not known.
    repeats: Option<Vec<u32>>,
}

impl FeatureBatch {
    /// The features, in the order of the cells.
    pub fn features(&self) -> &[FeatureName] {
        self.projection.names()
    }

    /// What was asked for, with what is known of each feature.
    pub fn projection(&self) -> &Arc<Projection> {
        &self.projection
    }

    /// The ids, in the order asked.
    pub fn ids(&self) -> &[EntityId] {
        &self.ids
    }

    /// Number of rows; one per requested id.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True where no id was asked for.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows by status, and shards asked.
    pub fn summary(&self) -> &BatchSummary {
        &self.summary
    }

    /// The row of the id at `index` in the request.
    pub fn row(&self, index: usize) -> Option<RowView<'_>> {
        let place = self.rows.get(index)?;
        let id = self.ids.get(index)?;
        Some(match *place {
            RowPlace::Read { block, row, status } => {
                let block = self.blocks.get(block as usize)?;
                let width = self.projection.len();
                let start = row as usize * width;
                let spans = block.spans.get(start..start + width)?;
                RowView {
                    id,
                    status,
                    reason: None,
                    bytes: &block.bytes,
                    spans,
                    columns: self.projection.columns(),
                }
            }
            RowPlace::Unavailable { reason } => RowView {
                id,
                status: RowStatus::Unavailable,
                reason: self.reasons.get(reason as usize),
                bytes: &[],
                spans: &[],
                columns: self.projection.columns(),
            },
        })
    }

    /// All rows, in the order asked.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = RowView<'_>> {
        // `row` answers for every index below `len`; an empty view would break that invariant loudly in tests.
        (0..self.len()).map(|index| self.row(index).unwrap_or_else(|| RowView::broken(&self.ids[index])))
    }

    /// One value: the row of an id, the column of a feature, as [`RowView::value`] gives it.
    pub fn value(&self, row: usize, feature: usize) -> Option<&[u8]> {
        self.row(row)?.value(feature)
    }

    /// One feature down all rows.
    pub fn column(&self, feature: usize) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        (0..self.len()).map(move |row| self.value(row, feature))
    }
}

/// One row of a batch. Where the request asks for defaults, they stand in for absent values, in [`RowView::value`],
/// [`RowView::values`] and [`RowView::cells`] alike; the status says what Redis had.
#[derive(Debug, Clone, Copy)]
pub struct RowView<'a> {
    /// The entity's id.
    pub id: &'a EntityId,
    /// What became of the row.
    pub status: RowStatus,
    /// Why it is unavailable, where it is.
    pub reason: Option<&'a UnavailableReason>,
    bytes: &'a [u8],
    spans: &'a [Span],
    columns: &'a [Column],
}

impl<'a> RowView<'a> {
    fn broken(id: &'a EntityId) -> Self {
        debug_assert!(false, "a row without a place");
        Self { id, status: RowStatus::Unavailable, reason: None, bytes: &[], spans: &[], columns: &[] }
    }

    /// The value of the feature at `index`, or its default; `None` where there is neither, or the row is unavailable.
    pub fn value(&self, index: usize) -> Option<&'a [u8]> {
        cell(self.spans.get(index)?, self.bytes, self.columns.get(index)?)
    }

    /// The values of all features, in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = Option<&'a [u8]>> + use<'a> {
        self.cells().map(|(_, value)| value)
    }

    /// The values of all features, in order, each with its column.
    pub fn cells(&self) -> Cells<'a> {
        Cells { bytes: self.bytes, spans: self.spans.iter(), columns: self.columns.iter() }
    }
}

/// A default takes the place of an absent value, never of one that could not be read.
fn cell<'a>(span: &Span, bytes: &'a [u8], column: &'a Column) -> Option<&'a [u8]> {
    span.slice(bytes).or_else(|| column.default.as_ref().map(FeatureValue::as_bytes))
}

/// The cells of a row; as many as there are features, also where the row is unavailable.
#[derive(Debug, Clone)]
pub struct Cells<'a> {
    bytes: &'a [u8],
    spans: std::slice::Iter<'a, Span>,
    columns: std::slice::Iter<'a, Column>,
}

impl<'a> Iterator for Cells<'a> {
    type Item = (&'a Column, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let column = self.columns.next()?;
        Some((column, self.spans.next().and_then(|span| cell(span, self.bytes, column))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.columns.size_hint()
    }
}

impl ExactSizeIterator for Cells<'_> {}

/// Puts a batch together from blocks that arrive in any order, key by key.
#[derive(Debug)]
pub struct FeatureBatchBuilder {
    projection: Arc<Projection>,
    blocks: Vec<ReplyBlock>,
    /// Blocks in which nothing is absent: their rows need no counting.
    whole: Vec<bool>,
    /// Blocks that a replica answered.
    stale: Vec<bool>,
    keys: Vec<Option<RowPlace>>,
    reasons: Vec<UnavailableReason>,
}

impl FeatureBatchBuilder {
    /// A batch of `keys` distinct keys, none of which has an answer yet.
    pub fn new(keys: usize, projection: Arc<Projection>) -> Self {
        Self {
            projection,
            blocks: Vec::new(),
            whole: Vec::new(),
            stale: Vec::new(),
            keys: vec![None; keys],
            reasons: Vec::new(),
        }
    }

    /// Takes over a block; keys are then placed in it by the returned number. `stale`: a replica answered it.
    pub fn add_block(&mut self, block: ReplyBlock, stale: bool) -> u32 {
        self.whole.push(!block.spans.iter().fold(false, |absent, span| absent | span.is_absent()));
        self.blocks.push(block);
        self.stale.push(stale);
        // One block per pipeline, and pipelines are bounded by the ids of a batch.
        u32::try_from(self.blocks.len() - 1).unwrap_or(u32::MAX)
    }

    /// Says that the key of number `key` was read: row `row` of `block`.
    pub fn place(&mut self, key: u32, block: u32, row: u32) {
        let width = self.projection.len();
        let present = if self.whole.get(block as usize) == Some(&true) {
            width
        } else {
            let start = row as usize * width;
            let spans =
                self.blocks.get(block as usize).and_then(|block| block.spans.get(start..start + width));
            debug_assert!(spans.is_some(), "row {row} is outside block {block}");
            spans.unwrap_or_default().iter().filter(|span| !span.is_absent()).count()
        };
        let status = RowStatus::of_counts(present, width);
        if let Some(slot) = self.keys.get_mut(key as usize) {
            *slot = Some(RowPlace::Read { block, row, status });
        }
    }

    /// Says that these keys could not be read.
    pub fn fail(&mut self, keys: impl IntoIterator<Item = u32>, reason: &UnavailableReason) {
        let reason = self.reason_number(reason);
        for key in keys {
            if let Some(slot) = self.keys.get_mut(key as usize) {
                *slot = Some(RowPlace::Unavailable { reason });
            }
        }
    }

    /// The batch: one row per id. `key_of_id` says which key each id has, where several ids share one; keys that
    /// have no answer are unavailable for `open_reason`.
    pub fn finish(
        mut self,
        ids: Arc<[EntityId]>,
        key_of_id: Option<&[u32]>,
        shards: usize,
        open_reason: &UnavailableReason,
    ) -> FeatureBatch {
        let open = if self.keys.iter().any(Option::is_none) { self.reason_number(open_reason) } else { 0 };
        let open = RowPlace::Unavailable { reason: open };
        let place_of_key = |key: usize| self.keys.get(key).copied().flatten().unwrap_or(open);
        let rows: Vec<RowPlace> = match key_of_id {
            None => (0..ids.len()).map(place_of_key).collect(),
            Some(keys) => keys.iter().map(|key| place_of_key(*key as usize)).collect(),
        };
        let mut summary = BatchSummary { shards, ..BatchSummary::default() };
        for row in &rows {
            let (status, stale) = match row {
                RowPlace::Read { block, status, .. } => (*status, self.stale.get(*block as usize)),
                RowPlace::Unavailable { .. } => (RowStatus::Unavailable, None),
            };
            summary.count(status);
            summary.stale_possible += usize::from(stale == Some(&true));
        }
        FeatureBatch {
            projection: self.projection,
            ids,
            blocks: self.blocks,
            rows,
            reasons: self.reasons,
            summary,
            repeats: repeats(key_of_id, self.keys.len()),
        }
    }

    fn reason_number(&mut self, reason: &UnavailableReason) -> u32 {
        let known = self.reasons.iter().position(|r| r == reason);
        let number = known.unwrap_or_else(|| {
            self.reasons.push(reason.clone());
            self.reasons.len() - 1
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }
}

/// Rows of which an earlier row has the key, told by keys that are numbered in the order of their first rows.
fn repeats(key_of_id: Option<&[u32]>, keys: usize) -> Option<Vec<u32>> {
    let (mut next, mut repeats) = (0, Vec::new());
    for (row, key) in (0..).zip(key_of_id.unwrap_or_default()) {
        if *key == next {
            next += 1;
        } else {
            repeats.push(row);
        }
    }
    // Otherwise they are numbered in another way, or keys have no row.
    (key_of_id.is_none() || next as usize == keys).then_some(repeats)
}

mod counts;
#[cfg(test)]
mod tests;

//! What there is in a batch, counted: values per feature, rows per reason.

use super::{FeatureBatch, ReplyBlock, RowPlace, Span, UnavailableReason};

/// Cells that are looked at in one go: enough of them keep the processor's wide registers busy.
const CELLS_AT_ONCE: usize = 64;

impl FeatureBatch {
    /// How many values of each feature are not of its type; added to `counts`, one per feature.
    pub fn count_unparsable(&self, counts: &mut [u64]) {
        if self.projection.columns().iter().all(|column| column.feature_type.is_none()) {
            return;
        }
        for row in self.rows() {
            for (count, (column, cell)) in counts.iter_mut().zip(row.cells()) {
                *count += u64::from(cell.is_some_and(|value| !column.parses(value)));
            }
        }
    }

    /// How many rows that were read have no value of each feature; added to `counts`, one per feature. A default is no
    /// value. Only where rows are partial, cells are looked at.
    pub fn count_absent(&self, counts: &mut [u64]) {
        let (missing, partial) = (self.summary.missing as u64, self.summary.partial);
        if partial == 0 {
            counts.iter_mut().for_each(|count| *count += missing);
            return;
        }
        let width = self.projection.len().max(1);
        let rows_of = |block: &ReplyBlock| block.spans.len() / width;
        let read = self.len() - self.summary.unavailable;
        let in_blocks: usize = self.blocks.iter().map(rows_of).sum();
        self.blocks.iter().for_each(|block| add_absent(&block.spans, width, counts));
        let absent =
            |spans: &[Span], column: usize| u64::from(spans.get(column).is_some_and(|s| s.is_absent()));
        let add_row = |counts: &mut [u64], block: u32, row: u32| {
            let spans =
                self.blocks.get(block as usize).and_then(|block| block.spans.get(row as usize * width..));
            let spans = spans.unwrap_or_default();
            (0..).zip(counts).for_each(|(column, count)| *count += absent(spans, column));
        };
        // Where every place is that of a row, only rows that share the place of another one are missing in the sum.
        if let Some(repeats) = &self.repeats {
            let place = |row: &u32| match self.rows.get(*row as usize) {
                Some(RowPlace::Read { block, row, .. }) => Some((*block, *row)),
                Some(RowPlace::Unavailable { .. }) | None => None,
            };
            if read == in_blocks + repeats.iter().filter_map(place).count() {
                repeats.iter().filter_map(place).for_each(|(block, row)| add_row(counts, block, row));
                return;
            }
        }
        // Otherwise each place is looked for: one that several rows share counts once more for each, one of no row not.
        let mut seen: Vec<Vec<bool>> = self.blocks.iter().map(|block| vec![false; rows_of(block)]).collect();
        for place in &self.rows {
            let RowPlace::Read { block, row, .. } = *place else { continue };
            let Some(seen) = seen.get_mut(block as usize).and_then(|seen| seen.get_mut(row as usize)) else {
                continue;
            };
            if std::mem::replace(seen, true) {
                add_row(counts, block, row);
            }
        }
        for (block, seen) in self.blocks.iter().zip(&seen) {
            for (spans, _) in block.spans.chunks_exact(width).zip(seen).filter(|(_, seen)| !**seen) {
                (0..).zip(&mut *counts).for_each(|(column, count)| *count -= absent(spans, column));
            }
        }
    }

    /// How many rows are unavailable for which reason. Two entries may have the same kind of reason.
    pub fn unavailable(&self) -> impl Iterator<Item = (&UnavailableReason, u64)> {
        let mut counts = vec![0; self.reasons.len()];
        if self.summary.unavailable > 0 {
            for place in &self.rows {
                if let RowPlace::Unavailable { reason } = place
                    && let Some(count) = counts.get_mut(*reason as usize)
                {
                    *count += 1;
                }
            }
        }
        self.reasons.iter().zip(counts).filter(|(_, count)| *count > 0)
    }
}

/// Adds the absent cells of each of `width` columns.
fn add_absent(spans: &[Span], width: usize, counts: &mut [u64]) {
    // Several rows at once, each column with a count of its own for each of them: narrow rows would leave the registers
    // half empty.
    let rows_at_once = (CELLS_AT_ONCE / width).max(1);
    let mut wide = vec![0_u32; rows_at_once * width];
    for rows in spans.chunks(rows_at_once * width) {
        for (count, span) in wide.iter_mut().zip(rows) {
            *count += u32::from(span.is_absent());
        }
    }
    for row in wide.chunks_exact(width) {
        for (count, absent) in counts.iter_mut().zip(row) {
            *count += u64::from(*absent);
        }
    }
}

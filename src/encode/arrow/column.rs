//! Arrow arrays from the cells of a column, with a few allocations per column and none per value.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBufferBuilder, NullBufferBuilder, OffsetBuffer};
use arrow_schema::DataType;

use super::parse::{boolean, float64, int64};
use crate::model::{Column, FeatureType, RowView};

/// Most bytes of text in one array: its offsets are of 32 bits.
pub(super) const TEXT_BYTES_MAX: usize = i32::MAX as usize;
/// Room for each text at first; longer ones let the buffer grow.
const TEXT_BYTES_USUAL: usize = 12;

/// A value that is not of its column's type.
pub(super) struct Problem {
    pub(super) row: usize,
    pub(super) column: usize,
}

/// The texts of a column do not fit one array; those of its first rows do.
pub(super) struct Full {
    pub(super) rows_that_fit: usize,
}

/// The cells of one feature, down some rows.
#[derive(Clone, Copy)]
pub(super) struct Cells<'a> {
    rows: &'a [RowView<'a>],
    index: usize,
    feature_type: Option<FeatureType>,
}

impl<'a> Cells<'a> {
    pub(super) fn new(rows: &'a [RowView<'a>], index: usize, column: &'a Column) -> Self {
        Self { rows, index, feature_type: column.feature_type }
    }

    fn iter(self) -> impl ExactSizeIterator<Item = Option<&'a [u8]>> + Clone {
        self.rows.iter().map(move |row| row.value(self.index))
    }
}

/// The array of a feature; calls `wrong` with the row of every value that is not of its type.
pub(super) fn feature(
    cells: Cells<'_>,
    data_type: &DataType,
    text_bytes_max: usize,
    wrong: impl FnMut(usize),
) -> Result<ArrayRef, Full> {
    Ok(match cells.feature_type {
        None | Some(FeatureType::String) => Arc::new(text(cells.iter(), text_bytes_max, wrong)?),
        Some(FeatureType::Int64) => Arc::new(numbers::<Int64Type>(cells, int64, wrong)),
        Some(FeatureType::Float64) => Arc::new(numbers::<Float64Type>(cells, float64, wrong)),
        Some(FeatureType::Bool) => Arc::new(booleans(cells, wrong)),
        Some(FeatureType::TimestampMs) => {
            let times = numbers::<TimestampMillisecondType>(cells, int64, wrong);
            Arc::new(times.with_data_type(data_type.clone()))
        }
    })
}

/// Texts; calls `wrong` with the row of every one that is not UTF-8, which becomes null.
pub(super) fn text<'a>(
    texts: impl ExactSizeIterator<Item = Option<&'a [u8]>> + Clone,
    bytes_max: usize,
    mut wrong: impl FnMut(usize),
) -> Result<StringArray, Full> {
    // The array checks all of its bytes at once. Only where that fails, each text is looked at.
    if let Some(array) = text_unless_broken(texts.clone(), bytes_max)? {
        return Ok(array);
    }
    let whole = texts.enumerate().map(|(row, text)| {
        text.filter(|text| {
            let whole = std::str::from_utf8(text).is_ok();
            if !whole {
                wrong(row);
            }
            whole
        })
    });
    Ok(text_unless_broken(whole, bytes_max)?.unwrap_or_else(|| StringArray::new_null(0)))
}

fn text_unless_broken<'a>(
    texts: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    bytes_max: usize,
) -> Result<Option<StringArray>, Full> {
    let len = texts.len();
    let mut bytes = Vec::with_capacity(len * TEXT_BYTES_USUAL);
    let mut offsets = Vec::with_capacity(len + 1);
    let mut nulls = NullBufferBuilder::new(len);
    offsets.push(0);
    for (row, text) in texts.enumerate() {
        let text_bytes = text.unwrap_or_default();
        nulls.append(text.is_some());
        match i32::try_from(bytes.len() + text_bytes.len()) {
            Ok(end) if bytes.len() + text_bytes.len() <= bytes_max => offsets.push(end),
            _ => return Err(Full { rows_that_fit: row }),
        }
        bytes.extend_from_slice(text_bytes);
    }
    Ok(StringArray::try_new(OffsetBuffer::new(offsets.into()), bytes.into(), nulls.finish()).ok())
}

fn numbers<T: ArrowPrimitiveType>(
    cells: Cells<'_>,
    parse: impl Fn(&[u8]) -> Option<T::Native>,
    mut wrong: impl FnMut(usize),
) -> PrimitiveArray<T> {
    let len = cells.rows.len();
    let mut values = Vec::with_capacity(len);
    let mut nulls = NullBufferBuilder::new(len);
    for (row, cell) in cells.iter().enumerate() {
        let value = cell.and_then(&parse);
        if cell.is_some() && value.is_none() {
            wrong(row);
        }
        nulls.append(value.is_some());
        values.push(value.unwrap_or_default());
    }
    PrimitiveArray::new(values.into(), nulls.finish())
}

fn booleans(cells: Cells<'_>, mut wrong: impl FnMut(usize)) -> BooleanArray {
    let len = cells.rows.len();
    let mut values = BooleanBufferBuilder::new(len);
    let mut nulls = NullBufferBuilder::new(len);
    for (row, cell) in cells.iter().enumerate() {
        let value = cell.and_then(boolean);
        if cell.is_some() && value.is_none() {
            wrong(row);
        }
        nulls.append(value.is_some());
        values.append(value.unwrap_or_default());
    }
    BooleanArray::new(values.finish(), nulls.finish())
}

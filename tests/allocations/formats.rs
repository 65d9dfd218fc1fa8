//! Formats: a batch as output.

use std::sync::Arc;
use std::time::Duration;

use slotwise::encode::Format;
use slotwise::model::{
    Column, EntityId, FeatureBatch, FeatureBatchBuilder, FeatureName, FeatureType, Projection, ReplyBlock,
    Span, UnavailableReason,
};

use crate::counting::{allocations, median, turn};

const ROUNDS: usize = 9;
/// Allocations by which ten times the output may need more: it grows by doubling.
const OUTPUT_GROWTH_MAX: usize = 5;

/// Every value is a number, so that it is one of any type but `bool`, and one in nine is absent.
fn batch(rows: usize, features: usize, feature_type: Option<FeatureType>) -> FeatureBatch {
    let (mut bytes, mut spans) = (Vec::new(), Vec::new());
    for cell in 0..rows * features {
        let value = (cell * 7_919 % 100_000).to_string();
        let span = Span::new(bytes.len(), value.len()).unwrap();
        spans.push(if cell % 9 == 8 { Span::ABSENT } else { span });
        bytes.extend_from_slice(value.as_bytes());
    }
    let column = |number| Column {
        feature_type,
        ..Column::untyped(FeatureName::new(format!("feature_{number}")).unwrap())
    };
    let columns: Vec<Column> = (0..features).map(column).collect();
    let ids: Arc<[EntityId]> = (0..rows).map(|row| EntityId::new(format!("u{row:06}")).unwrap()).collect();
    let mut builder = FeatureBatchBuilder::new(rows, Arc::new(Projection::new(columns)));
    let block = builder.add_block(ReplyBlock { bytes: bytes.into(), spans }, false);
    for row in 0..u32::try_from(rows).unwrap() {
        builder.place(row, block, row);
    }
    builder.finish(ids, None, 1, &UnavailableReason::SlotUncovered)
}

fn allocations_of(format: Format, rows: usize, features: usize, feature_type: Option<FeatureType>) -> usize {
    let batch = batch(rows, features, feature_type);
    let round = |_| {
        let before = allocations();
        let output = format.encode(&batch, Duration::ZERO).unwrap();
        let after = allocations();
        assert!(output.len() > rows * features);
        after - before
    };
    median((0..ROUNDS).map(round).collect())
}

/// Allocations per feature: Arrow builds an array of each.
fn per_feature_max(format: Format) -> usize {
    match format {
        Format::Json | Format::Ndjson | Format::Csv => 0,
        #[cfg(feature = "arrow")]
        Format::Arrow => 15,
    }
}

#[tokio::test]
async fn a_format_allocates_nothing_per_row_or_value() {
    let _turn = turn().await;
    for format in Format::ALL {
        for feature_type in [None, Some(FeatureType::Int64), Some(FeatureType::Float64)] {
            let of = |rows, features| allocations_of(format, rows, features, feature_type);
            let [few, wide, long] = [of(1_000, 10), of(1_000, 100), of(10_000, 10)];
            println!(
                "{format}, {feature_type:?}: {few} for 1,000 × 10, {wide} for 1,000 × 100, {long} for 10,000 × 10"
            );
            assert!(long <= few + OUTPUT_GROWTH_MAX, "{format}: {long} with more rows, {few} without");
            let wide_max = few + 90 * per_feature_max(format) + OUTPUT_GROWTH_MAX;
            assert!(wide <= wide_max, "{format}: {wide} with more features, {few} without");
        }
    }
}

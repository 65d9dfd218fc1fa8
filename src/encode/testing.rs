//! Batches for the tests of the formats, beside the plain tables that they are made from.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use crate::model::{
    Column, EntityId, FeatureBatch, FeatureBatchBuilder, FeatureName, FeatureType, Projection, ReplyBlock,
    Span, UnavailableReason,
};

/// The cells of a row; `None` where the row is unavailable.
pub(super) type Cells = Option<Vec<Option<Vec<u8>>>>;

/// What a batch says, as plain vectors.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) features: Vec<String>,
    pub(super) rows: Vec<(String, Cells)>,
}

impl Table {
    pub(super) fn batch(&self) -> FeatureBatch {
        let features: Arc<[FeatureName]> =
            self.features.iter().map(|name| FeatureName::new(name.as_str()).unwrap()).collect();
        self.batch_of(Projection::untyped(features))
    }

    /// The batch with these columns, which have the names of the features.
    pub(super) fn batch_of(&self, projection: Projection) -> FeatureBatch {
        let ids: Arc<[EntityId]> =
            self.rows.iter().map(|(id, _)| EntityId::new(id.as_str()).unwrap()).collect();
        let mut builder = FeatureBatchBuilder::new(ids.len(), Arc::new(projection));
        // One block per row, the last row first: answers come in any order.
        for (index, (_, cells)) in self.rows.iter().enumerate().rev() {
            let Some(cells) = cells else { continue };
            let mut bytes = Vec::new();
            let spans = cells
                .iter()
                .map(|cell| match cell {
                    None => Span::ABSENT,
                    Some(value) => {
                        bytes.extend_from_slice(value);
                        Span::new(bytes.len() - value.len(), value.len()).unwrap()
                    }
                })
                .collect();
            let block = builder.add_block(ReplyBlock { bytes: bytes.into(), spans }, false);
            builder.place(u32::try_from(index).unwrap(), block, 0);
        }
        builder.finish(
            ids,
            None,
            3,
            &UnavailableReason::DeadlineExceeded(Some("shard said \"LOADING\"".into())),
        )
    }

    /// The status that a row with these cells has.
    pub(super) fn status(&self, cells: &Cells) -> &'static str {
        let Some(cells) = cells else { return "unavailable" };
        match cells.iter().flatten().count() {
            0 => "missing",
            present if present == self.features.len() => "found",
            _ => "partial",
        }
    }
}

/// An id and the cells of its row, borrowed.
type TextRow<'a> = (&'a str, Option<&'a [Option<&'a [u8]>]>);

/// The table of these rows.
fn table_of(features: &[&str], rows: &[TextRow<'_>]) -> Table {
    let cells = |cells: &[Option<&[u8]>]| cells.iter().map(|cell| cell.map(<[u8]>::to_vec)).collect();
    Table {
        features: features.iter().map(ToString::to_string).collect(),
        rows: rows.iter().map(|(id, row)| (id.to_string(), row.map(cells))).collect(),
    }
}

/// The batch of these rows.
pub(super) fn batch(features: &[&str], rows: &[TextRow<'_>]) -> FeatureBatch {
    table_of(features, rows).batch()
}

/// Features of every type and one without, with defaults for two of them: rows that are whole, not of their types,
/// partial, missing and unavailable.
pub(super) fn typed_sample() -> FeatureBatch {
    let known: [(&str, Option<FeatureType>, Option<&str>); 6] = [
        ("count", Some(FeatureType::Int64), Some("0")),
        ("score", Some(FeatureType::Float64), None),
        ("vip", Some(FeatureType::Bool), None),
        ("seen", Some(FeatureType::TimestampMs), None),
        ("name", Some(FeatureType::String), Some("")),
        ("other", None, None),
    ];
    let cells = |texts: &[&'static str]| texts.iter().map(|text| Some(text.as_bytes())).collect::<Vec<_>>();
    let whole = cells(&["+12", "0.50", "true", "1760000000000", "a\"b", "7"]);
    let mut wrong = cells(&["12.5", "half", "yes", "", "", "7"]);
    wrong[4] = Some(b"\xff");
    let rows: [TextRow<'_>; 5] = [
        ("whole", Some(&whole)),
        ("wrong", Some(&wrong)),
        ("partial", Some(&[None, Some(b"NaN"), None, None, None, None])),
        ("missing", Some(&[None; 6])),
        ("away", None),
    ];
    let columns = known.map(|(name, feature_type, default)| Column {
        name: FeatureName::new(name).unwrap(),
        feature_type,
        default: default.map(Into::into),
    });
    table_of(&known.map(|(name, ..)| name), &rows).batch_of(Projection::new(columns))
}

/// A row of every status, with values that are awkward in every format.
pub(super) fn sample() -> FeatureBatch {
    batch(
        &["risk", "a,\"b\""],
        &[
            ("u0001", Some(&[Some(b"low"), Some(b"")])),
            ("u \"2\",\n", Some(&[Some(b"a\"b,c\r\n\x01\\"), None])),
            ("u🦀", Some(&[None, None])),
            ("u0004", None),
            ("u0001", Some(&[Some(b"\xff\xfe"), Some("é".as_bytes())])),
        ],
    )
}

/// Tables of any ids, names and value bytes, quotes, commas and line breaks among them.
pub(super) fn table() -> impl Strategy<Value = Table> {
    let text = || prop_oneof!["[a-z\",\n\r\\\\\u{0}-\u{1f}\u{1f980}]{1,6}", ".{1,6}"];
    let value = prop_oneof![
        "[a-z\",\n\r\\\\\u{0}-\u{1f}\u{1f980}]{0,6}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::btree_set(text(), 1..5).prop_flat_map(move |features| {
        let cells = proptest::collection::vec(proptest::option::of(value.clone()), features.len());
        let row = (text(), proptest::option::weighted(0.9, cells));
        let features: Vec<String> = features.into_iter().collect();
        proptest::collection::vec(row, 0..8).prop_map(move |rows| Table { features: features.clone(), rows })
    })
}

/// What an independent reader makes of a cell in JSON.
pub(super) fn json_cell(value: &serde_json::Value) -> Option<Vec<u8>> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone().into_bytes()),
        other => {
            let encoded = other["base64"].as_str().unwrap();
            let bytes = STANDARD.decode(encoded).unwrap();
            assert!(std::str::from_utf8(&bytes).is_err(), "text is never base64");
            Some(bytes)
        }
    }
}

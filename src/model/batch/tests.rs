//! Rows put together from blocks: order, statuses, defaults, spans.

use super::*;

fn names<T: for<'a> TryFrom<&'a str>>(texts: &[&str]) -> Arc<[T]> {
    texts.iter().filter_map(|text| T::try_from(text).ok()).collect()
}

fn block(values: &[Option<&str>]) -> ReplyBlock {
    let mut bytes = Vec::new();
    let spans = values
        .iter()
        .map(|value| match value {
            None => Span::ABSENT,
            Some(text) => {
                bytes.extend_from_slice(text.as_bytes());
                Span::new(bytes.len() - text.len(), text.len()).unwrap()
            }
        })
        .collect();
    ReplyBlock { bytes: bytes.into(), spans }
}

#[test]
fn rows_come_back_in_the_order_asked_with_their_status() {
    let mut builder = FeatureBatchBuilder::new(3, Arc::new(Projection::untyped(names(&["x", "y"]))));
    let late = builder.add_block(block(&[None, None]), false);
    let early = builder.add_block(block(&[Some("1"), Some(""), None, Some("2")]), false);
    builder.place(0, early, 0);
    builder.place(1, early, 1);
    builder.place(2, late, 0);
    let ids = names(&["a", "b", "c", "a"]);
    let batch = builder.finish(ids, Some(&[0, 1, 2, 0]), 2, &UnavailableReason::SlotUncovered);

    let seen: Vec<_> = batch.rows().map(|row| (row.id.to_string(), row.status)).collect();
    assert_eq!(
        seen,
        [
            ("a".into(), RowStatus::Found),
            ("b".into(), RowStatus::Partial),
            ("c".into(), RowStatus::Missing),
            ("a".into(), RowStatus::Found)
        ]
    );
    assert_eq!(batch.value(0, 1), Some(&b""[..]), "an empty value is not an absent one");
    assert_eq!(batch.value(1, 0), None);
    assert_eq!(batch.value(3, 0), Some(&b"1"[..]));
    assert_eq!(batch.column(1).collect::<Vec<_>>(), [Some(&b""[..]), Some(b"2"), None, Some(b"")]);
}

#[test]
fn a_row_without_an_answer_is_unavailable_and_never_missing() {
    let mut builder = FeatureBatchBuilder::new(2, Arc::new(Projection::untyped(names(&["x"]))));
    builder.fail([0], &UnavailableReason::SlotUncovered);
    let late = UnavailableReason::DeadlineExceeded(None);
    let batch = builder.finish(names(&["a", "b"]), None, 1, &late);
    assert_eq!(batch.summary().unavailable, 2);
    assert_eq!(batch.row(0).unwrap().reason, Some(&UnavailableReason::SlotUncovered));
    assert_eq!(batch.row(1).unwrap().reason, Some(&late));
    assert_eq!(batch.row(1).unwrap().values().collect::<Vec<_>>(), [None]);
}

#[test]
fn a_default_stands_in_for_an_absent_value_but_never_for_one_that_could_not_be_read() {
    let columns: Vec<Column> = ["x", "y"]
        .map(|name| Column { default: Some("0".into()), ..Column::untyped(FeatureName::new(name).unwrap()) })
        .into();
    let mut builder = FeatureBatchBuilder::new(3, Arc::new(Projection::new(columns)));
    let read = builder.add_block(block(&[Some("7"), None, None, None]), false);
    builder.place(0, read, 0);
    builder.place(1, read, 1);
    let batch = builder.finish(names(&["a", "b", "c"]), None, 1, &UnavailableReason::SlotUncovered);
    let values: Vec<_> = batch.rows().map(|row| row.values().collect::<Vec<_>>()).collect();
    let (seven, zero) = (Some(&b"7"[..]), Some(&b"0"[..]));
    assert_eq!(values, [[seven, zero], [zero, zero], [None, None]]);
    assert_eq!(batch.column(1).collect::<Vec<_>>(), [zero, zero, None]);
    let statuses: Vec<_> = batch.rows().map(|row| row.status).collect();
    assert_eq!(statuses, [RowStatus::Partial, RowStatus::Missing, RowStatus::Unavailable]);
}

#[test]
fn a_span_never_passes_for_an_absent_one() {
    assert_eq!(Span::new(u32::MAX as usize, 1), None);
    assert_eq!(Span::new(0, u32::MAX as usize), None);
    assert_eq!(Span::new(usize::MAX, 1), None);
    assert!(Span::new(7, 0).is_some_and(|span| span != Span::ABSENT));
}

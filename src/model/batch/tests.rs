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

/// Counts cell by cell, as anybody would.
fn absent_by_hand(batch: &FeatureBatch) -> Vec<u64> {
    let absent = |column: usize| {
        let read = batch.rows().filter(|row| row.status != RowStatus::Unavailable);
        read.filter(|row| row.value(column).is_none()).count() as u64
    };
    (0..batch.features().len()).map(absent).collect()
}

fn absent(batch: &FeatureBatch) -> Vec<u64> {
    let mut counts = vec![0; batch.features().len()];
    batch.count_absent(&mut counts);
    counts
}

proptest::proptest! {
    /// Blocks of rows, in any order, some of them asked for twice, some not at all, some keys not read.
    #[test]
    fn absent_values_are_counted_wherever_they_lie(
        width in 1..80_usize,
        present in proptest::collection::vec(0..3_u8, 1..400),
        keys in 1..60_usize,
        blocks in 1..4_usize,
        failed in proptest::collection::vec(0..40_u32, 0..3),
        asked in proptest::option::of(proptest::collection::vec(0..40_u32, 1..60)),
        in_order: bool,
    ) {
        let features: Arc<[FeatureName]> =
            (0..width).map(|number| FeatureName::new(format!("f{number}")).unwrap()).collect();
        let mut builder = FeatureBatchBuilder::new(keys, Arc::new(Projection::untyped(features)));
        let numbers: Vec<u32> = (0..u32::try_from(keys).unwrap()).collect();
        for some in numbers.chunks(keys.div_ceil(blocks)) {
            let cell = |place: usize| (present[place % present.len()] > 0).then_some("v");
            let cells = some.iter().flat_map(|key| (0..width).map(move |column| *key as usize * width + column));
            let number = builder.add_block(block(&cells.map(cell).collect::<Vec<_>>()), false);
            for (row, key) in (0_u32..).zip(some) {
                builder.place(*key, number, row);
            }
        }
        builder.fail(failed, &UnavailableReason::SlotUncovered);
        // Any keys, or keys in order and some of them again.
        let any = |asked: &[u32]| asked.iter().map(|key| numbers[*key as usize % keys]).collect();
        let in_order_of = |asked: &[u32]| {
            let again = asked.iter().cycle().map(|key| (key % 3 == 0).then_some(*key));
            let keys = numbers.iter().zip(again);
            keys.flat_map(|(key, again)| [Some(*key), again.map(|again| again % (key + 1))]).flatten().collect()
        };
        let of_id: Option<Vec<u32>> =
            asked.as_deref().map(|asked| if in_order { in_order_of(asked) } else { any(asked) });
        let ids = (0..of_id.as_ref().map_or(keys, Vec::len)).map(|n| EntityId::new(format!("u{n}")).unwrap());
        let batch = builder.finish(ids.collect(), of_id.as_deref(), 1, &UnavailableReason::SlotUncovered);
        proptest::prop_assert_eq!(absent(&batch), absent_by_hand(&batch));
        let unavailable: u64 = batch.unavailable().map(|(_, rows)| rows).sum();
        proptest::prop_assert_eq!(unavailable, batch.summary().unavailable as u64);
    }
}

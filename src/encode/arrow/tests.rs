//! What an independent reader makes of the stream: every cell, every null, every type.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use proptest::prelude::*;

use super::super::testing::{self, Table, sample};
use super::*;
use crate::model::{FeatureName, TypedValue};

fn read(stream: &[u8]) -> (SchemaRef, Vec<RecordBatch>) {
    let mut stream = std::io::Cursor::new(stream);
    let reader = StreamReader::try_new(&mut stream, None).unwrap();
    let schema = reader.schema();
    let batches = reader.map(Result::unwrap).collect();
    assert_eq!(stream.position(), stream.get_ref().len() as u64, "nothing comes after the end");
    (schema, batches)
}

fn typed(table: &Table, types: &[Option<FeatureType>], default: Option<&str>) -> FeatureBatch {
    let column = |(name, feature_type): (&String, &Option<FeatureType>)| Column {
        name: FeatureName::new(name.as_str()).unwrap(),
        feature_type: *feature_type,
        default: default.map(Into::into),
    };
    let columns: Vec<Column> = table.features.iter().zip(types).map(column).collect();
    table.batch_of(Projection::new(columns))
}

fn encoded(batch: &FeatureBatch, text_bytes_max: usize) -> Vec<u8> {
    let mut encoder =
        ArrowEncoder::with_text_bytes_max(Arc::clone(batch.projection()), text_bytes_max).unwrap();
    let mut out = Vec::new();
    encoder.begin(&mut out);
    encoder.batch(&mut out, batch).unwrap();
    encoder.end(&mut out, Duration::ZERO).unwrap();
    out
}

/// A cell as text that tells every value of every type apart; `None` where it is null.
fn cell(column: &dyn Array, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Utf8 => format!("text {:?}", column.as_string::<i32>().value(row)),
        DataType::Int64 => format!("int {}", column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => {
            format!("float {:x}", column.as_primitive::<Float64Type>().value(row).to_bits())
        }
        DataType::Boolean => format!("bool {}", column.as_boolean().value(row)),
        DataType::Timestamp(TimeUnit::Millisecond, Some(zone)) if &**zone == "UTC" => {
            format!("time {}", column.as_primitive::<TimestampMillisecondType>().value(row))
        }
        other => panic!("{other}"),
    })
}

/// The cell that a value is to become, in the words of [`cell`].
fn expected(value: &[u8], feature_type: Option<FeatureType>) -> Option<String> {
    Some(match feature_type.unwrap_or(FeatureType::String).parse(value)? {
        TypedValue::String(text) => format!("text {text:?}"),
        TypedValue::Int64(value) => format!("int {value}"),
        TypedValue::Float64(value) => format!("float {:x}", value.to_bits()),
        TypedValue::Bool(value) => format!("bool {value}"),
        TypedValue::TimestampMs(value) => format!("time {value}"),
    })
}

/// Compares every cell of what was read with the table.
fn check(table: &Table, types: &[Option<FeatureType>], batches: &[RecordBatch]) {
    let mut rows = table.rows.iter();
    for batch in batches {
        assert!(batch.num_rows() > 0);
        assert_eq!(batch.num_columns(), table.features.len() + 3);
        for row in 0..batch.num_rows() {
            let (id, cells) = rows.next().unwrap();
            let columns = batch.columns();
            assert_eq!(columns[0].as_string::<i32>().value(row), id);
            let mut wrong = Vec::new();
            for (index, name) in table.features.iter().enumerate() {
                let value = cells.as_ref().and_then(|cells| cells[index].as_deref());
                let wanted = value.and_then(|value| expected(value, types[index]));
                assert_eq!(cell(&columns[index + 1], row), wanted, "{name:?} of {id:?}: {value:?}");
                if value.is_some() && wanted.is_none() {
                    wrong.push(format!("{name}: {}", what_it_is_not(types[index])));
                }
            }
            let [.., status, error] = columns else { panic!("two columns at the end") };
            assert_eq!(status.as_string::<i32>().value(row), table.status(cells));
            let error = error.is_valid(row).then(|| error.as_string::<i32>().value(row));
            match cells {
                None => assert!(error.unwrap().starts_with("deadline exceeded")),
                Some(_) => assert_eq!(error.unwrap_or_default(), wrong.join("; ")),
            }
        }
    }
    assert!(rows.next().is_none());
}

#[test]
fn a_stream_has_a_column_per_feature_between_id_and_status() {
    let (schema, batches) = read(&Format::Arrow.encode(&sample(), Duration::ZERO).unwrap());
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|f| format!("{}: {}{}", f.name(), f.data_type(), if f.is_nullable() { "?" } else { "" }))
        .collect();
    insta::assert_snapshot!(fields.join("\n"), @r#"
    id: Utf8
    risk: Utf8?
    a,"b": Utf8?
    __status: Utf8
    __error: Utf8?
    "#);
    let shown = |row| {
        let cells = batches[0].columns().iter().map(|column| cell(column, row));
        cells.map(|cell| cell.unwrap_or_else(|| "null".into())).collect::<Vec<_>>().join(" | ")
    };
    let rows: Vec<String> = (0..batches[0].num_rows()).map(shown).collect();
    insta::assert_snapshot!(rows.join("\n"), @r#"
    text "u0001" | text "low" | text "" | text "found" | null
    text "u \"2\",\n" | text "a\"b,c\r\n\u{1}\\" | null | text "partial" | null
    text "u🦀" | null | null | text "missing" | null
    text "u0004" | null | null | text "unavailable" | text "deadline exceeded; last: shard said \"LOADING\""
    text "u0001" | null | text "é" | text "found" | text "risk: not UTF-8"
    "#);
}

#[test]
fn a_value_that_is_not_of_its_type_is_null_and_named() {
    let features = ["s", "i", "f", "b", "t"].map(str::to_owned).to_vec();
    let types = FeatureType::ALL.map(Some);
    let cells = |cells: [&[u8]; 5]| Some(cells.iter().map(|cell| Some(cell.to_vec())).collect());
    let table = Table {
        features,
        rows: vec![
            ("good".into(), cells([b"x", b"-9223372036854775808", b"-0.0", b"true", b"1760000000000"])),
            ("bad".into(), cells([b"\xff", b"1.5", b"1,5", b"True", b"2026-01-01"])),
            (
                "half a character each".into(),
                cells([b"\xc3", b"9223372036854775807", b"1e300", b"false", b"-1"]),
            ),
        ],
    };
    let (schema, batches) = read(&encoded(&typed(&table, &types, None), TEXT_BYTES_MAX));
    let types_read: Vec<String> = schema.fields().iter().map(|f| f.data_type().to_string()).collect();
    insta::assert_snapshot!(types_read.join(" "), @r#"Utf8 Utf8 Int64 Float64 Boolean Timestamp(ms, "UTC") Utf8 Utf8"#);
    check(&table, &types, &batches);
    let errors = batches[0].column(7).as_string::<i32>();
    assert!(errors.is_null(0));
    insta::assert_snapshot!(errors.value(1), @"s: not UTF-8; i: not an int64; f: not a float64; b: not a bool; t: not a timestamp_ms");
}

#[test]
fn two_halves_of_a_character_in_two_cells_are_no_text() {
    let table = Table {
        features: vec!["x".into()],
        rows: [&b"\xc3"[..], b"\xa9"]
            .map(|half| (format!("{half:?}"), Some(vec![Some(half.to_vec())])))
            .into(),
    };
    let (_, batches) = read(&encoded(&table.batch(), TEXT_BYTES_MAX));
    assert_eq!(batches[0].column(1).null_count(), 2);
    check(&table, &[None], &batches);
}

#[test]
fn a_default_stands_in_for_what_is_absent_and_never_for_what_could_not_be_read() {
    let table = Table {
        features: vec!["n".into()],
        rows: vec![
            ("a".into(), Some(vec![None])),
            ("b".into(), None),
            ("c".into(), Some(vec![Some(b"1".to_vec())])),
        ],
    };
    let (_, batches) = read(&encoded(&typed(&table, &[Some(FeatureType::Int64)], Some("7")), TEXT_BYTES_MAX));
    let column = batches[0].column(1);
    let cells: Vec<_> = (0..3).map(|row| cell(column, row)).collect();
    assert_eq!(cells, [Some("int 7".into()), None, Some("int 1".into())]);
}

#[test]
fn batches_follow_each_other_in_one_stream_and_an_empty_one_leaves_no_trace() {
    let (batch, empty) = (sample(), testing::batch(&["risk", "a,\"b\""], &[]));
    let mut encoder = Format::Arrow.encoder(batch.projection()).unwrap();
    let (mut all, mut out) = (Vec::new(), Vec::new());
    encoder.begin(&mut out);
    for batch in [&batch, &empty, &batch] {
        encoder.batch(&mut out, batch).unwrap();
        // The caller may take what is there at any time.
        all.append(&mut out);
    }
    encoder.end(&mut out, Duration::ZERO).unwrap();
    all.append(&mut out);
    let (_, batches) = read(&all);
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0], batches[1]);

    let (schema, batches) = read(&Format::Arrow.encode(&empty, Duration::ZERO).unwrap());
    assert_eq!((schema.fields().len(), batches.len()), (5, 0));
}

#[test]
fn text_that_does_not_fit_one_array_goes_on_in_the_next_record_batch() {
    let rows = (0..10).map(|row| (format!("u{row}"), Some(vec![Some(vec![b'x'; 1 + row])])));
    let table = Table { features: vec!["x".into()], rows: rows.collect() };
    let (_, batches) = read(&encoded(&table.batch(), 40));
    let lens: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
    // `__status` is the widest at first: "found" is five bytes.
    assert_eq!(lens, [8, 2]);
    check(&table, &[None], &batches);

    let mut encoder = ArrowEncoder::with_text_bytes_max(Arc::clone(table.batch().projection()), 9).unwrap();
    let error = encoder.batch(&mut Vec::new(), &table.batch()).unwrap_err();
    insta::assert_snapshot!(error, @"can't write the rows as arrow: a value is longer than 2 GiB");
}

#[test]
fn features_called_like_our_columns_keep_their_names() {
    let row = [Some(&b"1"[..]), Some(b"2"), Some(b"3")];
    let batch = testing::batch(&["id", "__status", "__error"], &[("u", Some(&row))]);
    let (schema, batches) = read(&encoded(&batch, TEXT_BYTES_MAX));
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "id", "__status", "__error", "__status", "__error"]);
    let cells: Vec<_> = batches[0].columns().iter().filter_map(|column| cell(column, 0)).collect();
    assert_eq!(cells.join(" "), r#"text "u" text "1" text "2" text "3" text "found""#);
}

/// Tables whose values are often of their column's type.
fn typed_table() -> impl Strategy<Value = (Table, Vec<Option<FeatureType>>)> {
    let value = prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| value.to_string()),
        any::<bool>().prop_map(|value| value.to_string()),
        ".{0,4}",
    ];
    let types = proptest::collection::vec(proptest::sample::select(FeatureType::ALL.as_slice()), 1..6);
    types.prop_flat_map(move |types| {
        let cell = proptest::option::of(value.clone().prop_map(String::into_bytes));
        let cells = proptest::collection::vec(cell, types.len());
        let row = (".{1,4}", proptest::option::weighted(0.9, cells));
        let features: Vec<String> = (0..types.len()).map(|number| format!("f{number}")).collect();
        proptest::collection::vec(row, 0..70).prop_map(move |rows| {
            let table = Table { features: features.clone(), rows };
            (table, types.iter().copied().map(Some).collect())
        })
    })
}

proptest! {
    #[test]
    fn any_batch_reads_back_in_order(table in testing::table()) {
        let (_, batches) = read(&Format::Arrow.encode(&table.batch(), Duration::ZERO).unwrap());
        check(&table, &vec![None; table.features.len()], &batches);
    }

    #[test]
    fn any_typed_batch_reads_back_in_order((table, types) in typed_table(), text_bytes_max in 400_usize..2_000) {
        let (_, batches) = read(&encoded(&typed(&table, &types, None), text_bytes_max));
        check(&table, &types, &batches);
    }
}

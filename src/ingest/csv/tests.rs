//! What a CSV file is promised, held to the `csv` crate's own writer and reader.

use super::*;

fn read(input: &[u8]) -> String {
    let source = match CsvSource::new("in.csv", input) {
        Ok(source) => source,
        Err(error) => return error.to_string(),
    };
    let line = |item| match item {
        Ok(SourceItem::Row { line, row }) => format!("{line} {row:?}"),
        Ok(SourceItem::Rejected(rejected)) => format!("{rejected} | {:?}", rejected.raw),
        Err(error) => format!("error: {error}"),
    };
    source.map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_header_names_the_features_and_an_empty_cell_leaves_one_out() {
    insta::assert_snapshot!(read(b"\xEF\xBB\xBF\"a\",id,b c\r\n1,u1,x\r\n,u2,\"y, \"\"z\"\"\nw\"\r\n\r\n\"\",u3, \n3,u4,5"), @r#"
    2 FeatureRow { id: "u1", features: [("a", b"1"), ("b c", b"x")] }
    3 FeatureRow { id: "u2", features: [("b c", b"y, \"z\"\nw")] }
    6 FeatureRow { id: "u3", features: [("b c", b" ")] }
    7 FeatureRow { id: "u4", features: [("a", b"3"), ("b c", b"5")] }
    "#);
}

#[test]
fn a_bad_row_is_rejected_with_its_line_and_the_next_is_read() {
    let mut input = b"id,a,b\nu1,1\nu2,1,2,3\n,1,2\nu3,,\n\xff,1,2\nu4,\"\n\n\",\xff\nu5,\"1\"2,3\n".to_vec();
    input.extend_from_slice(b"u6,5\" pipe,ok\nu7,\"never closed,1\n");
    insta::assert_snapshot!(read(&input), @r#"
    in.csv:2: 2 columns, the header has 3 | Some("u1,1")
    in.csv:3: 4 columns, the header has 3 | Some("u2,1,2,3")
    in.csv:4: field "id": an entity id is empty | Some(",1,2")
    in.csv:5: no features: every cell besides "id" is empty | Some("u3,,")
    in.csv:6: column 1 "id": not UTF-8 | Some("�,1,2")
    in.csv:7: column 3 "b": not UTF-8 | Some("u4,\"\n\n\",�")
    in.csv:10: text after a closing quote | Some("u5,\"1\"2,3")
    11 FeatureRow { id: "u6", features: [("a", b"5\" pipe"), ("b", b"ok")] }
    in.csv:12: a quote is opened and never closed | Some("u7,\"never closed,1")
    "#);
}

#[test]
fn a_header_that_cannot_be_used_ends_the_file_naming_the_column() {
    let long = format!("id,{}\n", "x".repeat(2000));
    let headers: [&[u8]; 12] = [
        b"",
        b"\n\r\n",
        b"a,b\n",
        b"id\n",
        b"\n\nid,a,a\n",
        b"id,id,a\n",
        b"id,,a\n",
        b"id,\xff\n",
        b"id,\"a\"b\n",
        b"id,\"a\n",
        b"ID,a\n",
        long.as_bytes(),
    ];
    insta::assert_snapshot!(headers.map(read).join("\n"), @r#"
    in.csv:1: no header row
    in.csv:3: no header row
    in.csv:1: header: no column "id"
    in.csv:1: header: no column besides "id"
    in.csv:3: header, column 3: "a" is there twice
    in.csv:1: header, column 2: "id" is there twice
    in.csv:1: header, column 2: a feature name is empty
    in.csv:1: header, column 2: the name is not UTF-8
    in.csv:1: header: text after a closing quote
    in.csv:1: header: a quote is opened and never closed
    in.csv:1: header: no column "id"
    in.csv:1: header, column 2: a feature name has 2000 bytes, the limit is 1024
    "#);
}

#[test]
fn an_unclosed_quote_takes_no_more_memory_than_the_limit_and_is_told() {
    let mut input = b"id,a\nu1,\"open\n".to_vec();
    while input.len() < 2 * INPUT_LINE_BYTES_MAX {
        input.extend_from_slice(b"u2,some value\n");
    }
    let told = read(&input);
    assert!(told.starts_with("in.csv:2: the record has 8388"), "{told}");
    assert!(told.ends_with("is a quote not closed? | None"), "{told}");
}

#[test]
fn a_value_above_the_limit_is_rejected_naming_the_feature() {
    let input = format!("id,a\nu1,{}\nu2,{}\n", "x".repeat((1 << 20) + 1), "x".repeat(1 << 20));
    let mut source = CsvSource::new("in.csv", input.as_bytes()).unwrap();
    let Some(Ok(SourceItem::Rejected(rejected))) = source.next() else { panic!("a rejection") };
    assert_eq!(rejected.error, "feature \"a\": the value has 1048577 bytes, the limit is 1048576");
    assert!(matches!(source.next(), Some(Ok(SourceItem::Row { line: 3, .. }))));
    assert_eq!(source.bytes_read(), input.len() as u64);
}

#[test]
fn a_row_may_leave_out_columns_to_stay_below_the_limit_of_features() {
    let names: Vec<String> = (0..=FEATURES_PER_WRITE_MAX).map(|i| format!("f{i}")).collect();
    let ones = vec!["1"; FEATURES_PER_WRITE_MAX].join(",");
    let input = format!("id,{}\nu1,1,{ones}\nu2,,{ones}\n", names.join(","));
    let items: Vec<_> = CsvSource::new("-", input.as_bytes()).unwrap().map(Result::unwrap).collect();
    let SourceItem::Rejected(rejected) = &items[0] else { panic!("a rejection") };
    assert_eq!(rejected.error, "1025 features, the limit is 1024");
    assert!(matches!(&items[1], SourceItem::Row { row, .. } if row.features.len() == FEATURES_PER_WRITE_MAX));
}

proptest::proptest! {
    #[test]
    fn what_the_csv_crate_writes_reads_back(
        rows in proptest::collection::vec(("[a-z\"\n, \u{1f980}\r]{1,6}", "[a\"\n,\r ]{0,5}", ".{1,4}"), 0..8),
        chunk_bytes in 1_usize..30,
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["id", "maybe", "b"]).unwrap();
        for (id, maybe, b) in &rows {
            writer.write_record([id, maybe, b]).unwrap();
        }
        let input = writer.into_inner().unwrap();
        let source = CsvSource::new("-", io::BufReader::with_capacity(chunk_bytes, &input[..])).unwrap();
        let text = |row: &FeatureRow, name: &str| row.features.iter().find(|(n, _)| n.as_str() == name)
            .map(|(_, value)| String::from_utf8(value.as_bytes().to_vec()).unwrap()).unwrap_or_default();
        let seen: Vec<(String, String, String)> = source.map(|item| match item.unwrap() {
            SourceItem::Row { row, .. } => (row.id.to_string(), text(&row, "maybe"), text(&row, "b")),
            SourceItem::Rejected(rejected) => panic!("{rejected}"),
        }).collect();
        proptest::prop_assert_eq!(seen, rows);
    }

    #[test]
    fn any_input_gives_the_rows_that_the_csv_crate_reads_or_says_why_not(
        body in proptest::collection::vec(proptest::sample::select(vec!["a", "b", "\"", ",", "\n", "\r\n"]), 0..40),
        chunk_bytes in 1_usize..9,
    ) {
        let input = format!("id,a\n{}", body.concat());
        let source = CsvSource::new("-", io::BufReader::with_capacity(chunk_bytes, input.as_bytes())).unwrap();
        let mut oracle = csv::ReaderBuilder::new().flexible(true).from_reader(input.as_bytes());
        let mut expected = oracle.byte_records().map(Result::unwrap);
        for item in source {
            let record = expected.next().unwrap();
            if let SourceItem::Row { row, .. } = item.unwrap() {
                proptest::prop_assert_eq!(row.id.as_bytes(), &record[0]);
                proptest::prop_assert_eq!(row.features[0].1.as_bytes(), &record[1]);
                proptest::prop_assert_eq!(record.len(), 2);
            }
        }
        proptest::prop_assert!(expected.next().is_none(), "no record is skipped in silence");
    }
}

//! Bodies of batches, writes and bulk loads.

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes as Piece;
use proptest::prelude::*;
use serde_json::Value;

use crate::answers::Api;
use crate::cases::try_many;
use crate::mutate::{Bytes, JSON_MARKS, JSON_PIECES, Material, inputs};

const BATCHES: Material = Material {
    valid: &[
        b"{\"ids\":[\"u1\",\"u2\",\"u1\"],\"features\":[\"a\",\"b\"],\"timeout_ms\":5000,\"entity\":\"user\"}",
        b"{\n \"ids\": [\"u1\"],\n \"features\": [\"a\", \"\\u0062\"],\n \"defaults\": true\n}",
        b"{\"ids\":[\"\xc3\xa9\",\"\xf0\x9f\xa6\x80\"],\"feature_set\":\"lost\",\"defaults\":false}",
        b"{\"ids\":[],\"features\":[\"a\"]}",
        b"{\"ids\":[\"u1\"],\"features\":[\"a\"],\"entity\":null,\"timeout_ms\":null,\"feature_set\":null}",
    ],
    pieces: JSON_PIECES,
    marks: JSON_MARKS,
};

const WRITES: Material = Material {
    valid: &[
        b"{\"features\":{\"a\":1,\"b\":\"x\",\"c\":true},\"ttl_seconds\":60,\"entity\":\"user\"}",
        b"{\"ttl_seconds\":0,\"features\":{\"a\":1.5e3,\"b\":-7}}",
        b"{\n \"features\": {\"\\u0061\": \"\\ud83e\\udd80\"},\n \"ttl_seconds\": 60\n}",
        b"{\"features\":{\"a\":18446744073709551615},\"entity\":\"lost\"}",
    ],
    pieces: JSON_PIECES,
    marks: JSON_MARKS,
};

const LOADS: Material = Material {
    valid: &[
        b"{\"id\":\"u1\",\"features\":{\"a\":1,\"b\":\"x\"}}\n{\"id\":\"\",\"features\":{\"c\":true}}",
        b"{\"features\":{\"a\":null},\"id\":\"u1\"}\r\n\n  \t\n{\"id\":7,\"features\":{\"f\":\"\"}}\n",
        b"{\"id\":\"u1\",\"features\":{}}\n",
        b"{\"id\":\"u1\",\"features\":{\"a\":{\"b\":1}}}",
    ],
    pieces: JSON_PIECES,
    marks: JSON_MARKS,
};

fn whole(method: &str, path: &str, body: Vec<u8>) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::from(body)).unwrap()
}

#[test]
fn any_batch_is_answered_with_its_rows_or_with_what_is_wrong() {
    let api = Api::new();
    try_many("bodies of batches", inputs(BATCHES), move |Bytes(body)| {
        let answer = api.ask(whole("POST", "/v1/features/batch", body.clone()))?;
        let read: Option<Value> = serde_json::from_slice(&body).ok();
        if answer.status == 200 {
            prop_assert!(read.is_some(), "no JSON, and believed");
            let ids = read.as_ref().and_then(|read| read["ids"].as_array()).cloned().unwrap_or_default();
            let rows = answer.json["rows"].as_array().cloned().unwrap_or_default();
            let answered: Vec<&Value> = rows.iter().map(|row| &row["id"]).collect();
            prop_assert_eq!(answered, ids.iter().collect::<Vec<_>>());
        }
        Ok(())
    });
}

#[test]
fn any_write_is_answered_with_what_was_written_or_with_what_is_wrong() {
    let api = Api::new();
    try_many("bodies of writes", inputs(WRITES), move |Bytes(body)| {
        let answer = api.ask(whole("PUT", "/v1/features/u1", body.clone()))?;
        let read: Option<Value> = serde_json::from_slice(&body).ok();
        if answer.status == 200 {
            let features = read.as_ref().and_then(|read| read["features"].as_object()).map(|all| all.len());
            prop_assert_eq!(answer.json["written"].as_u64(), features.map(|count| count as u64));
        }
        Ok(())
    });
}

/// The lines of a body that are not blank, from 1.
fn lines(body: &[u8]) -> Vec<u64> {
    let bare = |(number, line): (u64, &[u8])| {
        let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        (!line.trim_ascii().is_empty()).then_some(number)
    };
    (1..).zip(body.split(|byte| *byte == b'\n')).filter_map(bare).collect()
}

#[test]
fn every_line_of_any_load_is_written_or_named() {
    let api = Api::new();
    try_many("bodies of loads", (inputs(LOADS), 1..200_usize), move |(Bytes(body), piece_bytes)| {
        let pieces: Vec<_> = body
            .chunks(piece_bytes)
            .map(|piece| Ok::<_, std::io::Error>(Piece::copy_from_slice(piece)))
            .collect();
        let stream = Body::from_stream(futures::stream::iter(pieces));
        let answer = api.ask(Request::post("/v1/features/load").body(stream).unwrap())?;
        prop_assert_eq!(answer.status, 200, "{:?}", answer);
        let lines = lines(&body);
        let rejected = answer.json["rejected"].as_array().unwrap();
        let named: Vec<u64> = rejected.iter().map(|row| row["line"].as_u64().unwrap()).collect();
        prop_assert!(
            named.is_sorted_by(|a, b| a < b) && named.iter().all(|line| lines.contains(line)),
            "{:?}",
            named
        );
        prop_assert!(rejected.iter().all(|row| row["error"].as_str().is_some_and(|error| !error.is_empty())));
        let counted = answer.json["rejected_count"].as_u64().unwrap();
        prop_assert_eq!(counted, named.len() as u64);
        prop_assert_eq!(
            answer.json["written"].as_u64().unwrap() + counted,
            lines.len() as u64,
            "rows in are rows out"
        );
        Ok(())
    });
}

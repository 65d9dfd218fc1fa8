//! Paths, query strings, methods, `Accept` and the request's id.

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, header};
use proptest::prelude::*;

use crate::answers::Api;
use crate::cases::try_many;
use crate::mutate::{Bytes, Material, inputs};

const PATHS: Material = Material {
    valid: &[
        b"/v1/features/u1?features=a,b&timeout_ms=5000&entity=user",
        b"/v1/features/u%201%2F?features=a&features=%C3%A9+b&defaults=true",
        b"/v1/features/u1?feature_set=lost&defaults=false",
        b"/v1/features/load?ttl_seconds=60&entity=user",
        b"/v1/features/batch",
        b"/v1/entities/u1?entity=user",
        b"/v1/entities/lost",
        b"/v1/cluster",
        b"/healthz",
        b"/metrics",
        b"/",
    ],
    pieces: &[
        b"%FF",
        b"%00",
        b"%2F",
        b"a",
        b"",
        b"0",
        b"-1",
        b"99999999999999999999",
        b"30001",
        b"true",
        b"lost",
        b"features",
        b"timeout_ms",
        b"entity",
        b"%C3%A9",
        b"features=a",
        b"%",
        b"%zz",
        b"%4",
        b"%C3",
        b"%ED%A0%80",
        b"%25",
        b"+",
        b"&",
        b"&&",
        b"=",
        b"==",
        b"?",
        b"??",
        b"/",
        b"//",
        b"..",
        b"features=",
        b"timeout_ms=NaN",
        b"defaults=1",
        b"ttl_seconds=0",
        b"x=1",
        b"entities",
        b"v2",
        &[b'x'; 1_100],
        &[b','; 1_030],
        &[b'/'; 40],
        b";",
        b":",
        b"@",
        b"\xc3\xa9",
        b"\xff",
        b"\x00",
        b" ",
    ],
    marks: b"?&=,",
};

const ACCEPTS: &[&str] = &[
    "",
    "*/*",
    "text/csv",
    "application/x-ndjson;q=0.5, */*;q=0.1",
    "text/html",
    ";;;q=,",
    "application/json;q=NaN",
    "application/json;q=-1",
    "text/*;q=inf",
    "/",
    "*/*;q=1e-40",
];

/// A target that a client could send: what may not stand in one is encoded.
fn target(bytes: &[u8]) -> String {
    let mut target = String::from(if bytes.first() == Some(&b'/') { "" } else { "/" });
    for byte in bytes {
        match byte {
            b'!' | b'$'..=b';' | b'=' | b'?'..=b'Z' | b'_' | b'a'..=b'z' | b'~' => {
                target.push(char::from(*byte));
            }
            _ => target.push_str(&format!("%{byte:02x}")),
        }
    }
    target
}

#[test]
fn any_path_and_query_is_answered() {
    let api = Api::new();
    let methods = prop_oneof![
        5 => Just(Method::GET),
        1 => prop::sample::select(vec![Method::PUT, Method::POST, Method::HEAD, Method::DELETE, Method::OPTIONS]),
    ];
    // What a header may hold: no control characters, and bytes that are no ASCII.
    let ids = prop::collection::vec(b' '..=255, 0..9)
        .prop_filter_map("DEL", |id| HeaderValue::from_bytes(&id).ok());
    let cases = (inputs(PATHS), methods, prop::sample::select(ACCEPTS), ids);
    try_many("paths and query strings", cases, move |(Bytes(path), method, accept, id)| {
        let request = Request::builder()
            .method(method.clone())
            .uri(target(&path))
            .header(header::ACCEPT, accept)
            .header("x-request-id", id);
        let answer = api.ask(request.body(Body::empty()).unwrap())?;
        if method == Method::DELETE {
            prop_assert!([400, 404, 405].contains(&answer.status), "{}", answer.status);
        }
        Ok(())
    });
}

//! Traces as a collector gets them: whose children the spans are, what is exported, and what a collector that is not
//! there changes. Needs the feature `otlp`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[allow(dead_code, reason = "the tests of the command line use the rest")]
#[path = "../cli/program.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod collector;

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

use collector::{Collector, attribute, hex};
use program::{Background, on_cluster, run};
use support::{SOON, unique_prefix, wait_until};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER_TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "00f067aa0ba902b7";

/// A server with 100 users that exports to `endpoint`, and its address.
async fn served(endpoint: &str) -> (Background, String) {
    let prefix = unique_prefix();
    run(&mut on_cluster(&prefix, ["load", "--synthetic", "100"]).await).exits(0);
    let args = ["serve", "--listen", "127.0.0.1:0", "--otlp-endpoint", endpoint, "--log-format", "json"];
    let mut server = Background::start(&mut on_cluster(&prefix, args).await);
    let address = server.told("\"address\":\"").await;
    let address = address.split('"').next().unwrap().to_owned();
    (server, address)
}

/// Reads a batch of users on all shards as part of a trace.
async fn read(address: &str, traceparent: &str) {
    let ids: Vec<String> = (1..=60).map(|number| format!("u{number:04}")).collect();
    let request = reqwest::Client::new().post(format!("http://{address}/v1/features/batch"));
    let request = request.header("traceparent", traceparent).header("tracestate", "vendor=x");
    let answer = request.json(&json!({"ids": ids, "features": ["risk_segment"]})).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// The only span of that name.
fn only<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:?}");
    found[0]
}

#[tokio::test]
async fn the_spans_of_a_request_are_children_of_the_callers_span() {
    let collector = Collector::start().await;
    let (server, address) = served(&collector.endpoint).await;
    read(&address, &format!("00-{TRACE_ID}-{CALLER}-01")).await;
    read(&address, &format!("00-{OTHER_TRACE_ID}-{CALLER}-00")).await;
    server.send(Signal::SIGINT);
    let ran = server.ended().await.exits(0);

    let spans = collector.spans();
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE_ID), "the caller decides: {spans:?}");
    let request = only(&spans, "POST /v1/features/batch");
    assert_eq!((hex(&request.parent_span_id).as_str(), request.trace_state.as_str()), (CALLER, "vendor=x"));
    assert_eq!(attribute(request, "http.response.status_code").as_deref(), Some("200"));
    let read = only(&spans, "read");
    for (child, parent) in [(read, request), (only(&spans, "encode"), request), (only(&spans, "plan"), read)]
    {
        assert_eq!(child.parent_span_id, parent.span_id, "{}", child.name);
    }
    let pipelines: Vec<&Span> = spans.iter().filter(|span| span.name == "pipeline").collect();
    let mut shards: Vec<String> = pipelines.iter().map(|span| attribute(span, "shard").unwrap()).collect();
    shards.sort();
    shards.dedup();
    assert_eq!((pipelines.len(), shards.len()), (3, 3), "{pipelines:?}");
    for pipeline in pipelines {
        assert_eq!(pipeline.parent_span_id, read.span_id);
        assert_eq!(attribute(pipeline, "outcome").as_deref(), Some("answered"));
    }
    assert!(
        spans.iter().any(|span| span.name == "merge" && span.parent_span_id == read.span_id),
        "{spans:?}"
    );
    assert!(!format!("{spans:?}").contains("u0001"), "an id in {spans:?}");

    let lines = ran.err.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let traces: Vec<String> = lines.filter_map(|line| Some(line["trace_id"].as_str()?.to_owned())).collect();
    assert_eq!(traces, [TRACE_ID, OTHER_TRACE_ID], "the log has both");
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_told_of_once_and_holds_up_nobody() {
    let (server, address) = served("http://127.0.0.1:1").await;
    let failing = || server.err().matches("spans can't be exported").count();
    for _ in 0..2 {
        read(&address, &format!("00-{TRACE_ID}-{CALLER}-01")).await;
        wait_until("a failed export", SOON, || async { failing() == 1 }).await;
    }
    server.send(Signal::SIGINT);
    let ran = server.ended().await.exits(0);
    assert_eq!(ran.err.matches("spans can't be exported").count(), 1, "{}", ran.err);
}

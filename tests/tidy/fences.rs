//! Crates that only some rooms may touch.

use crate::paths::paths;
use crate::source::{Source, rust_files};
use crate::{Allowed, Violation, assert_none, except};

/// A crate, and where it may be named.
const FENCES: [(&str, Where); 25] = [
    ("redis", Where::Only(&["src/shard/"])),
    ("rustls", Where::Only(&["src/shard/"])),
    ("rustls_native_certs", Where::Only(&["src/shard/"])),
    ("tokio_rustls", Where::Only(&["src/shard/"])),
    ("axum", Where::Only(&["src/http/"])),
    ("hyper", Where::Only(&["src/http/"])),
    ("hyper_util", Where::Only(&["src/http/"])),
    ("tower", Where::Only(&["src/http/"])),
    ("tower_http", Where::Only(&["src/http/"])),
    ("utoipa", Where::Only(&["src/http/"])),
    ("sha2", Where::Only(&["src/http/"])),
    ("subtle", Where::Only(&["src/http/"])),
    ("arrow_array", Where::Only(&["src/encode/"])),
    ("arrow_buffer", Where::Only(&["src/encode/"])),
    ("arrow_ipc", Where::Only(&["src/encode/"])),
    ("arrow_schema", Where::Only(&["src/encode/"])),
    ("opentelemetry", Where::Only(&["src/telemetry/"])),
    ("opentelemetry_http", Where::Only(&["src/telemetry/"])),
    ("opentelemetry_otlp", Where::Only(&["src/telemetry/"])),
    ("opentelemetry_sdk", Where::Only(&["src/telemetry/"])),
    ("tracing_opentelemetry", Where::Only(&["src/telemetry/"])),
    ("metrics_process", Where::Only(&["src/metrics/"])),
    ("clap", Where::Only(&["src/cli/", "src/main.rs"])),
    ("anyhow", Where::Only(&["src/cli/", "src/main.rs"])),
    ("tokio", Where::AllBut(&["src/model/", "src/slot/", "src/encode/"])),
];

enum Where {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// Files that reach over a fence, as `file -> crate`, each with its reason.
const ALLOWED: &[Allowed] = &[];

fn fences_crossed(files: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files {
        for path in paths(file.tokens(), &file.module()) {
            let name = &path.segments[0];
            let Some((_, place)) = FENCES.iter().find(|(fenced, _)| fenced == name) else { continue };
            let below = |folders: &[&str]| folders.iter().any(|folder| file.path.starts_with(folder));
            let inside = match place {
                Where::Only(folders) => below(folders),
                Where::AllBut(folders) => !below(folders),
            };
            if !inside {
                let what = format!("line {} names a crate that has no business here", path.line);
                found.push(Violation::new(format!("{} -> {name}", file.path), what));
            }
        }
    }
    found
}

#[test]
fn crates_stay_behind_their_fences() {
    assert_none(&except(fences_crossed(&rust_files(&["src"])), ALLOWED));
}

#[test]
fn a_crate_outside_its_fence_is_seen() {
    let count = |path: &str, text: &str| fences_crossed(&[Source::new(path, text)]).len();
    for (path, text) in [
        ("src/store/read.rs", "use redis::Value;"),
        ("src/store/read.rs", "use ::redis;"),
        ("src/store/read.rs", "use {redis::cmd, bytes::Bytes};"),
        ("src/store/read.rs", "fn f() -> redis::RedisResult<()> { todo }"),
        ("src/store/read.rs", "extern crate redis;"),
        ("src/devcluster/mod.rs", "use anyhow::Context;"),
        ("src/config/mod.rs", "#[derive(clap::Args)] struct A;"),
        ("src/cli/serve.rs", "use axum::Router;"),
        ("src/slot/plan.rs", "#[cfg(test)] mod tests { #[tokio::test] async fn f() {} }"),
        ("src/shardless/x.rs", "use redis::Value;"),
    ] {
        assert_eq!(count(path, text), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("src/shard/read.rs", "use redis::Value;"),
        ("src/main.rs", "use clap::Parser; fn main() -> anyhow::Result<()> { Ok(()) }"),
        ("src/store/read.rs", "use tokio::time; // redis::cmd"),
        ("src/store/read.rs", "fn f() { self::redis::x(); let redis = 1; }"),
    ] {
        assert_eq!(count(path, text), 0, "{path}: {text}");
    }
}

/// Where a prefix may be emptied: the demo asks for it, the store does it.
const EMPTIERS: [&str; 2] = ["src/cli/demo.rs", "src/store/"];

/// Calls of the method that deletes everything under a prefix.
fn emptiers(files: &[Source]) -> Vec<Violation> {
    let others = files.iter().filter(|file| !EMPTIERS.iter().any(|place| file.path.starts_with(place)));
    let calls = others.filter(|file| file.tokens().to_string().replace(' ', "").contains(".reset().await"));
    calls.map(|file| Violation::new(&file.path, "empties a prefix")).collect()
}

#[test]
fn nobody_but_the_demo_empties_a_prefix() {
    assert_none(&emptiers(&rust_files(&["src"])));
    let count = |path: &str, text: &str| emptiers(&[Source::new(path, text)]).len();
    assert_eq!(count("src/http/features.rs", "async fn f(s: &S) { s . reset ( ) . await }"), 1);
    assert_eq!(count("src/cli/demo.rs", "async fn f(s: &S) { s.reset().await } // .reset()"), 0);
    assert!(!rust_files(&["src"]).iter().all(|file| !file.text.contains(".reset()")), "the demo has one");
}

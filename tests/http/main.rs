//! The HTTP API in process, against a real cluster. Every test has a key prefix of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod bad_input;
#[path = "../support/mod.rs"]
mod cluster;
mod deadlines;
mod meta;
mod reads;
mod refusals;
mod schema;
mod stale;
mod support;
mod wire;
mod writes;

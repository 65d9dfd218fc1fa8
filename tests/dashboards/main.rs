//! The dashboards and rules in `dashboards/`: that they name only what there is, all of it, and say what to do.
//!
//! They are read as files; `make check-rules` asks promtool whether the rules do what they should.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

mod alerts;

mod labels;
mod metrics;
mod panels;
#[path = "../support/mod.rs"]
mod support;

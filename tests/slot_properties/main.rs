//! The slot router against independent oracles: the client crate, the server's `CLUSTER KEYSLOT`, and a naive
//! implementation of our own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

mod hash;
mod oracle;
mod plan;
#[path = "../support/mod.rs"]
mod support;

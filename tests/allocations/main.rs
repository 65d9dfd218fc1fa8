//! What reads and formats allocate, counted over all threads of this process: as much per batch and per chunk as it
//! takes, and nothing per entity or per value.
//!
//! The tests of this binary take turns, since each would count what the others allocate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../support/mod.rs"]
mod support;

mod counting;
mod formats;
mod reads;

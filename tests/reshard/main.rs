//! Slots change hands under a store that reads and writes: every answer stays right.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../support/mod.rs"]
pub(crate) mod support;

mod half_moved;
mod under_load;

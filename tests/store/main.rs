//! The feature store over real servers: what is read, written, listed and moved, held against plain commands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../support/mod.rs"]
pub(crate) mod support;

mod admin;
mod cohort_move;
mod cohorts;
mod older_server;
mod reads;
mod refused_reads;
mod schema;
mod streaming;
mod writes;

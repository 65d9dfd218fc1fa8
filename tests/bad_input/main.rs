//! Bad input, tried in numbers: whatever comes in from outside is answered, soon, and by naming the place.
//!
//! One module per input: bodies and addresses over HTTP, config files, sources of rows, lists of ids, replies of a
//! node, layouts of a cluster. Each is tried [`cases::CASES`] times at least, most of them valid input that was changed a little.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

mod answers;
mod bodies;
mod cases;
#[path = "../support/mod.rs"]
mod cluster;
mod config;
mod csv_rows;
mod endless;
mod ids;
mod mutate;
mod ndjson_rows;
mod paths;
mod replies;
#[path = "../../fuzz/check.rs"]
mod scanner;
mod topology;

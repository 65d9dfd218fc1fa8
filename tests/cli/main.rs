//! The program from outside: commands, files, exit statuses, what is printed where, on real clusters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod batch;
mod batch_limits;
mod cohort;
mod dashboards;
mod demo;
mod help;
mod load;
mod load_bad;
mod metrics;
mod one;
mod password;
mod program;
mod redis;
mod reset;
mod schema;
mod serve;
mod serve_lost;
mod shutdown;
mod tls;
mod unreachable;

//! What reads leave on the metrics page: the tests of `recorded`, read through the cluster connection. Writes do not go
//! through it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../recorded/faults.rs"]
mod faults;
#[path = "../recorded/features.rs"]
mod features;
#[path = "../recorded/page.rs"]
mod page;
#[path = "../recorded/reads.rs"]
mod reads;
#[path = "../support/mod.rs"]
mod support;

pub(crate) use page::Page;

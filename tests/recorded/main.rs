//! What reads and writes leave on the metrics page, against real servers. The page is of the whole process, so the tests of
//! this binary take turns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../support/mod.rs"]
pub(crate) mod support;

mod faults;
mod features;
mod page;
mod reads;
mod writes;

pub(crate) use page::Page;

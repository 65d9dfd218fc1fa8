//! What is promised under faults, held against real clusters under load: short here, long in `make chaos`, which also
//! makes the table of docs/RELIABILITY.md of it. Promises 7 (overload) and 9 (shutdown) are held by `overload` and `http`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../support/mod.rs"]
pub(crate) mod support;

mod deadlines;
mod hang;
mod hedge;
mod kill;
mod load;
mod outcome;
mod reshard;
mod restart;
mod silence;
mod stage;
mod streaming;
mod writes;

use std::time::Duration;

/// Time by which an answer may miss its deadline, beside what the machine itself adds.
pub(crate) const LATE_MAX: Duration = Duration::from_millis(25);
/// Time within which all is well again once the cluster is.
pub(crate) const RECOVERED_WITHIN: Duration = Duration::from_secs(1);

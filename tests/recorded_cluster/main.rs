//! What reads and writes leave on the metrics page: the tests of `recorded`, read through the cluster connection.

#[path = "../recorded/main.rs"]
mod suite;

pub(crate) use suite::support;

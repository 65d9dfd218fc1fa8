//! What is promised under faults: the scenarios of `chaos`, read through the cluster connection.

#[path = "../chaos/main.rs"]
mod suite;

pub(crate) use suite::support;

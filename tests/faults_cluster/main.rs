//! Servers that stall, die or refuse: the tests of `faults`, read through the cluster connection.

#[path = "../faults/main.rs"]
mod suite;

pub(crate) use suite::support;

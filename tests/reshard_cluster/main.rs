//! Slots that change hands: the tests of `reshard`, read through the cluster connection.

#[path = "../reshard/main.rs"]
mod suite;

pub(crate) use suite::support;

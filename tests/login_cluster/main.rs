//! Who may talk to a cluster: the tests of `login`, read through the cluster connection.

#[path = "../login/main.rs"]
mod suite;

pub(crate) use suite::support;

//! Every server gone at once: the tests of `outage`, read through the cluster connection.

#[path = "../outage/main.rs"]
mod suite;

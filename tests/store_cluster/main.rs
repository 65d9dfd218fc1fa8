//! The feature store over real servers: the tests of `store`, read through the cluster connection.

#[path = "../store/main.rs"]
mod suite;

pub(crate) use suite::support;

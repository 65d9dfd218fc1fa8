//! What goes over the wire: the tests of `pipelines`, read through the cluster connection.

#[path = "../pipelines/main.rs"]
mod suite;

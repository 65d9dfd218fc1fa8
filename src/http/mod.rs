//! The HTTP API: routes, wire types, the one error → status table, the server.
//!
//! Invariants: every answer carries a request id; every error is JSON; every body, queue and wait has a limit in
//! [`HttpOptions`]; a handler spawns nothing that outlives it, so a client that hangs up stops its reads.

mod access;
mod admission;
mod batch;
mod body;
mod cluster;
mod cross_site;
mod deadline;
mod entities;
mod error;
mod features;
mod health;
mod listed;
mod load;
mod negotiate;
mod observe;
mod openapi;
mod options;
mod overload;
mod path_id;
mod patient;
mod query;
mod rejections;
mod request_id;
mod router;
mod server;
mod stale;
mod state;
mod status_page;
mod tokens;
mod tokens_file;
mod trace_headers;
pub mod wire;

pub use deadline::TIMEOUT_HEADER;
pub use listed::{FEATURES_KEPT_MAX, IDS_KEPT_MAX};
pub use observe::CLIENT_GONE;
pub use openapi::document;
pub use options::HttpOptions;
pub use request_id::{REQUEST_ID_BYTES_MAX, REQUEST_ID_HEADER};
pub use router::{paths, router};
pub use server::{HttpError, run};
pub use stale::STALE_POSSIBLE_HEADER;
pub use state::HttpState;
pub use tokens::{Caller, Scope, Tokens, TokensError};

//! Replies whole and in pieces, against what the client crate makes of the same bytes.

//! What a node is asked as.

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// The node sends elsewhere what it does not own.
    Primary,
    /// The node answers from its copy (`READONLY`).
    Replica,
}

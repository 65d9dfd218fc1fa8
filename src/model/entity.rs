//! Entity ids. Invariant: 1 to [`ENTITY_ID_BYTES_MAX`] bytes of UTF-8; any character is allowed.

use std::fmt;
use std::sync::Arc;

use super::limits::ENTITY_ID_BYTES_MAX;

/// The id of an entity (a user, an account, an item). Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(Arc<str>);

/// Why a text is not an entity id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntityIdError {
    /// The text is empty.
    Empty,
    /// The text is longer than [`ENTITY_ID_BYTES_MAX`].
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
}

impl EntityId {
    /// Checks the length of `text` and takes it as an id.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, EntityIdError> {
        let text = text.into();
        if text.is_empty() {
            return Err(EntityIdError::Empty);
        }
        if text.len() > ENTITY_ID_BYTES_MAX {
            return Err(EntityIdError::TooLong { bytes: text.len() });
        }
        Ok(Self(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for EntityId {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for EntityId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<&str> for EntityId {
    type Error = EntityIdError;
    fn try_from(text: &str) -> Result<Self, EntityIdError> {
        Self::new(text)
    }
}

impl fmt::Display for EntityIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an entity id is empty"),
            Self::TooLong { bytes } => {
                write!(f, "an entity id has {bytes} bytes, the limit is {ENTITY_ID_BYTES_MAX}")
            }
        }
    }
}

impl std::error::Error for EntityIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_bounded_and_otherwise_free() {
        assert_eq!(EntityId::new(""), Err(EntityIdError::Empty));
        assert!(EntityId::new("x".repeat(ENTITY_ID_BYTES_MAX)).is_ok());
        assert_eq!(
            EntityId::new("x".repeat(ENTITY_ID_BYTES_MAX + 1)),
            Err(EntityIdError::TooLong { bytes: ENTITY_ID_BYTES_MAX + 1 })
        );
        for odd in [" ", "a b", "\"q\"", "{x}", "line\nbreak", "🦀", "\0"] {
            assert_eq!(EntityId::new(odd).unwrap().as_str(), odd);
        }
    }
}

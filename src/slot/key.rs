//! Key layout: how an entity id becomes a Redis key, and back.
//!
//! Invariant: two different ids never get the same key. A plain id that would look like a cohort member's key
//! is refused, not guessed at.

use super::cohort::{CohortIndex, CohortTag, TagNumber};

/// Prefix and cohorts of one entity kind.
#[derive(Debug, Clone, Default)]
pub struct KeyLayout {
    prefix: Box<str>,
    cohorts: CohortIndex,
}

/// Why an id has no key, or a prefix no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The id begins like the key of a cohort's member.
    #[error(
        "the id {id:?} begins with {{{tag}}}:, which marks the keys of a cohort; it can't be told from a member"
    )]
    LooksLikeCohortKey {
        /// The id.
        id: String,
        /// The cohort's tag.
        tag: String,
    },
    /// A brace in the prefix would take the place of the cohort's tag.
    #[error("the key prefix {0:?} holds a brace, so a cohort's hash tag would have no effect")]
    BraceInPrefix(String),
}

impl KeyLayout {
    /// A layout of `prefix` and `cohorts`. Errors where the prefix would hide the cohorts' hash tags.
    pub fn new(prefix: &str, cohorts: CohortIndex) -> Result<Self, KeyError> {
        if !cohorts.tags().is_empty() && prefix.contains('{') {
            return Err(KeyError::BraceInPrefix(prefix.to_owned()));
        }
        Ok(Self { prefix: prefix.into(), cohorts })
    }

    /// The prefix of every key.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The cohorts and their members.
    pub fn cohorts(&self) -> &CohortIndex {
        &self.cohorts
    }

    /// The key of an id: `{prefix}{id}`, or `{prefix}{TAG}:{id}` with literal braces round the tag.
    pub fn key(&self, id: &str) -> Result<Vec<u8>, KeyError> {
        let mut key = Vec::with_capacity(self.prefix.len() + id.len() + 16);
        self.append_key(id, &mut key)?;
        Ok(key)
    }

    /// The key that an id has outside any cohort.
    pub fn plain_key(&self, id: &str) -> Vec<u8> {
        [self.prefix.as_bytes(), id.as_bytes()].concat()
    }

    /// The key that an id has, or would have, under `tag`.
    pub fn tagged_key(&self, tag: &CohortTag, id: &str) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + tag.as_str().len() + id.len() + 3);
        self.append_tagged(tag, id, &mut key);
        key
    }

    /// Appends the key of `id` to `out`; says which tag it got.
    pub(crate) fn append_key(&self, id: &str, out: &mut Vec<u8>) -> Result<Option<TagNumber>, KeyError> {
        if let Some((tag, _)) = self.split_tag(id) {
            return Err(KeyError::LooksLikeCohortKey { id: id.to_owned(), tag: tag.as_str().to_owned() });
        }
        let number = self.cohorts.tag_number(id);
        if let Some(tag) = number.and_then(|number| self.cohorts.tags().get(number as usize)) {
            self.append_tagged(tag, id, out);
            return Ok(number);
        }
        out.extend_from_slice(self.prefix.as_bytes());
        out.extend_from_slice(id.as_bytes());
        Ok(None)
    }

    /// The id that has this key under this layout: `None` for keys of others and for text that is no UTF-8.
    pub fn id_of_key<'k>(&self, key: &'k [u8]) -> Option<&'k str> {
        let rest = std::str::from_utf8(key.strip_prefix(self.prefix.as_bytes())?).ok()?;
        let id = self.split_tag(rest).map_or(rest, |(_, id)| id);
        (!id.is_empty()).then_some(id)
    }

    fn append_tagged(&self, tag: &CohortTag, id: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_bytes());
        out.push(b'{');
        out.extend_from_slice(tag.as_str().as_bytes());
        out.extend_from_slice(b"}:");
        out.extend_from_slice(id.as_bytes());
    }

    /// Splits `{TAG}:id` where TAG belongs to one of the cohorts.
    fn split_tag<'t>(&self, text: &'t str) -> Option<(&CohortTag, &'t str)> {
        let (tag, id) = text.strip_prefix('{')?.split_once("}:")?;
        let tag = self.cohorts.tags().iter().find(|known| known.as_str() == tag)?;
        Some((tag, id))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cohort::Cohort;
    use super::*;
    use crate::model::EntityId;

    fn layout() -> KeyLayout {
        let vip = Cohort {
            name: "vip".into(),
            tags: vec![CohortTag::new("vip").unwrap()],
            members: vec![EntityId::try_from("u0001").unwrap(), EntityId::try_from("{vip}:odd").unwrap()],
        };
        KeyLayout::new("fs:user:", CohortIndex::new(vec![vip]).0).unwrap()
    }

    #[test]
    fn members_of_a_cohort_share_a_tag_and_others_have_none() {
        let layout = layout();
        assert_eq!(layout.key("u0001").unwrap(), b"fs:user:{vip}:u0001");
        assert_eq!(layout.key("u0002").unwrap(), b"fs:user:u0002");
        assert_eq!(layout.key("{other}:u1").unwrap(), b"fs:user:{other}:u1");
    }

    #[test]
    fn an_id_that_looks_like_a_cohort_key_is_refused() {
        assert_eq!(
            layout().key("{vip}:u0001"),
            Err(KeyError::LooksLikeCohortKey { id: "{vip}:u0001".into(), tag: "vip".into() })
        );
        assert!(
            layout().key("{vip}:odd").is_err(),
            "also where it is a member: outside the cohort it could not be told"
        );
    }

    #[test]
    fn a_prefix_with_a_brace_has_no_cohorts() {
        let cohorts = layout().cohorts().clone();
        assert_eq!(
            KeyLayout::new("fs:{user}:", cohorts).map(|_| ()),
            Err(KeyError::BraceInPrefix("fs:{user}:".into()))
        );
        assert!(KeyLayout::new("fs:{user}:", CohortIndex::default()).is_ok());
    }

    #[test]
    fn keys_of_others_have_no_id() {
        assert_eq!(layout().id_of_key(b"fs:merchant:m1"), None);
        assert_eq!(layout().id_of_key(b"fs:user:"), None);
        assert_eq!(layout().id_of_key(b"fs:user:\xff"), None);
    }

    proptest::proptest! {
        #[test]
        fn an_id_is_read_back_from_its_key(id in "[a-z{}:vip🦀 \n]{1,20}") {
            let layout = layout();
            if let Ok(key) = layout.key(&id) {
                proptest::prop_assert_eq!(layout.id_of_key(&key), Some(id.as_str()));
            }
        }
    }
}

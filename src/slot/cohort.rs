//! VIP cohorts: named sets of entities that share a hash tag, and so a shard.
//!
//! Invariants: a tag is not empty and holds no brace; an entity is in at most one cohort.

use std::fmt;

use ahash::AHashMap;

use crate::model::EntityId;

use super::hash::Slot;

/// What stands between the braces of a cohort's keys. Not empty, no brace in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CohortTag(Box<str>);

/// Why a text is not a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CohortTagError {
    /// An empty tag would make Redis hash the whole key.
    #[error("a cohort tag is empty")]
    Empty,
    /// A brace would end the tag early or shift its start.
    #[error("the cohort tag {0:?} holds a brace")]
    Brace(String),
}

impl CohortTag {
    /// Checks `text` and takes it as a tag.
    pub fn new(text: &str) -> Result<Self, CohortTagError> {
        if text.is_empty() {
            return Err(CohortTagError::Empty);
        }
        if text.contains(['{', '}']) {
            return Err(CohortTagError::Brace(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The tag, without braces.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slot of every key with this tag.
    pub fn slot(&self) -> Slot {
        Slot::for_key(self.0.as_bytes())
    }
}

impl fmt::Display for CohortTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A cohort as configured, with the members known now.
#[derive(Debug, Clone)]
pub struct Cohort {
    /// Its name in commands and answers.
    pub name: String,
    /// One tag, or several to spread a large cohort; a member's tag follows from its id.
    pub tags: Vec<CohortTag>,
    /// The members.
    pub members: Vec<EntityId>,
}

/// An entity that two cohorts claim; the first one keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CohortClash {
    /// The entity.
    pub id: EntityId,
    /// The cohort that keeps it.
    pub kept_by: String,
    /// The cohort that also names it.
    pub claimed_by: String,
}

/// Place of a tag in a [`CohortIndex`].
pub(super) type TagNumber = u32;

/// Which tag an entity has, if any.
#[derive(Debug, Clone, Default)]
pub struct CohortIndex {
    cohorts: Vec<Cohort>,
    tags: Vec<CohortTag>,
    tag_of_member: AHashMap<EntityId, TagNumber>,
}

impl CohortIndex {
    /// Indexes the members of `cohorts`; where two claim an entity, the first keeps it and the clash is returned.
    pub fn new(cohorts: Vec<Cohort>) -> (Self, Vec<CohortClash>) {
        let mut index = Self::default();
        let mut clashes = Vec::new();
        let mut owner: AHashMap<EntityId, usize> = AHashMap::new();
        for (number, cohort) in cohorts.iter().enumerate() {
            let first = index.tags.len();
            index.tags.extend(cohort.tags.iter().cloned());
            for id in &cohort.members {
                match owner.get(id) {
                    Some(holder) if *holder != number => clashes.push(CohortClash {
                        id: id.clone(),
                        kept_by: cohorts[*holder].name.clone(),
                        claimed_by: cohort.name.clone(),
                    }),
                    Some(_) => {}
                    None if cohort.tags.is_empty() => {}
                    None => {
                        owner.insert(id.clone(), number);
                        let tag = first + spread(id, cohort.tags.len());
                        // Tags are named in a config; 4 billion of them do not fit into memory.
                        index
                            .tag_of_member
                            .insert(id.clone(), TagNumber::try_from(tag).unwrap_or(TagNumber::MAX));
                    }
                }
            }
        }
        index.cohorts = cohorts;
        (index, clashes)
    }

    /// The cohorts, as configured.
    pub fn cohorts(&self) -> &[Cohort] {
        &self.cohorts
    }

    /// The tag of an entity that is in a cohort.
    pub fn tag_of(&self, id: &str) -> Option<&CohortTag> {
        self.tags.get(self.tag_number(id)? as usize)
    }

    pub(super) fn tag_number(&self, id: &str) -> Option<TagNumber> {
        if self.tag_of_member.is_empty() {
            return None;
        }
        self.tag_of_member.get(id).copied()
    }

    /// Every tag of every cohort.
    pub fn tags(&self) -> &[CohortTag] {
        &self.tags
    }
}

/// Which of a cohort's tags a member has: fixed by the id alone, so that every process agrees.
fn spread(id: &str, tags: usize) -> usize {
    usize::from(crc16::State::<crc16::XMODEM>::calculate(id.as_bytes())) % tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(name: &str, tags: &[&str], members: &[&str]) -> Cohort {
        Cohort {
            name: name.into(),
            tags: tags.iter().map(|tag| CohortTag::new(tag).unwrap()).collect(),
            members: members.iter().map(|id| EntityId::try_from(*id).unwrap()).collect(),
        }
    }

    #[test]
    fn a_tag_has_no_brace_and_is_not_empty() {
        assert_eq!(CohortTag::new(""), Err(CohortTagError::Empty));
        assert!(CohortTag::new("a}b").is_err() && CohortTag::new("{vip}").is_err());
        assert!(CohortTag::new("vip 🦀").is_ok());
    }

    #[test]
    fn the_first_cohort_keeps_a_member_that_two_claim() {
        let (index, clashes) =
            CohortIndex::new(vec![cohort("a", &["ta"], &["u1", "u1"]), cohort("b", &["tb"], &["u1", "u2"])]);
        assert_eq!(index.tag_of("u1").map(CohortTag::as_str), Some("ta"));
        assert_eq!(index.tag_of("u2").map(CohortTag::as_str), Some("tb"));
        assert_eq!(index.tag_of("u3"), None);
        assert_eq!(clashes.len(), 1);
        assert_eq!((clashes[0].kept_by.as_str(), clashes[0].claimed_by.as_str()), ("a", "b"));
    }

    #[test]
    fn a_large_cohort_spreads_over_all_its_tags() {
        let ids: Vec<String> = (0..300).map(|n| format!("u{n:04}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (index, _) = CohortIndex::new(vec![cohort("vip", &["v0", "v1", "v2"], &ids)]);
        for tag in index.tags() {
            let share = ids.iter().filter(|id| index.tag_of(id) == Some(tag)).count();
            assert!((50..150).contains(&share), "{tag}: {share}");
        }
    }
}

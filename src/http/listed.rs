//! Lists of ids and feature names in a body, checked while they are read: one allocation per item and none
//! beyond a limit, whatever the body holds.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::model::{EntityId, EntityIdError, FeatureName, FeatureNameError};

/// Most ids in one HTTP batch, whatever the store allows.
pub const IDS_KEPT_MAX: usize = 1_000_000;
/// Most features in one HTTP batch, whatever the store allows.
pub const FEATURES_KEPT_MAX: usize = 16_384;

/// What a list may hold.
pub(super) trait Item: Sized {
    type Error: fmt::Debug;
    const KEPT_MAX: usize;
    fn read(text: &str) -> Result<Self, Self::Error>;
}

impl Item for EntityId {
    type Error = EntityIdError;
    const KEPT_MAX: usize = IDS_KEPT_MAX;
    fn read(text: &str) -> Result<Self, EntityIdError> {
        Self::new(text)
    }
}

impl Item for FeatureName {
    type Error = FeatureNameError;
    const KEPT_MAX: usize = FEATURES_KEPT_MAX;
    fn read(text: &str) -> Result<Self, FeatureNameError> {
        Self::new(text)
    }
}

/// A list as it was read.
#[derive(Debug)]
pub(super) struct Listed<T: Item> {
    /// The items before the first problem, `KEPT_MAX` at most.
    pub(super) items: Vec<T>,
    /// How many the list has.
    pub(super) count: usize,
    /// The first item that can't be used, by its place.
    pub(super) problem: Option<(usize, T::Error)>,
}

impl<'de, T: Item> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Item> Visitor<'de> for ListVisitor<T> {
    type Value = Listed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listed<T>, A::Error> {
        let mut listed = Listed { items: Vec::new(), count: 0, problem: None };
        loop {
            let kept = listed.problem.is_none() && listed.count < T::KEPT_MAX;
            if kept {
                match list.next_element::<One<T>>()? {
                    None => return Ok(listed),
                    Some(One(Ok(item))) => listed.items.push(item),
                    Some(One(Err(error))) => listed.problem = Some((listed.count, error)),
                }
            } else if list.next_element::<AnyText>()?.is_none() {
                return Ok(listed);
            }
            listed.count += 1;
        }
    }
}

/// One item, read from the text in place.
struct One<T: Item>(Result<T, T::Error>);

impl<'de, T: Item> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(|text: &str| Self(T::read(text))))
    }
}

/// A string that is only counted.
struct AnyText;

impl<'de> Deserialize<'de> for AnyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(|_: &str| Self))
    }
}

struct TextVisitor<F>(F);

impl<V, F: FnOnce(&str) -> V> Visitor<'_> for TextVisitor<F> {
    type Value = V;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V, E> {
        Ok((self.0)(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_problem_is_kept_with_its_place_and_the_rest_is_counted() {
        let list: Listed<EntityId> = serde_json::from_str(r#"["a","\u0062","","d",""]"#).unwrap();
        assert_eq!(list.items.iter().map(EntityId::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((list.count, list.problem), (5, Some((2, EntityIdError::Empty))));
        assert!(serde_json::from_str::<Listed<EntityId>>(r#"["a","",7]"#).is_err());
    }

    #[test]
    fn a_list_beyond_the_limit_is_counted_but_not_kept() {
        let text = format!("[{}\"a\"]", "\"a\",".repeat(FEATURES_KEPT_MAX + 9));
        let list: Listed<FeatureName> = serde_json::from_str(&text).unwrap();
        assert_eq!((list.items.len(), list.count), (FEATURES_KEPT_MAX, FEATURES_KEPT_MAX + 10));
    }
}

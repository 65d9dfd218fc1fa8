//! `[[entity]]`: kinds of entity with their prefixes, TTLs, schemas and cohorts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::model::EntityId;
use crate::model::limits::{COHORT_MEMBERS_MAX, TTL_SECONDS_MAX};
use crate::slot::CohortTag;
use crate::store::{CohortMembers, CohortOptions, EntityOptions};

use super::schema::{self, RawFeature, RawFeatureSet};
use super::{ConfigError, DEFAULT_ENTITY, Overrides, read_text};

/// Time between two readings of a cohort's Redis set, where none is given.
const COHORT_REFRESH: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEntity {
    name: String,
    prefix: Option<String>,
    batch_ttl_seconds: Option<u64>,
    streaming_ttl_seconds: Option<u64>,
    #[serde(default)]
    feature: Vec<RawFeature>,
    #[serde(default)]
    feature_set: Vec<RawFeatureSet>,
    #[serde(default)]
    cohort: Vec<RawCohort>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCohort {
    name: String,
    /// One hash tag, or several to spread a large cohort; by default the cohort's name.
    tags: Option<Vec<String>>,
    members: Option<Vec<String>>,
    /// One id a line.
    members_file: Option<PathBuf>,
    /// Key of a Redis set.
    members_set: Option<String>,
    refresh_seconds: Option<u64>,
}

pub(super) fn validate(
    raw: Vec<RawEntity>,
    overrides: &Overrides,
    folder: &Path,
) -> Result<Vec<EntityOptions>, ConfigError> {
    let mut kinds = Vec::with_capacity(raw.len().max(1));
    for (number, entity) in raw.into_iter().enumerate() {
        kinds.push(entity.validate(&format!("entity[{number}]"), folder)?);
    }
    if kinds.is_empty() {
        kinds.push(EntityOptions::new(DEFAULT_ENTITY));
    }
    if let Some(prefix) = &overrides.key_prefix {
        let several = kinds.len() > 1;
        let named = kinds.iter_mut().find(|kind| match &overrides.entity {
            Some(name) => kind.name == *name,
            None => !several,
        });
        match (named, &overrides.entity) {
            (Some(kind), _) => kind.prefix.clone_from(prefix),
            (None, Some(name)) => {
                let known: Vec<_> = kinds.iter().map(|kind| kind.name.as_str()).collect();
                let problem = format!("{name:?} is not configured; there is {}", known.join(", "));
                return Err(ConfigError::invalid("--entity", problem));
            }
            (None, None) => {
                let problem = "several kinds are configured; say with --entity which it is for";
                return Err(ConfigError::invalid("--key-prefix", problem));
            }
        }
    }
    Ok(kinds)
}

impl RawEntity {
    fn validate(self, field: &str, folder: &Path) -> Result<EntityOptions, ConfigError> {
        if self.name.is_empty() {
            return Err(ConfigError::invalid(format!("{field}.name"), "it is empty"));
        }
        let mut options = EntityOptions::new(&self.name);
        if let Some(prefix) = self.prefix {
            options.prefix = prefix;
        }
        for (ttl, given, name) in [
            (&mut options.batch_ttl_seconds, self.batch_ttl_seconds, "batch_ttl_seconds"),
            (&mut options.streaming_ttl_seconds, self.streaming_ttl_seconds, "streaming_ttl_seconds"),
        ] {
            match given {
                None => {}
                Some(seconds) if (1..=TTL_SECONDS_MAX).contains(&seconds) => *ttl = seconds,
                Some(seconds) => {
                    let problem = format!("{seconds} is not between 1 and {TTL_SECONDS_MAX}");
                    return Err(ConfigError::invalid(format!("{field}.{name}"), problem));
                }
            }
        }
        options.schema = schema::validate(self.feature, &self.feature_set, field)?;
        for (number, cohort) in self.cohort.into_iter().enumerate() {
            let cohort = cohort.validate(&format!("{field}.cohort[{number}]"), folder)?;
            if options.cohorts.iter().any(|other| other.name == cohort.name) {
                let problem = format!("{:?} is configured twice", cohort.name);
                return Err(ConfigError::invalid(format!("{field}.cohort[{number}].name"), problem));
            }
            options.cohorts.push(cohort);
        }
        Ok(options)
    }
}

impl RawCohort {
    fn validate(self, field: &str, folder: &Path) -> Result<CohortOptions, ConfigError> {
        let tags = self.tags.unwrap_or_else(|| vec![self.name.clone()]);
        if tags.is_empty() {
            return Err(ConfigError::invalid(format!("{field}.tags"), "a cohort needs at least one tag"));
        }
        let tags = tags.iter().enumerate().map(|(number, tag)| {
            CohortTag::new(tag)
                .map_err(|error| ConfigError::invalid(format!("{field}.tags[{number}]"), error))
        });
        let tags = tags.collect::<Result<Vec<_>, _>>()?;
        if self.refresh_seconds.is_some() && self.members_set.is_none() {
            return Err(ConfigError::invalid(
                format!("{field}.refresh_seconds"),
                "only members_set is read again and again",
            ));
        }
        let members = match (self.members, self.members_file, self.members_set) {
            (Some(members), None, None) => {
                CohortMembers::Listed(ids(members.iter().map(String::as_str), |index| {
                    format!("{field}.members[{index}]")
                })?)
            }
            (None, Some(file), None) => {
                let path = folder.join(file);
                let text = read_text(&path)?;
                // Some editors put a byte order mark before the first id.
                let lines = text.strip_prefix('\u{feff}').unwrap_or(&text).lines();
                CohortMembers::Listed(ids(lines, |index| format!("{}:{}", path.display(), index + 1))?)
            }
            (None, None, Some(key)) => {
                let refresh = self.refresh_seconds.map_or(COHORT_REFRESH, Duration::from_secs);
                if refresh.is_zero() {
                    return Err(ConfigError::invalid(format!("{field}.refresh_seconds"), "it is 0"));
                }
                CohortMembers::RedisSet { key, refresh }
            }
            _ => {
                let problem = "give exactly one of members, members_file and members_set";
                return Err(ConfigError::invalid(field, problem));
            }
        };
        Ok(CohortOptions { name: self.name, tags, members })
    }
}

/// The ids that `texts` are; `place` names the one at an index.
fn ids<'t>(
    texts: impl Iterator<Item = &'t str>,
    place: impl Fn(usize) -> String,
) -> Result<Vec<EntityId>, ConfigError> {
    let mut ids = Vec::new();
    for (number, text) in texts.enumerate() {
        let wrong = |problem: String| ConfigError::invalid(place(number), problem);
        if number >= COHORT_MEMBERS_MAX {
            return Err(wrong(format!("more than {COHORT_MEMBERS_MAX} members")));
        }
        ids.push(EntityId::new(text).map_err(|error| wrong(error.to_string()))?);
    }
    Ok(ids)
}

//! The members of VIP cohorts: listed ones at once, those kept in a Redis set now and again on an interval.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use tokio::task::AbortHandle;

use crate::model::limits::{ADMIN_TIMEOUT, COHORT_MEMBERS_MAX, SCAN_PAGE_KEYS};
use crate::model::{EntityId, UnavailableReason};
use crate::shard::{Command, Reply};
use crate::slot::{Cohort, CohortIndex, KeyLayout};

use super::error::StoreError;
use super::fan_out::Effect;
use super::read_metrics::FeatureMetrics;
use super::ttl_sample::RecentIds;
use super::{CohortMembers, CohortOptions, Engine, EntityOptions, FeatureStore, Kind};

/// A kind whose cohorts have the members that are listed; those in Redis are read later.
pub(super) fn kind(options: EntityOptions) -> Result<Arc<Kind>, StoreError> {
    let listed = |cohort: &CohortOptions| match &cohort.members {
        CohortMembers::Listed(members) => members.clone(),
        CohortMembers::RedisSet { .. } => Vec::new(),
    };
    let members = options.cohorts.iter().map(listed).collect();
    let layout = layout(&options, members)?;
    let features = FeatureMetrics::new(&options.name, &options.schema);
    let recent = RecentIds::default();
    Ok(Arc::new(Kind { layout: ArcSwap::from_pointee(layout), options, features, recent }))
}

fn layout(options: &EntityOptions, members: Vec<Vec<EntityId>>) -> Result<KeyLayout, StoreError> {
    let cohorts = options.cohorts.iter().zip(members).map(|(cohort, members)| Cohort {
        name: cohort.name.clone(),
        tags: cohort.tags.clone(),
        members,
    });
    let (index, clashes) = CohortIndex::new(cohorts.collect());
    if let Some(clash) = clashes.first() {
        // The id itself is not logged: it may name a person.
        tracing::warn!(
            entity = options.name,
            kept_by = clash.kept_by,
            claimed_by = clash.claimed_by,
            ids = clashes.len(),
            "ids are in two cohorts"
        );
    }
    let layout = KeyLayout::new(&options.prefix, index);
    let layout = layout.map_err(|error| StoreError::Options(error.to_string()))?;
    for cohort in layout.cohorts().cohorts() {
        let wrong = cohort.members.iter().find_map(|id| layout.key(id).err());
        if let Some(error) = wrong {
            return Err(StoreError::Options(format!("cohort {:?}: {error}", cohort.name)));
        }
    }
    Ok(layout)
}

impl FeatureStore {
    /// Reads the cohorts that are kept in Redis sets, for every kind.
    pub(super) async fn read_cohort_sets_now(&self) -> Result<(), StoreError> {
        for kind in &self.engine.kinds {
            self.engine.read_cohort_sets(kind).await?;
        }
        Ok(())
    }
}

impl Engine {
    /// Reads the sets of one kind and swaps its layout whole.
    async fn read_cohort_sets(&self, kind: &Kind) -> Result<(), StoreError> {
        if !kind.options.cohorts.iter().any(|cohort| matches!(cohort.members, CohortMembers::RedisSet { .. }))
        {
            return Ok(());
        }
        let mut members = Vec::with_capacity(kind.options.cohorts.len());
        for cohort in &kind.options.cohorts {
            members.push(match &cohort.members {
                CohortMembers::Listed(listed) => listed.clone(),
                CohortMembers::RedisSet { key, .. } => self.read_set(&cohort.name, key).await?,
            });
        }
        kind.layout.store(Arc::new(layout(&kind.options, members)?));
        Ok(())
    }

    async fn read_set(&self, cohort: &str, key: &str) -> Result<Vec<EntityId>, StoreError> {
        let wrong = |why: String| StoreError::Options(format!("cohort {cohort:?}, set {key:?}: {why}"));
        let mut members = Vec::new();
        let mut cursor = b"0".to_vec();
        loop {
            let page = Command::new("SSCAN").arg(key).arg(&cursor).arg("COUNT").number(SCAN_PAGE_KEYS as u64);
            let mut replies = self
                .run_key(key.as_bytes(), vec![page], Effect::None, ADMIN_TIMEOUT)
                .await
                .map_err(|reason| match reason {
                    UnavailableReason::Refused(answer) => wrong(answer.to_string()),
                    reason => StoreError::Broken(format!("cohort {cohort:?}, set {key:?}: {reason}")),
                })?;
            let parts = replies.pop().and_then(Reply::into_array).map(<[Reply; 2]>::try_from);
            let Some(Ok([next, page])) = parts else {
                return Err(wrong("an answer of unknown shape".into()));
            };
            for member in page.into_array().unwrap_or_default() {
                let text = member.as_str().ok_or_else(|| wrong("a member is no UTF-8".into()))?;
                members.push(EntityId::new(text).map_err(|error| wrong(error.to_string()))?);
            }
            if members.len() > COHORT_MEMBERS_MAX {
                return Err(wrong(format!("more than {COHORT_MEMBERS_MAX} members")));
            }
            cursor = next.as_bytes().unwrap_or(b"0").to_vec();
            if cursor == b"0" {
                // A scan may give a member twice.
                members.sort_unstable();
                members.dedup();
                return Ok(members);
            }
        }
    }
}

/// Tasks that read the sets again; they end with the engine.
pub(super) struct Background {
    engine: Weak<Engine>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Background {
    pub(super) fn new(engine: Weak<Engine>) -> Self {
        Self { engine, tasks: Mutex::default() }
    }

    /// Starts one task per kind that has a cohort in a Redis set, at the shortest interval of its cohorts.
    pub(super) fn keep_reading(&self, kinds: &[Arc<Kind>]) {
        for kind in kinds {
            let intervals = kind.options.cohorts.iter().filter_map(|cohort| match cohort.members {
                CohortMembers::RedisSet { refresh, .. } => Some(refresh),
                CohortMembers::Listed(_) => None,
            });
            let Some(interval) = intervals.min() else { continue };
            let (engine, kind) = (Weak::clone(&self.engine), Arc::clone(kind));
            let task = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(interval).await;
                    let Some(engine) = engine.upgrade() else { return };
                    if let Err(error) = engine.read_cohort_sets(&kind).await {
                        tracing::warn!(entity = kind.options.name, %error, "cohorts keep their last members");
                    }
                }
            });
            self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task.abort_handle());
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

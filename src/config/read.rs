//! `[read]` and `[shard]`: the limits of requests and of pipelines.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;

use crate::store::StoreOptions;

use super::ConfigError;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRead {
    batch_ids_max: Option<usize>,
    batch_features_max: Option<usize>,
    batch_cells_max: Option<usize>,
    request_timeout_ms: Option<u64>,
    request_timeout_max_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawShard {
    pipeline_commands_max: Option<usize>,
    pipelines_in_flight_max: Option<usize>,
}

pub(super) fn validate(read: &RawRead, shard: &RawShard) -> Result<StoreOptions, ConfigError> {
    let default = StoreOptions::default();
    let ms = |given: Option<u64>, default: Duration| given.map_or(default, Duration::from_millis);
    let options = StoreOptions {
        batch_ids_max: count(read.batch_ids_max, default.batch_ids_max, "read.batch_ids_max")?,
        batch_features_max: count(
            read.batch_features_max,
            default.batch_features_max,
            "read.batch_features_max",
        )?,
        batch_cells_max: count(read.batch_cells_max, default.batch_cells_max, "read.batch_cells_max")?,
        pipeline_commands_max: count(
            shard.pipeline_commands_max,
            default.pipeline_commands_max,
            "shard.pipeline_commands_max",
        )?,
        shard_pipelines_in_flight_max: count(
            shard.pipelines_in_flight_max,
            default.shard_pipelines_in_flight_max,
            "shard.pipelines_in_flight_max",
        )?,
        request_timeout: ms(read.request_timeout_ms, default.request_timeout),
        request_timeout_max: ms(read.request_timeout_max_ms, default.request_timeout_max),
    };
    if options.request_timeout.is_zero() || options.request_timeout > options.request_timeout_max {
        return Err(ConfigError::invalid(
            "read.request_timeout_ms",
            format!("it is not between 1 and request_timeout_max_ms ({:?})", options.request_timeout_max),
        ));
    }
    Ok(options)
}

fn count(given: Option<usize>, default: usize, field: &str) -> Result<usize, ConfigError> {
    match given.map(NonZeroUsize::new) {
        None => Ok(default),
        Some(Some(count)) => Ok(count.get()),
        Some(None) => Err(ConfigError::invalid(field, "0 would refuse everything")),
    }
}

//! `[read]` and `[shard]`: the limits of requests and of pipelines.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;

use crate::model::limits::LANES_PER_NODE_MAX;
use crate::store::{HedgeOptions, ReadFrom, StoreOptions, Transport};

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
    commands_in_flight_max: Option<usize>,
    transport: Option<RawTransport>,
    lanes_per_node: Option<usize>,
    read_from: Option<RawReadFrom>,
    hedge: Option<bool>,
    hedge_budget_percent: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawReadFrom {
    Primary,
    PrimaryThenReplica,
    Nearest,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawTransport {
    Lanes,
    Cluster,
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
        shard_commands_in_flight_max: count(
            shard.commands_in_flight_max,
            default.shard_commands_in_flight_max,
            "shard.commands_in_flight_max",
        )?,
        transport: transport(shard)?,
        read_from: match shard.read_from {
            None => default.read_from,
            Some(RawReadFrom::Primary) => ReadFrom::Primary,
            Some(RawReadFrom::PrimaryThenReplica) => ReadFrom::PrimaryThenReplica,
            Some(RawReadFrom::Nearest) => ReadFrom::Nearest,
        },
        hedge: hedge(shard)?,
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

fn transport(shard: &RawShard) -> Result<Transport, ConfigError> {
    let wrong = |problem: String| ConfigError::invalid("shard.lanes_per_node", problem);
    match (&shard.transport, shard.lanes_per_node) {
        (Some(RawTransport::Cluster), _) => Ok(Transport::Cluster),
        (_, None) => Ok(Transport::default()),
        (_, Some(per_node)) if (1..=LANES_PER_NODE_MAX).contains(&per_node) => {
            Ok(Transport::Lanes { per_node })
        }
        (_, Some(given)) => Err(wrong(format!("{given} is not between 1 and {LANES_PER_NODE_MAX}"))),
    }
}

fn hedge(shard: &RawShard) -> Result<Option<HedgeOptions>, ConfigError> {
    let budget_percent = shard.hedge_budget_percent.unwrap_or(HedgeOptions::default().budget_percent);
    let wrong = |field: &str, problem: &str| Err(ConfigError::invalid(format!("shard.{field}"), problem));
    match shard.hedge {
        Some(true) if matches!(shard.read_from, Some(RawReadFrom::Primary)) => {
            wrong("hedge", "with read_from = \"primary\" there is no second node to ask")
        }
        Some(true) if !(1..=100).contains(&budget_percent) => {
            wrong("hedge_budget_percent", "it is not between 1 and 100")
        }
        Some(true) => Ok(Some(HedgeOptions { budget_percent })),
        _ if shard.hedge_budget_percent.is_some() => {
            wrong("hedge_budget_percent", "reads are not hedged; say hedge = true")
        }
        _ => Ok(None),
    }
}

fn count(given: Option<usize>, default: usize, field: &str) -> Result<usize, ConfigError> {
    match given.map(NonZeroUsize::new) {
        None => Ok(default),
        Some(Some(count)) => Ok(count.get()),
        Some(None) => Err(ConfigError::invalid(field, "0 would refuse everything")),
    }
}

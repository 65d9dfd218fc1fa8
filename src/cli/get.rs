//! `slotwise get`: features of one entity.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::encode::Format;
use crate::model::{EntityId, FeatureName};

use super::common::{
    Common, UsageError, end_line, feature_names, projection, refuse_binary_on_terminal, wrong_request,
    wrong_store,
};

const EXAMPLES: &str = "\
Examples:
  slotwise get u0001 risk_segment tx_count_5m
  slotwise get u0001                              every feature it has
  slotwise get --format csv u0001 country_iso
  slotwise get --config slotwise.toml u0001 --feature-set fraud_v3 --defaults

A feature that is absent is null (an empty cell in CSV). Exit status 3 where the shard could not answer, or a value is \
not of its type.";

/// Arguments of `slotwise get`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GetArgs {
    /// The entity's id
    id: String,
    /// The features; without any, every feature that the entity has
    #[arg(conflicts_with = "feature_set")]
    features: Vec<String>,
    /// A set of features that the config names
    #[arg(long, value_name = "NAME")]
    feature_set: Option<String>,
    /// Put the schema's defaults in the place of absent values
    #[arg(long)]
    defaults: bool,
    /// Output format: ndjson, json, csv or arrow (binary)
    #[arg(long, default_value_t = Format::Ndjson)]
    format: Format,
    /// Deadline in milliseconds [default: the config's]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout_ms: Option<u64>,
}

/// Runs the command.
pub(super) async fn run(common: &Common, args: GetArgs) -> anyhow::Result<ExitCode> {
    refuse_binary_on_terminal(args.format)?;
    let id = EntityId::new(args.id).map_err(|error| UsageError(format!("ID: {error}")))?;
    let mut features = feature_names(args.features.iter().map(String::as_str))?;
    let store = common.store().await?;
    if features.is_empty() && args.feature_set.is_none() {
        let inspection = store.inspect(&id).await.map_err(wrong_store)?;
        let name =
            |field: &crate::store::FieldView| FeatureName::new(std::str::from_utf8(&field.name).ok()?).ok();
        features = inspection.fields.iter().filter_map(name).collect();
        if features.is_empty() {
            writeln!(std::io::stderr(), "{id:?}: there is no such entity")?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let started = std::time::Instant::now();
    let timeout = args.timeout_ms.map(Duration::from_millis);
    let projection = projection(&store, args.feature_set.as_deref(), features, args.defaults)?;
    let mut unparsable = vec![0; projection.len()];
    let batch = store.batch_get_projection([id], projection, timeout).await.map_err(wrong_request)?;
    batch.count_unparsable(&mut unparsable);
    let mut out = args.format.encode(&batch, started.elapsed())?;
    end_line(args.format, &mut out);
    stdout().write_all(&out)?;
    if batch.summary().stale_possible > 0 {
        writeln!(std::io::stderr(), "a replica answered; the primary may have newer values")?;
    }
    let whole = batch.summary().unavailable == 0 && unparsable.iter().all(|values| *values == 0);
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(super::DONE_IN_PART) })
}

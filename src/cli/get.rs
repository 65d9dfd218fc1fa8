//! `slotwise get`: features of one entity.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::encode::Format;
use crate::model::{EntityId, FeatureName, RowStatus};

use super::common::{
    Common, UsageError, end_line, feature_names, refuse_binary_on_terminal, wrong_request, wrong_store,
};

const EXAMPLES: &str = "\
Examples:
  slotwise get u0001 risk_segment tx_count_5m
  slotwise get u0001                              every feature it has
  slotwise get --format csv u0001 country_iso

A feature that is absent is null (an empty cell in CSV). Exit status 3 where the shard could not answer.";

/// Arguments of `slotwise get`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GetArgs {
    /// The entity's id
    id: String,
    /// The features; without any, every feature that the entity has
    features: Vec<String>,
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
    if features.is_empty() {
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
    let batch = store.get_features(id, features, timeout).await.map_err(wrong_request)?;
    let mut out = args.format.encode(&batch, started.elapsed())?;
    end_line(args.format, &mut out);
    stdout().write_all(&out)?;
    Ok(match batch.row(0).map(|row| row.status) {
        Some(RowStatus::Unavailable) => ExitCode::from(super::DONE_IN_PART),
        _ => ExitCode::SUCCESS,
    })
}

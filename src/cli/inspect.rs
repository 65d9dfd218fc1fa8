//! `slotwise inspect`: everything Redis holds of one entity, with TTLs.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args;

use crate::model::EntityId;

use super::common::{Common, UsageError, wrong_store};

const EXAMPLES: &str = "\
Examples:
  slotwise inspect u0001
  slotwise inspect --entity merchant m42

TTLs are seconds; -1: none of its own, -2: absent.";

/// Arguments of `slotwise inspect`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InspectArgs {
    /// The entity's id
    id: String,
}

/// Runs the command.
pub(super) async fn run(common: &Common, args: InspectArgs) -> anyhow::Result<ExitCode> {
    let id = EntityId::new(args.id).map_err(|error| UsageError(format!("ID: {error}")))?;
    let store = common.store().await?;
    let seen = store.inspect(&id).await.map_err(wrong_store)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).escape_debug().to_string();
    let mut out = stdout().lock();
    let shard = seen.shard.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    writeln!(out, "key\t{}", text(&seen.key))?;
    writeln!(out, "slot\t{}\nshard\t{shard}\nexists\t{}", seen.slot, seen.exists)?;
    writeln!(out, "key_ttl_seconds\t{}", seen.key_ttl_seconds)?;
    if !seen.fields.is_empty() {
        writeln!(out, "\nfeature\tvalue\tttl_seconds")?;
    }
    for field in &seen.fields {
        writeln!(out, "{}\t{}\t{}", text(&field.name), text(&field.value), field.ttl_seconds)?;
    }
    Ok(ExitCode::SUCCESS)
}

//! `slotwise cohort`: VIP cohorts, and moving entities under the cohort's key and back.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Subcommand};

use crate::store::{MoveDirection, MoveOutcome};

use super::common::{Common, wrong_request};
use super::progress::{self, Unit};

const EXAMPLES: &str = "\
Examples:
  slotwise --config slotwise.toml cohort list
  slotwise --config slotwise.toml cohort move vip            bring existing members under the cohort's key
  slotwise --config slotwise.toml cohort move vip --back     and back, before taking the cohort out of the config

Cohorts are named in the config. Between putting an id into a cohort and moving it, reads look under the cohort's \
key and find nothing there; move right away. Key TTL and field TTLs are kept. A move that was interrupted is \
finished by running it again. Exit status 3 where an entity could not be moved.";

/// Arguments of `slotwise cohort`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CohortArgs {
    #[command(subcommand)]
    command: CohortCommand,
}

#[derive(Debug, Subcommand)]
enum CohortCommand {
    /// List the cohorts: tags, slots, shards, members
    #[command(after_help = EXAMPLES)]
    List,
    /// Bring a cohort's entities under its key, or back
    #[command(after_help = EXAMPLES)]
    Move(MoveArgs),
}

#[derive(Debug, Args)]
struct MoveArgs {
    /// The cohort
    name: String,
    /// From the cohort's key back to the plain one
    #[arg(long)]
    back: bool,
}

/// Runs the command.
pub(super) async fn run(common: &Common, args: CohortArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        CohortCommand::List => list(common).await,
        CohortCommand::Move(args) => move_cohort(common, &args).await,
    }
}

async fn list(common: &Common) -> anyhow::Result<ExitCode> {
    let store = common.store().await?;
    let (layout, topology) = (store.layout(), store.topology());
    let mut out = stdout().lock();
    writeln!(out, "cohort\tmembers\ttag\tslot\tshard")?;
    for cohort in layout.cohorts().cohorts() {
        for tag in &cohort.tags {
            let shard =
                topology.shard_of(tag.slot()).map_or_else(|| "none".to_owned(), |s| s.primary.to_string());
            let members = cohort.members.iter().filter(|id| layout.cohorts().tag_of(id) == Some(tag)).count();
            writeln!(out, "{}\t{members}\t{tag}\t{}\t{shard}", cohort.name, tag.slot())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn move_cohort(common: &Common, args: &MoveArgs) -> anyhow::Result<ExitCode> {
    let store = common.store().await?;
    let direction = if args.back { MoveDirection::OutOfCohort } else { MoveDirection::IntoCohort };
    let layout = store.layout();
    let members = layout.cohorts().cohorts().iter().find(|cohort| cohort.name == args.name);
    let bar = progress::bar(members.map(|cohort| cohort.members.len() as u64), Unit::Rows);
    let started = Instant::now();
    let mut unsaid = None;
    let report = store
        .move_cohort(&args.name, direction, |id, outcome| {
            bar.inc(1);
            if let MoveOutcome::Failed(why) = outcome {
                let line = bar.suspend(|| writeln!(stderr(), "{id:?}: not moved: {why}"));
                unsaid = unsaid.take().or(line.err());
            }
        })
        .await
        .map_err(wrong_request)?;
    bar.finish_and_clear();
    if let Some(error) = unsaid {
        return Err(error.into());
    }
    writeln!(
        stdout(),
        "{} moved, {} merged into what was there, {} there already, {} absent, {} failed, in {:.1} s",
        report.moved,
        report.merged,
        report.already_there,
        report.absent,
        report.failed,
        started.elapsed().as_secs_f64()
    )?;
    Ok(if report.failed > 0 { ExitCode::from(super::DONE_IN_PART) } else { ExitCode::SUCCESS })
}

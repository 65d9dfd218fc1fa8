//! The command line: one file per command, one line per command in `Command`.

mod batch;
mod cluster;
mod cohort;
mod common;
mod completions;
mod dashboards;
mod demo;
mod get;
mod inspect;
mod load;
mod logging;
mod progress;
mod serve;
mod server;
mod signals;
mod slots;
mod traces;

pub use common::UsageError;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use common::Common;

/// Exit status of a run that is done, but for rows that were rejected or unavailable, or values not of their type.
const DONE_IN_PART: u8 = 3;

const EXAMPLES: &str = "\
Examples:
  slotwise demo                                             a cluster, data, a server: everything, to try it
  export SLOTWISE_REDIS_URL=$(slotwise cluster up)          a local cluster that stays
  slotwise load --synthetic 100000                          put users into it
  slotwise batch --ids ids.txt --features risk_segment,tx_count_7d --output features.ndjson
  slotwise serve --config slotwise.toml                     the production server

Environment: SLOTWISE_REDIS_URL, SLOTWISE_REDIS_USERNAME, SLOTWISE_REDIS_PASSWORD; for rediss:// PEM files in
SLOTWISE_REDIS_TLS_CA_FILE, SLOTWISE_REDIS_TLS_CERT_FILE and SLOTWISE_REDIS_TLS_KEY_FILE.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but some rows were rejected or unavailable, or \
some values not of their type.";

/// Serves machine-learning features out of Redis Cluster: one pipeline per shard, all shards at once, answers in
/// order, within a deadline, every gap explained.
#[derive(Debug, Parser)]
#[command(name = "slotwise", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything on this machine, to try it: a cluster, users, a stream of features, the server
    Demo(demo::DemoArgs),
    /// The production server
    Serve(serve::ServeArgs),
    /// Load rows: batch features under the key's TTL
    Load(load::LoadArgs),
    /// Read features of many entities, in input order
    Batch(batch::BatchArgs),
    /// Read features of one entity
    Get(get::GetArgs),
    /// Show everything Redis holds of one entity, with TTLs
    Inspect(inspect::InspectArgs),
    /// Show where ids lie: key, slot, shard; and how a list spreads over the shards
    Slots(slots::SlotsArgs),
    /// VIP cohorts: list them, bring existing entities under the cohort's key and back
    Cohort(cohort::CohortArgs),
    /// A local Redis Cluster that outlives the command
    Cluster(cluster::ClusterArgs),
    /// Write Grafana dashboards, Prometheus rules and alerts
    Dashboards(dashboards::DashboardsArgs),
    /// Print shell completions
    Completions(completions::CompletionsArgs),
}

/// Runs the command that was asked for.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { common, command } = cli;
    let traces = match &command {
        Command::Demo(args) => args.traces.options(&common)?,
        Command::Serve(args) => args.traces.options(&common)?,
        _ => None,
    };
    let export = logging::start(&common, traces.as_ref())?;
    let outcome = run_command(command, &common).await;
    // Whoever ends the program by a second signal does not want to wait.
    if let (Ok(_), Some(export)) = (&outcome, export) {
        export.finish().await;
    }
    outcome
}

async fn run_command(command: Command, common: &Common) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(common, args).await,
        Command::Serve(args) => serve::run(common, args).await,
        Command::Load(args) => load::run(common, args).await,
        Command::Batch(args) => batch::run(common, args).await,
        Command::Get(args) => get::run(common, args).await,
        Command::Inspect(args) => inspect::run(common, args).await,
        Command::Slots(args) => slots::run(common, args).await,
        Command::Cohort(args) => cohort::run(common, args).await,
        Command::Cluster(args) => cluster::run(args).await,
        Command::Dashboards(args) => dashboards::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

//! The command line: one file per command.

pub mod cluster;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Serves machine-learning features out of Redis Cluster.
#[derive(Debug, Parser)]
#[command(name = "slotwise", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A local Redis Cluster that outlives the command
    Cluster(cluster::ClusterArgs),
}

/// Runs the command that was asked for.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Cluster(args) => cluster::run(args).await,
    }
}

//! `slotwise cluster up|status|down`: a local Redis Cluster that outlives the command.

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand};

use super::signals::Interrupted;
use crate::devcluster::{
    self, ClusterSpec, ClusterState, LocalCluster, NodeRole, NodeStatus, ServerBinary, sweep_stale,
};

const EXAMPLES: &str = "\
Examples:
  slotwise cluster up                            three primaries on ports 7101 to 7103
  slotwise cluster up --shards 6 --replicas 1 --port 7201
  slotwise cluster status --port 7201
  slotwise cluster down --port 7201
  export SLOTWISE_REDIS_URL=$(slotwise cluster up)

The server is the one SLOTWISE_REDIS_SERVER names, or else redis-server or valkey-server in PATH, or else the \
one that `make redis` built. `status` exits with 1 where the cluster is not ok.";

/// Arguments of `slotwise cluster`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Start a cluster and print its URLs
    #[command(after_help = EXAMPLES)]
    Up(UpArgs),
    /// Show every node of a cluster
    #[command(after_help = EXAMPLES)]
    Status(WhereArgs),
    /// Stop a cluster and remove its files
    #[command(after_help = EXAMPLES)]
    Down(WhereArgs),
}

#[derive(Debug, Args)]
struct UpArgs {
    /// Number of primaries
    #[arg(long, default_value_t = 3, value_parser = number(1, ClusterSpec::SHARDS_MAX))]
    shards: usize,
    /// Number of replicas of each primary
    #[arg(long, default_value_t = 0, value_parser = number(0, ClusterSpec::REPLICAS_MAX))]
    replicas: usize,
    #[command(flatten)]
    place: WhereArgs,
}

/// Which cluster.
#[derive(Debug, Args)]
struct WhereArgs {
    /// First of the consecutive ports; each node's bus port is 10000 higher
    #[arg(long, default_value_t = 7101, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Folder of the cluster [default: one per first port in the user's cache]
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl WhereArgs {
    fn dir(&self) -> anyhow::Result<PathBuf> {
        match &self.dir {
            Some(dir) => Ok(dir.clone()),
            None => devcluster::cache_dir()
                .map(|cache| cache.join("clusters").join(self.port.to_string()))
                .context("no home folder is set: say with --dir where the cluster shall be"),
        }
    }
}

/// Runs the command.
pub(super) async fn run(args: ClusterArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        ClusterCommand::Up(args) => up(args).await,
        ClusterCommand::Status(place) => status(&place).await,
        ClusterCommand::Down(place) => down(&place).await,
    }
}

async fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    let dir = args.place.dir()?;
    if let Some(state) = devcluster::read_state(&dir)?
        && state.running() > 0
    {
        return already_up(&args, &state).await;
    }
    let mut interrupted = Interrupted::listen()?;
    let server = ServerBinary::find().await?;
    let spec = ClusterSpec {
        replicas: args.replicas,
        first_port: Some(args.place.port),
        dir: Some(dir.clone()),
        ..ClusterSpec::new(server, args.shards)
    };
    spec.validate()?;
    if sweep_stale(&dir)? {
        writeln!(stderr(), "removed the files of a cluster in {} that no longer runs", dir.display())?;
    }
    writeln!(stderr(), "starting {} nodes of {} …", spec.node_count(), spec.server.version())?;
    let begun = Instant::now();
    let cluster = tokio::select! {
        started = LocalCluster::start(spec) => started?,
        // Dropping the start stops what it had started.
        () = interrupted.wait() => bail!("interrupted; everything that was started is stopped again"),
    };
    let state = cluster.detach()?;
    let (dir, took) = (state.dir().display(), begun.elapsed().as_secs_f64());
    writeln!(stderr(), "up in {took:.1} s; every node agrees; files in {dir}")?;
    writeln!(stderr(), "stop it with: slotwise cluster down {}", place_flags(&args.place))?;
    writeln!(stdout(), "{}", state.urls())?;
    Ok(ExitCode::SUCCESS)
}

/// A second `up` is fine where it finds what it asks for.
async fn already_up(args: &UpArgs, state: &ClusterState) -> anyhow::Result<ExitCode> {
    let flags = place_flags(&args.place);
    let found = format!("{} with {} each", count(state.shards, "shard"), count(state.replicas, "replica"));
    let dir = state.dir().display();
    let first_port = state.nodes.first().map_or(0, |node| node.port);
    if (state.shards, state.replicas, first_port) != (args.shards, args.replicas, args.place.port) {
        bail!(
            "a cluster of {found} from port {first_port} is already up in {dir}; \
             stop it first: slotwise cluster down {flags}"
        );
    }
    let status = devcluster::status(state.dir()).await?;
    if let Some(why) = status.degraded {
        bail!(
            "a cluster is already up in {dir}, but degraded: {why}; stop it first: slotwise cluster down {flags}"
        );
    }
    writeln!(stderr(), "a cluster of {found} is already up in {dir}")?;
    writeln!(stdout(), "{}", state.urls())?;
    Ok(ExitCode::SUCCESS)
}

async fn status(place: &WhereArgs) -> anyhow::Result<ExitCode> {
    let status = devcluster::status(&place.dir()?).await?;
    let mut out = stdout().lock();
    writeln!(
        out,
        "{:<21}  {:<7}  {:>8}  {:<5}  {:>5}  {:>10}",
        "ADDRESS", "ROLE", "PID", "ALIVE", "SLOTS", "KEYS"
    )?;
    for node in &status.nodes {
        writeln!(out, "{}", node_line(node))?;
    }
    let server = status.state.server;
    match status.degraded {
        None => {
            writeln!(out, "ok: every node agrees ({server}, {})", status.state.urls())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(why) => {
            writeln!(out, "degraded: {why} ({server})")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn node_line(node: &NodeStatus) -> String {
    let role = match node.role {
        Some(NodeRole::Primary) => "primary",
        Some(NodeRole::Replica) => "replica",
        None => "-",
    };
    let alive = if node.alive { "yes" } else { "no" };
    let addr = node.addr.to_string();
    format!("{addr:<21}  {role:<7}  {:>8}  {alive:<5}  {:>5}  {:>10}", node.pid, node.slots, node.keys)
}

async fn down(place: &WhereArgs) -> anyhow::Result<ExitCode> {
    let dir = place.dir()?;
    let shown = dir.display();
    // Twice is fine: what was asked for is so.
    match devcluster::down(&dir).await? {
        None => writeln!(stderr(), "no cluster in {shown}; nothing to stop")?,
        Some(done) => {
            let devcluster::Downed { stopped, killed, gone } = done;
            writeln!(
                stderr(),
                "cluster in {shown}: {stopped} stopped, {killed} killed, {gone} gone before; its files are removed"
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `1 node`, `3 nodes`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A number between two others; anything else is wrong usage.
fn number(low: usize, high: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(low as u64..=high as u64)
}

/// The flags that name this cluster again.
fn place_flags(place: &WhereArgs) -> String {
    match &place.dir {
        Some(dir) => format!("--dir {}", dir.display()),
        None => format!("--port {}", place.port),
    }
}

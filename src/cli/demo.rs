//! `slotwise demo`: a real cluster, users, a stream of features and the server, all gone when it ends.

use std::io::{Write, stderr, stdout};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use futures::stream;

use crate::config::Config;
use crate::devcluster::{ClusterSpec, LocalCluster, ServerBinary};
use crate::http::HttpOptions;
use crate::ingest::{SYNTHETIC_SEED, StreamOptions, SyntheticUsers, stream_features};
use crate::metrics;
use crate::model::EntityId;
use crate::model::limits::TTL_SECONDS_MAX;
use crate::shard::RedisSettings;
use crate::store::FeatureStore;

use super::common::{Common, UsageError, connect, redis_url_is_given, wrong_request, wrong_store};
use super::server::{self, AccessArgs};
use super::signals::Interrupted;
use super::traces::TraceArgs;

const EXAMPLES: &str = "\
Examples:
  slotwise demo                                            a local cluster of three shards, removed on exit
  slotwise demo --port 9000 --shards 6 --seed-users 5000
  slotwise demo --streaming-ttl-seconds 30                 streaming features drop out fast
  slotwise demo --redis-url redis://127.0.0.1:7101         on a cluster that is there already; empties the prefix first

Then:
  curl localhost:8090/v1/features/batch -d '{\"ids\":[\"u0001\",\"u0002\"],\"features\":[\"risk_segment\",\"tx_count_5m\"]}'";

/// Most users that a demo makes up.
const SEED_USERS_MAX: u64 = 1_000_000;

/// Arguments of `slotwise demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; the next free one where it is taken
    #[arg(long, default_value_t = 8090)]
    port: u16,
    /// Key TTL of batch features, in seconds [default: 86400, or the config's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=TTL_SECONDS_MAX))]
    batch_ttl_seconds: Option<u64>,
    /// Field TTL of streaming features, in seconds [default: 300, or the config's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=TTL_SECONDS_MAX))]
    streaming_ttl_seconds: Option<u64>,
    /// Users that get new streaming features every second
    #[arg(long, value_name = "N", default_value_t = StreamOptions::default().users_per_tick, value_parser = RangedU64ValueParser::<usize>::new().range(1..=500))]
    users_per_tick: usize,
    /// Users to load
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=SEED_USERS_MAX))]
    seed_users: u64,
    /// Shards of the local cluster
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = RangedU64ValueParser::<usize>::new().range(1..=ClusterSpec::SHARDS_MAX as u64))]
    shards: usize,
    /// Keep what is under the key prefix already; without it, that is deleted first
    #[arg(long)]
    no_reset: bool,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    pub(super) traces: TraceArgs,
}

/// Runs the command.
pub(super) async fn run(common: &Common, args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Interrupted::listen()?;
    // Before the store is there: what is counted is looked up once, when it is made.
    let page = metrics::install()?;
    let mut config = common.settings()?;
    if config.redis.is_some() && !redis_url_is_given() {
        // A demo empties its prefix: never that of a cluster which was set up for something else.
        writeln!(
            stderr(),
            "the demo starts a cluster of its own; SLOTWISE_REDIS_URL and the config's addresses are left alone \
             (--redis-url says which other one to use)"
        )?;
        config.redis = None;
    }
    for kind in &mut config.entities {
        kind.batch_ttl_seconds = args.batch_ttl_seconds.unwrap_or(kind.batch_ttl_seconds);
        kind.streaming_ttl_seconds = args.streaming_ttl_seconds.unwrap_or(kind.streaming_ttl_seconds);
        if kind.prefix.is_empty() && config.redis.is_some() && !args.no_reset {
            let problem = "an empty key prefix: the demo would delete every key of the cluster; give a \
                           --key-prefix, or --no-reset to keep what is there";
            return Err(UsageError(problem.to_owned()).into());
        }
    }
    // An address that can't be shows before anything is started or dropped.
    let wanted = SocketAddr::new(args.host, args.port);
    let tokens = args.access.tokens(&config.http, wanted)?;
    let listener = server::listen_near(wanted).await?;
    let cluster = match config.redis {
        Some(_) => None,
        None => Some(start_cluster(&args, &mut config, &mut signals).await?),
    };
    // Nobody balances load to a demo.
    let options = HttpOptions { shutdown_drain: Duration::ZERO, ..config.http.options.clone() };
    let metrics = config.metrics.clone();
    let store = connect(config).await?.entity(common.entity.as_deref()).map_err(wrong_request)?;
    let users = tokio::select! {
        users = fill(&store, &args) => users?,
        () = signals.wait() => bail!("interrupted while loading users"),
    };
    announce(&store, &args, wanted, listener.local_addr()?)?;

    let streaming = tokio::spawn({
        let store = store.clone();
        let options = StreamOptions { users_per_tick: args.users_per_tick, ..StreamOptions::default() };
        async move { stream_features(&store, &users, options).await }
    });
    let served = server::serve(store, page, &metrics, options, tokens, listener, &mut signals).await;
    streaming.abort();
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    served?;
    writeln!(stderr(), "stopped")?;
    Ok(ExitCode::SUCCESS)
}

async fn start_cluster(
    args: &DemoArgs,
    config: &mut Config,
    signals: &mut Interrupted,
) -> anyhow::Result<LocalCluster> {
    let server = ServerBinary::find().await?;
    writeln!(stderr(), "starting a cluster of {} shards of {} …", args.shards, server.version())?;
    let cluster = tokio::select! {
        started = LocalCluster::start(ClusterSpec::new(server, args.shards)) => started?,
        // Dropping the start stops what it had started.
        () = signals.wait() => bail!("interrupted; everything that was started is stopped again"),
    };
    let urls = cluster.urls();
    config.redis =
        Some(RedisSettings::from_urls(urls.split(',')).map_err(|error| UsageError(error.to_string()))?);
    Ok(cluster)
}

/// Empties the prefix, unless told not to, and loads the users. Returns their ids.
async fn fill(store: &FeatureStore, args: &DemoArgs) -> anyhow::Result<Vec<EntityId>> {
    let prefix = &store.options().prefix;
    if !args.no_reset {
        writeln!(
            stdout(),
            "Dropping any existing users under '{prefix}*' for a clean demo run (pass --no-reset to keep them)."
        )?;
        store.reset().await.map_err(wrong_store)?;
    }
    let mut ids = Vec::new();
    let mut first_error = None;
    let users = stream::iter(SyntheticUsers::new(args.seed_users, SYNTHETIC_SEED));
    let report = store.bulk_load(users, crate::store::LoadOptions::default(), |row, result| match result {
        Ok(()) => ids.push(row.id),
        Err(error) => {
            first_error.get_or_insert(error);
        }
    });
    let report = report.await.map_err(wrong_request)?;
    match first_error {
        None => Ok(ids),
        Some(error) => bail!("{} of {} users could not be loaded: {error}", report.rejected, args.seed_users),
    }
}

fn announce(
    store: &FeatureStore,
    args: &DemoArgs,
    wanted: SocketAddr,
    address: SocketAddr,
) -> std::io::Result<()> {
    let mut out = stdout().lock();
    if wanted.port() != 0 && wanted.port() != address.port() {
        writeln!(out, "Port {} is taken; using {} instead.", wanted.port(), address.port())?;
    }
    let kind = store.options();
    writeln!(out, "slotwise demo server listening on http://{address}")?;
    writeln!(
        out,
        "Using Redis Cluster at {} with key prefix '{}' (batch TTL {}s, streaming TTL {}s)",
        store.settings().seeds_text(),
        kind.prefix,
        kind.batch_ttl_seconds,
        kind.streaming_ttl_seconds
    )?;
    writeln!(out, "Materialized {} user(s); streaming worker running.", args.seed_users)?;
    out.flush()
}

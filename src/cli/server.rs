//! What `serve` and `demo` share: who is let in, metrics, the listener, running until a signal comes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::config::{HttpConfig, MetricsConfig};
use crate::http::{self, HttpError, HttpOptions, HttpState, Tokens};
use crate::metrics::{MetricsPage, UPKEEP_INTERVAL};
use crate::store::FeatureStore;

use super::common::UsageError;
use super::signals::Interrupted;
use super::traces;

/// What is said where a shutdown was cut short.
const CUT_OFF: &str = "a second signal came; requests in flight were cut off";
/// Ports after the wanted one that are tried where it is taken.
const PORTS_TRIED_MAX: u16 = 20;

/// Who is let in.
#[derive(Debug, Args)]
pub(super) struct AccessArgs {
    /// File of the tokens that are let in, and what each may do (TOML; see docs/HTTP.md)
    #[arg(long, env = "SLOTWISE_TOKENS_FILE", value_name = "FILE")]
    tokens_file: Option<PathBuf>,
    /// Listen on an address that others reach, although no token is asked for
    #[arg(long)]
    insecure: bool,
}

impl AccessArgs {
    /// The tokens, where there are any. Without them, only this machine is listened to, unless told otherwise.
    pub(super) fn tokens(&self, config: &HttpConfig, address: SocketAddr) -> anyhow::Result<Option<Tokens>> {
        let given = self.tokens_file.as_ref().filter(|file| !file.as_os_str().is_empty());
        if let Some(file) = given.or(config.tokens_file.as_ref()) {
            let tokens = Tokens::load(file).map_err(|error| UsageError(format!("tokens file: {error}")))?;
            return Ok(Some(tokens));
        }
        if address.ip().to_canonical().is_loopback() || self.insecure {
            return Ok(None);
        }
        Err(UsageError(format!(
            "listening on {address} without tokens would let everybody who reaches it read and write: give a \
             --tokens-file, or --insecure to do so all the same"
        ))
        .into())
    }
}

/// Listens on `address`, and on nothing else.
pub(super) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))
}

/// Listens on `address`, or on the next free port after it where that one is taken.
pub(super) async fn listen_near(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let mut candidate = address;
    loop {
        match TcpListener::bind(candidate).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                let next =
                    candidate.port().checked_add(1).filter(|port| port - address.port() <= PORTS_TRIED_MAX);
                let Some(next) = next else {
                    return Err(error)
                        .with_context(|| format!("can't listen on {address} nor on the ports after it"));
                };
                candidate.set_port(next);
            }
            other => return other.with_context(|| format!("can't listen on {candidate}")),
        }
    }
}

/// Serves until a signal comes; then requests in flight finish, unless a second one comes.
pub(super) async fn serve(
    store: FeatureStore,
    page: MetricsPage,
    metrics: &MetricsConfig,
    options: HttpOptions,
    tokens: Option<Tokens>,
    listener: TcpListener,
    signals: &mut Interrupted,
) -> anyhow::Result<()> {
    traces::warn_of_variable();
    let mut beside = JoinSet::new();
    watch(&mut beside, &store, &page, metrics);
    if let Some(tokens) = tokens.clone() {
        beside.spawn(tokens.watch(options.tokens_poll_interval));
    }
    let state = HttpState::guarded(store, Some(page), options.clone(), tokens);
    let (stop, stopped) = oneshot::channel();
    let stopped = async {
        let _ = stopped.await;
    };
    let run = http::run(listener, http::router(state.clone()), &options, stopped);
    until_stopped(run, stop, &state, signals).await
}

/// Starts what is done for metrics alone; it ends with the set.
fn watch(beside: &mut JoinSet<()>, store: &FeatureStore, page: &MetricsPage, config: &MetricsConfig) {
    let shards = store.clone();
    beside.spawn(async move { shards.keep_watching_shards().await });
    let (sampled, every) = (store.clone(), config.ttl_sample_interval);
    beside.spawn(async move { sampled.keep_sampling_ttls(every).await });
    beside.spawn(keep_up(page.clone()));
}

/// Folds samples in, for as long as it is polled.
async fn keep_up(page: MetricsPage) {
    let mut ticks = interval(UPKEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        // A tenth of a second where there were some 300,000 samples: too long for a thread that serves.
        let page = page.clone();
        match spawn_blocking(move || page.upkeep()).await {
            Ok(()) => failing = false,
            // Once, not every second: it goes on, and may work again.
            Err(why) if !failing => {
                failing = true;
                tracing::error!(%why, "samples of metrics are not folded in, and memory grows");
            }
            Err(_) => {}
        }
    }
}

/// Runs until a signal comes. After SIGTERM the server goes on for a while and says that it stops, so that nobody sends
/// it anything when it does; at a terminal nobody has to be told.
async fn until_stopped(
    run: impl Future<Output = Result<(), HttpError>>,
    stop: oneshot::Sender<()>,
    state: &HttpState,
    signals: &mut Interrupted,
) -> anyhow::Result<()> {
    let mut run = pin!(run);
    let drain = tokio::select! {
        ended = &mut run => return Ok(ended?),
        is_terminate = signals.wait_is_terminate() => if is_terminate { state.options().shutdown_drain } else { Duration::ZERO },
    };
    state.shut_down();
    tracing::info!(drain_ms = drain.as_millis(), "shutting down");
    tokio::select! {
        ended = &mut run => return Ok(ended?),
        () = signals.wait() => bail!(CUT_OFF),
        () = sleep(drain) => {}
    }
    let _ = stop.send(());
    tokio::select! {
        ended = &mut run => Ok(ended?),
        () = signals.wait() => bail!(CUT_OFF),
    }
}

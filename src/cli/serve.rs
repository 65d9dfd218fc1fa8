//! `slotwise serve`: the production server.

use std::io::{Write, stderr};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use crate::config::DEFAULT_LISTEN;
use crate::metrics;

use super::common::{Common, LogFormat, connect};
use super::server::{self, AccessArgs};
use super::signals::Interrupted;
use super::traces::TraceArgs;

const EXAMPLES: &str = "\
Examples:
  slotwise serve --redis-url redis://10.0.0.1:6379,redis://10.0.0.2:6379
  slotwise serve --config slotwise.toml --listen 127.0.0.1:8080 --log-format json
  slotwise serve --listen 0.0.0.0:8080 --tokens-file tokens.toml

Then:
  curl localhost:8080/v1/features/batch -d '{\"ids\":[\"u0001\"],\"features\":[\"risk_segment\"],\"timeout_ms\":50}'
  curl localhost:8080/readyz
  curl localhost:8080/metrics
The whole API: GET /openapi.json. SIGTERM and Ctrl-C let requests in flight finish; a second one does not.";

/// Arguments of `slotwise serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// Address and port to listen on [default: 127.0.0.1:8080, or the config's]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    pub(super) traces: TraceArgs,
}

/// Runs the command.
pub(super) async fn run(common: &Common, args: ServeArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Interrupted::listen()?;
    // Before the store is there: what is counted is looked up once, when it is made.
    let page = metrics::install()?;
    let config = common.settings()?;
    let listen = args.listen.or(config.http.listen).unwrap_or(DEFAULT_LISTEN);
    let tokens = args.access.tokens(&config.http, listen)?;
    let (options, metrics) = (config.http.options.clone(), config.metrics.clone());
    // A port that is taken shows before the cluster is asked.
    let listener = server::listen(listen).await?;
    let store = tokio::select! {
        store = connect(config) => store?,
        () = signals.wait() => bail!("interrupted while connecting"),
    };
    let address = listener.local_addr()?;
    let version = env!("CARGO_PKG_VERSION");
    match common.log_format {
        LogFormat::Text => writeln!(stderr(), "slotwise {version} listens on http://{address}")?,
        // Whoever reads JSON lines chokes on others.
        LogFormat::Json => tracing::info!(%address, version, "listening"),
    }
    server::serve(store, page, &metrics, options, tokens, listener, &mut signals).await?;
    match common.log_format {
        LogFormat::Text => writeln!(stderr(), "stopped")?,
        LogFormat::Json => tracing::info!("stopped"),
    }
    Ok(ExitCode::SUCCESS)
}

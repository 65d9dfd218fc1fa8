//! What `serve` and `demo` share: metrics, the listener, running until a signal comes.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::http::{self, HttpOptions, HttpState};
use crate::metrics::{self, MetricsPage, UPKEEP_INTERVAL};
use crate::store::FeatureStore;

use super::signals::Interrupted;

/// Ports after the wanted one that are tried where it is taken.
const PORTS_TRIED_MAX: u16 = 20;

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

/// Serves until a signal comes; then requests in flight finish.
pub(super) async fn serve(
    store: FeatureStore,
    page: MetricsPage,
    options: HttpOptions,
    listener: TcpListener,
    signals: &mut Interrupted,
) -> anyhow::Result<()> {
    let upkeep = tokio::spawn({
        let (page, store) = (page.clone(), store.clone());
        async move {
            let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
            loop {
                ticks.tick().await;
                page.upkeep();
                metrics::topology_version(store.topology().version());
            }
        }
    });
    let router = http::router(HttpState::new(store, Some(page), options.clone()));
    let served = http::run(listener, router, &options, signals.wait()).await;
    upkeep.abort();
    Ok(served?)
}

//! A TCP proxy that stands in front of a server and breaks the network on request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use slotwise::slot::NodeAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of bytes, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// They arrive.
    Forward,
    /// They arrive so much later.
    Delay(Duration),
    /// They do not arrive before the network is well again; connections are accepted.
    Silent,
    /// Connections are closed, those that are open and new ones.
    Cut,
}

#[derive(Debug, Clone)]
struct State {
    network: Network,
    upstream: Arc<NodeAddr>,
    /// Grows whenever open connections are forgotten.
    generation: u64,
}

/// The proxy; it ends with this.
pub(crate) struct Proxy {
    addr: NodeAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy on a free port that forwards to `upstream`.
    pub(crate) async fn to(upstream: &NodeAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local: SocketAddr = listener.local_addr().unwrap();
        let state = watch::Sender::new(State {
            network: Network::Forward,
            upstream: Arc::new(upstream.clone()),
            generation: 0,
        });
        let seen = state.subscribe();
        let accepting = tokio::spawn(async move {
            loop {
                if let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(connection(client, seen.clone()));
                }
            }
        });
        Self { addr: NodeAddr::new("127.0.0.1", local.port()), state, accepting }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> &NodeAddr {
        &self.addr
    }

    /// From now on, bytes fare like this.
    pub(crate) fn set(&self, network: Network) {
        self.state.send_modify(|state| state.network = network);
    }

    /// Connections that are open lead nowhere from now on, and nobody is told; new ones fare well.
    pub(crate) fn forget_connections(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }

    /// From now on it leads to another server. Connections to the old one are closed.
    pub(crate) fn lead_to(&self, upstream: &NodeAddr) {
        self.state.send_modify(|state| state.upstream = Arc::new(upstream.clone()));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One client's connection, until one of its ends is gone or the network is cut.
async fn connection(mut client: TcpStream, mut state: watch::Receiver<State>) {
    let upstream = Arc::clone(&state.borrow().upstream);
    let closed = |state: &State| state.network == Network::Cut || state.upstream != upstream;
    // The server is only connected to while its bytes would arrive.
    let reachable = |state: &State| closed(state) || state.network != Network::Silent;
    let Ok(now) = state.wait_for(reachable).await.map(|state| state.clone()) else { return };
    if closed(&now) {
        return;
    }
    let Ok(mut server) = TcpStream::connect((&*upstream.host, upstream.port)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let mut over = state.clone();
    tokio::select! {
        () = copy(from_client, to_server, state.clone(), now.generation) => {}
        () = copy(from_server, to_client, state.clone(), now.generation) => {}
        _ = over.wait_for(closed) => {}
    }
}

async fn copy(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
    generation: u64,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let network = state.borrow().network;
        if let Network::Delay(by) = network {
            tokio::time::sleep(by).await;
        }
        // As with TCP, what was lost is sent again and arrives in the end, or the connection breaks: never a part of it.
        let arrives = |state: &State| state.network != Network::Silent && state.generation == generation;
        if state.wait_for(arrives).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

//! The signals that mean: finish and clean up.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, SIGTERM and SIGHUP.
pub(super) struct Interrupted {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupted {
    /// Listens from now on; the process no longer ends by itself.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("can't listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them; true where it is SIGTERM, which comes from whoever runs services. Cancel-safe.
    pub(super) async fn wait_is_terminate(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => false,
            _ = self.hangup.recv() => false,
        }
    }

    /// Waits for the next of them. Cancel-safe.
    pub(super) async fn wait(&mut self) {
        self.wait_is_terminate().await;
    }
}

//! Work that goes on beside its owner, and ends with it.

use tokio::task::JoinHandle;

/// Ends the task when dropped.
pub(super) struct Background(JoinHandle<()>);

impl Background {
    pub(super) fn start(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

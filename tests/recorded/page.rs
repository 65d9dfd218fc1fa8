//! The process's metrics page, and how its series grow.

use std::sync::OnceLock;

use slotwise::metrics::MetricsPage;
use tokio::sync::{Mutex, MutexGuard};

/// The process's metrics page, for one test at a time.
pub(crate) struct Page {
    page: &'static MetricsPage,
    _turn: MutexGuard<'static, ()>,
}

impl Page {
    /// Waits for its turn.
    pub(crate) async fn new() -> Self {
        static PAGE: OnceLock<MetricsPage> = OnceLock::new();
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        Self { page: PAGE.get_or_init(|| slotwise::metrics::install().unwrap()), _turn: turn }
    }

    /// The sum over all series of `name` with these labels, such as `kind="batch"`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.page.render();
        let series = text.lines().filter_map(|line| line.strip_prefix(name));
        let series = series.filter(|rest| rest.starts_with(['{', ' ']));
        let ours = series.filter(|rest| labels.iter().all(|label| rest.contains(label)));
        ours.map(|rest| rest.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }

    /// How much the series with these names and labels grew meanwhile.
    pub(crate) async fn growth<const N: usize>(
        &self,
        series: [(&str, &[&str]); N],
        meanwhile: impl Future<Output = ()>,
    ) -> [f64; N] {
        let now = || series.map(|(name, labels)| self.sum(name, labels));
        let before = now();
        meanwhile.await;
        let after = now();
        std::array::from_fn(|place| after[place] - before[place])
    }
}

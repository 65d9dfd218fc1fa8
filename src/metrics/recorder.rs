//! The Prometheus recorder: installed once per process, rendered for `GET /metrics`.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{ALL, Kind, closed};

/// Quantiles of the last minute.
const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];
/// How often samples are folded in, so that memory stays bounded where nobody scrapes.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Why metrics can't be recorded.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// There is a recorder already, or it can't be made.
    #[error("metrics can't be recorded: {0}")]
    Build(#[from] metrics_exporter_prometheus::BuildError),
    /// Native histograms can't be like that.
    #[error("native histograms can't be recorded: {0}")]
    NativeHistogram(&'static str),
}

/// What `GET /metrics` shows.
#[derive(Clone)]
pub struct MetricsPage(PrometheusHandle);

impl MetricsPage {
    /// The page in Prometheus' text format. Takes milliseconds where there are many series: not for a thread that serves.
    pub fn render(&self) -> String {
        let mut page = self.0.render();
        for metric in ALL.iter().filter(|metric| metric.counts_fractions()) {
            let wrong = format!("# TYPE {} gauge\n", metric.name);
            if let Some(at) = page.find(&wrong) {
                let right = format!("# TYPE {} counter\n", metric.name);
                page.replace_range(at..at + wrong.len(), &right);
            }
        }
        page
    }

    /// The page in Prometheus' protobuf format, where that is built in: native histograms are only there.
    pub fn render_protobuf(&self) -> Option<Vec<u8>> {
        #[cfg(feature = "native-histograms")]
        return Some(self.0.render_protobuf());
        #[cfg(not(feature = "native-histograms"))]
        None
    }

    /// Folds recorded samples in. Call it every [`UPKEEP_INTERVAL`], and not on a thread that serves: a sample takes up to
    /// 0.3 µs.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Installs the process's recorder and describes every metric. Errors where there is one already.
pub fn install() -> Result<MetricsPage, MetricsError> {
    let mut builder = PrometheusBuilder::new().set_quantiles(&QUANTILES)?;
    for metric in ALL {
        builder = match metric.kind {
            Kind::Histogram(buckets) => {
                builder.set_buckets_for_metric(Matcher::Full(metric.name.into()), buckets.bounds())?
            }
            #[cfg(feature = "native-histograms")]
            Kind::NativeHistogram => {
                let config = super::native::config().map_err(MetricsError::NativeHistogram)?;
                builder.set_native_histogram_for_metric(Matcher::Full(metric.name.into()), config)
            }
            _ => builder,
        };
    }
    let handle = builder.install_recorder()?;
    for metric in ALL {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram(_) | Kind::NativeHistogram | Kind::Recent => {
                metrics::describe_histogram!(metric.name, metric.unit, metric.help);
            }
        }
    }
    closed::register();
    Ok(MetricsPage(handle))
}

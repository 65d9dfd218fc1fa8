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
        let mut page = without_empty_quantiles(&self.0.render());
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

/// The page without the quantiles of minutes in which there was nothing: the recorder shows them as 0, and nothing takes
/// no time at all. Sums and counts stay.
fn without_empty_quantiles(page: &str) -> String {
    let is_recent = |name: &str| ALL.iter().any(|metric| metric.kind == Kind::Recent && metric.name == name);
    let is_empty = |line: &&str| {
        let (Some(series), Some((name, _))) = (line.strip_suffix("\"} 0\n"), line.split_once('{')) else {
            return false;
        };
        series.contains("quantile=\"") && is_recent(name)
    };
    page.split_inclusive('\n').filter(|line| !is_empty(line)).collect()
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

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::metrics::{HTTP_QUEUE_DURATION, READ_DURATION_RECENT, histogram};

    #[test]
    fn a_minute_without_samples_has_no_quantiles() {
        let recorder = PrometheusBuilder::new().set_quantiles(&QUANTILES).unwrap().build_recorder();
        let page = MetricsPage(recorder.handle());
        ::metrics::with_local_recorder(&recorder, || {
            drop(histogram(&READ_DURATION_RECENT, ["batch"]));
            histogram(&READ_DURATION_RECENT, ["single"]).record(0.25);
            // Of another kind, and 0 is what it was.
            histogram(&HTTP_QUEUE_DURATION, []).record(0.0);
        });
        let shown = page.render();
        let quantiles = |kind: &str| shown.matches(&format!("{{kind=\"{kind}\",quantile=")).count();
        assert_eq!((quantiles("batch"), quantiles("single")), (0, QUANTILES.len()), "{shown}");
        for line in ["sum{kind=\"batch\"} 0", "count{kind=\"batch\"} 0", "count{kind=\"single\"} 1"] {
            let line = format!("{}_{line}", READ_DURATION_RECENT.name);
            assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
        }
        assert!(shown.contains(&format!("{}{{quantile=\"0.5\"}} 0\n", HTTP_QUEUE_DURATION.name)), "{shown}");
    }
}

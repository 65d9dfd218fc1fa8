//! Whoever is turned away is counted once, under the limit that was met, and among the requests.

use metrics_exporter_prometheus::PrometheusBuilder;
use slotwise::http::HttpOptions;
use slotwise::metrics::{HTTP_REQUESTS, HTTP_SHED};
use slotwise::store::StoreOptions;

use crate::cluster::page::Page;
use crate::support::Api;

/// The page after one request that meets a limit. All of it runs on this thread, and so does the recorder.
async fn refused(options: HttpOptions, path: &str) -> Page {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let api = {
        let _recording = metrics::set_default_local_recorder(&recorder);
        let api = Api::with(options, StoreOptions::default()).await;
        assert_eq!(api.post(path, "{\"ids\":[]}").await.error().1, "overloaded");
        api
    };
    api.clean().await;
    Page::parse(&handle.render())
}

#[tokio::test]
async fn each_is_counted_once_under_its_limit_and_among_the_requests() {
    let none = HttpOptions::default;
    for (options, path, reason) in [
        (HttpOptions { requests_in_flight_max: 0, ..none() }, "/v1/features/batch", "requests"),
        (HttpOptions { requests_queued_max: 0, ..none() }, "/v1/features/batch", "queue"),
        (HttpOptions { loads_in_flight_max: 0, ..none() }, "/v1/features/load", "loads"),
        (HttpOptions { cells_in_flight_per_core_max: 0, ..none() }, "/v1/features/batch", "queue_wait"),
    ] {
        let page = refused(options, path).await;
        assert_eq!(page.value(HTTP_SHED.name, &[("reason", reason)]), 1.0);
        assert_eq!(page.sum(HTTP_SHED.name, &[]), 1.0, "{reason}");
        let labels = [("route", path), ("method", "POST"), ("status", "503")];
        assert_eq!(page.value(HTTP_REQUESTS.name, &labels), 1.0, "{reason}");
        assert_eq!(page.sum(HTTP_REQUESTS.name, &[]), 1.0, "{reason}");
    }
}

//! Export of spans to an OpenTelemetry collector, as OTLP over HTTP, in protobuf.
//!
//! Invariants: no request waits for the export; what waits for it is bounded, and dropped beyond; it ends in bounded time.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::{TraceContext, TraceOptions};

/// Spans that wait to be exported; more are dropped.
const SPANS_QUEUED_MAX: usize = 8_192;
/// Spans of one export, and the longest that spans wait for one.
const SPANS_PER_EXPORT_MAX: usize = 512;
const EXPORT_INTERVAL: Duration = Duration::from_secs(2);
/// Longest that a collector may take for an export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest that the end of the program waits for the last export.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
/// What a span may hold: what is recorded here is far less.
const ATTRIBUTES_PER_SPAN_MAX: u32 = 32;

/// Spans on their way to a collector.
#[derive(Debug)]
pub struct Export(SdkTracerProvider);

/// The layer that hands spans over to be exported. Call it in the runtime that is to do it.
pub fn export<S>(options: &TraceOptions) -> Result<(impl Layer<S> + use<S>, Export), String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let runtime = Handle::try_current().map_err(|error| error.to_string())?;
    let client = OnRuntime { client: HyperClient::with_default_connector(EXPORT_TIMEOUT, None), runtime };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(options.endpoint.as_str())
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|error| error.to_string())?;
    let limits = BatchConfigBuilder::default()
        .with_max_queue_size(SPANS_QUEUED_MAX)
        .with_max_export_batch_size(SPANS_PER_EXPORT_MAX)
        .with_scheduled_delay(EXPORT_INTERVAL)
        .build();
    let exporter = Watched { exporter, failing: AtomicBool::new(false) };
    let version = env!("CARGO_PKG_VERSION");
    let resource =
        Resource::builder().with_attribute(opentelemetry::KeyValue::new("service.version", version));
    let resource = if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource.with_service_name(env!("CARGO_PKG_NAME"))
    } else {
        resource
    };
    let provider = SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(limits).build())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(options.sample_ratio))))
        .with_max_attributes_per_span(ATTRIBUTES_PER_SPAN_MAX)
        .with_resource(resource.build())
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
        .with_context_activation(false)
        .with_tracked_inactivity(false)
        .with_location(false)
        .with_threads(false)
        .with_level(false)
        .with_target(false);
    let ours = filter_fn(is_exported).with_max_level_hint(LevelFilter::DEBUG);
    Ok((layer.with_filter(ours), Export(provider)))
}

/// The program's own spans; log lines, and the span that is there for them, go to the log.
fn is_exported(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && *metadata.level() <= LevelFilter::DEBUG
        && metadata.target().starts_with("slotwise")
        && metadata.target() != "slotwise::request"
}

impl Export {
    /// Exports what waits for it, in bounded time.
    pub async fn finish(self) {
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(SHUTDOWN_TIMEOUT)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last spans may not have been exported");
        }
    }
}

/// Makes the caller's span the parent of this one, which has just begun.
pub(super) fn set_parent(span: &Span, context: &TraceContext) {
    let (Ok(trace), Ok(parent)) =
        (TraceId::from_hex(context.trace_id()), SpanId::from_hex(context.span_id()))
    else {
        return;
    };
    let flags = if context.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let state = context.state().and_then(|state| state.parse().ok()).unwrap_or(TraceState::NONE);
    let remote = SpanContext::new(trace, parent, flags, true, state);
    // Fails where nothing is exported: then there is nothing to be the parent of.
    let _ = span.set_parent(Context::new().with_remote_span_context(remote));
}

/// The trace that begins with this span, where it is exported.
pub(super) fn trace_id(span: &Span) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let begun = context.span().span_context().clone();
    begun.is_sampled().then(|| begun.trace_id().to_string())
}

/// The client wants a runtime, and the thread that exports has none.
#[derive(Debug)]
struct OnRuntime {
    client: HyperClient,
    runtime: Handle,
}

impl HttpClient for OnRuntime {
    fn send_bytes<'a, 'f>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move { client.send_bytes(request).await });
        Box::pin(async move { sent.await? })
    }
}

/// Says once that exports fail, and once that they no longer do.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    failing: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        let was_failing = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_failing => tracing::warn!(%error, "spans can't be exported"),
            Ok(()) if was_failing => tracing::info!("spans are exported again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

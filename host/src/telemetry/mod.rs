//! Traces for a collector: spans become requests by OTLP, over HTTP. What can't be sent in time is dropped
//! and counted; nobody waits for a collector.

mod config;
mod export;
mod sampler;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use config::{Headers, InvalidTelemetry, TelemetryConfig};
use export::{Exporter, Queue};
use sampler::Ratio;

use crate::trace;

/// What is still to be sent at the end has this time.
const LAST: Duration = Duration::from_secs(3);

/// The service where nobody names it.
const SERVICE: &str = "eventfabric";

/// The traces of this process, on their way to a collector.
#[derive(Debug)]
#[must_use = "`finish` sends what is left"]
pub struct Telemetry(Option<(CancellationToken, JoinHandle<()>)>);

/// Lines of a plugin's log in its span, at most.
const LINES: u32 = 16;

/// Has spans made and sent from now on, where settings or environment say where to, on the runtime that this
/// is called on. A program that has a tracer provider of its own sets that globally and calls [`trace::enable`]
/// instead.
///
/// # Errors
/// Settings that are wrong.
pub fn start(config: &TelemetryConfig) -> Result<Telemetry, InvalidTelemetry> {
    let Some(target) = config.target()? else { return Ok(Telemetry(None)) };
    let resource = resource(config);
    tracing::debug!(collector = target.uri.host(), sample = config.sample, "traces are sent");
    let exporter = Exporter::new(target, &resource)?;
    let (queue, spans) = Queue::new();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(queue)
        .with_sampler(Ratio::new(config.sample))
        .with_max_events_per_span(LINES)
        .with_max_links_per_span(trace::LINKS as u32)
        .with_resource(resource)
        .build();
    opentelemetry::global::set_tracer_provider(provider);
    trace::enable();
    let stop = CancellationToken::new();
    let task = tokio::spawn(exporter.run(spans, stop.clone()));
    Ok(Telemetry(Some((stop, task))))
}

impl Telemetry {
    /// Ends that, and sends what is left, in three seconds at most.
    pub async fn finish(self) {
        let Some((stop, mut task)) = self.0 else { return };
        trace::disable();
        stop.cancel();
        if tokio::time::timeout(LAST, &mut task).await.is_err() {
            task.abort();
            tracing::warn!(
                "the last traces were not sent: the collector has not answered within {LAST:?}"
            );
        }
    }
}

/// Who this is, by the settings, or else by `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`.
fn resource(config: &TelemetryConfig) -> Resource {
    let own = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if let Some(name) = &config.service_name {
        return own.with_service_name(name.clone()).build();
    }
    let found = Resource::builder().build();
    let named = found.get(&"service.name".into()).map(|name| name.to_string());
    match named.filter(|name| !name.starts_with("unknown_service")) {
        Some(_) => own.build(),
        None => own.with_service_name(SERVICE).build(),
    }
}

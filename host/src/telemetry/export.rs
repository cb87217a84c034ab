//! The queue of spans that have ended, and who sends them.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::InvalidTelemetry;
use super::config::Target;
use crate::plugin::client_tls;

/// Spans that wait to be sent, at most; later ones are dropped.
const WAITING: usize = 4096;
/// Spans in a request to the collector, at most.
const BATCH: usize = 512;
/// A request that is not full waits so long for more spans.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// Where spans go when they end. Whoever ends one never waits.
#[derive(Debug)]
pub(super) struct Queue(mpsc::Sender<SpanData>);

impl Queue {
    pub(super) fn new() -> (Self, mpsc::Receiver<SpanData>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.0.try_send(span).is_err() {
            dropped("queue", 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn dropped(reason: &'static str, spans: u64) {
    metrics::counter!("eventfabric_spans_dropped_total", "reason" => reason).increment(spans);
}

/// Sends spans to a collector.
pub(super) struct Exporter {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    target: Target,
    resource: ResourceAttributesWithSchema,
    failing: bool,
}

impl Exporter {
    pub(super) fn new(target: Target, resource: &Resource) -> Result<Self, InvalidTelemetry> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(client_tls().map_err(InvalidTelemetry::Tls)?)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, target, resource: resource.into(), failing: false })
    }

    /// Sends what comes until told to stop, and then what is left.
    pub(super) async fn run(
        mut self,
        mut spans: mpsc::Receiver<SpanData>,
        stop: CancellationToken,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        while !stop.is_cancelled() {
            tokio::select! {
                () = gather(&mut spans, &mut batch) => {}
                () = stop.cancelled() => {}
            }
            self.send(&mut batch).await;
        }
        loop {
            while batch.len() < BATCH
                && let Ok(span) = spans.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            self.send(&mut batch).await;
        }
    }

    /// Sends a batch, and empties it.
    async fn send(&mut self, batch: &mut Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let spans = group_spans_by_resource_and_scope(std::mem::take(batch), &self.resource);
        let request = ExportTraceServiceRequest { resource_spans: spans };
        let sent = match timeout(self.target.timeout, self.post(request.encode_to_vec())).await {
            Ok(sent) => sent,
            Err(_) => Err(format!("no answer within {:?}", self.target.timeout)),
        };
        match sent {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                metrics::counter!("eventfabric_spans_sent_total").increment(count - rejected);
                if rejected > 0 {
                    dropped("rejected", rejected);
                }
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the collector takes traces again");
                }
            }
            Err(why) => {
                dropped("collector", count);
                if !std::mem::replace(&mut self.failing, true) {
                    // Not what stands before it, which can be a password.
                    let collector = self.target.uri.host().unwrap_or_default();
                    tracing::warn!(
                        collector,
                        error = why,
                        "traces cannot be sent; they are dropped until the collector takes them"
                    );
                }
            }
        }
    }

    /// Answers how many spans the collector did not want.
    async fn post(&self, body: Vec<u8>) -> Result<u64, String> {
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.uri.clone();
        let headers = request.headers_mut();
        headers.extend(self.target.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let response = self.client.request(request).await.map_err(|error| innermost(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER).collect().await;
        if !status.is_success() {
            return Err(format!("the collector answers {status}"));
        }
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(rejected.unsigned_abs())
    }
}

/// Waits for spans, and a little longer for more of them.
async fn gather(spans: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    if spans.recv_many(batch, BATCH).await == 0 {
        // Nobody can make spans any more.
        return std::future::pending().await;
    }
    let until = Instant::now() + EVERY;
    while batch.len() < BATCH {
        let more = spans.recv_many(batch, BATCH - batch.len());
        if !matches!(timeout_at(until, more).await, Ok(1..)) {
            return;
        }
    }
}

/// The innermost reason says most, and holds nothing of what was sent.
fn innermost(mut error: &dyn std::error::Error) -> String {
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}

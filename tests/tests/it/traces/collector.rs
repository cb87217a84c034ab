//! A collector that keeps what it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::until;

type Attributes = BTreeMap<String, String>;

/// A span as it came.
#[derive(Debug, Clone)]
pub struct Span {
    pub service: String,
    pub trace: String,
    pub id: String,
    /// Empty for one that begins a trace.
    pub parent: String,
    pub name: String,
    /// As OTLP numbers it: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: i32,
    pub attributes: Attributes,
    /// Trace and span of each.
    pub links: Vec<(String, String)>,
    /// Their attributes.
    pub events: Vec<Attributes>,
    pub failed: bool,
}

pub struct Collector {
    pub url: String,
    spans: Arc<Mutex<Vec<Span>>>,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (spans, heads) = (Arc::default(), Arc::default());
        let (kept, heard) = (Arc::clone(&spans), Arc::clone(&heads));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&kept), Arc::clone(&heard)));
            }
        });
        Self { url, spans, heads, task }
    }

    /// All that has come so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// The heads of the requests.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Waits for spans of this name, so many.
    pub async fn named(&self, name: &str, count: usize) -> Vec<Span> {
        let found =
            || -> Vec<Span> { self.spans().into_iter().filter(|span| span.name == name).collect() };
        until(&format!("{count} spans `{name}` have come"), async || found().len() >= count).await;
        let found = found();
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// Waits for the only span of this name.
    pub async fn one(&self, name: &str) -> Span {
        self.named(name, 1).await.remove(0)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, spans: Arc<Mutex<Vec<Span>>>, heads: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            head.push_str(&line);
            head.push('\n');
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        heads.lock().unwrap().push(head);
        spans.lock().unwrap().extend(read(&body));
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
            return;
        }
    }
}

fn read(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut spans = Vec::new();
    for resource in request.resource_spans {
        let of = attributes(&resource.resource.unwrap_or_default().attributes);
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                service: of["service.name"].clone(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                kind: span.kind,
                attributes: attributes(&span.attributes),
                links: span.links.iter().map(|it| (hex(&it.trace_id), hex(&it.span_id))).collect(),
                events: span.events.iter().map(|event| attributes(&event.attributes)).collect(),
                failed: span.status.is_some_and(|status| status.code == 2),
            });
        }
    }
    spans
}

fn attributes(list: &[KeyValue]) -> Attributes {
    let text = |value: &AnyValue| match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |it: &KeyValue| (it.key.clone(), it.value.as_ref().map(text).unwrap_or_default());
    list.iter().map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

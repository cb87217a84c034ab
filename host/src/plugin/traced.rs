//! The spans of a plugin's work: a batch, and each of its statements.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::HeaderValue;

use super::instance::{HandleStats, Plugin};
use super::lines::cut;
use super::outgoing::{HttpAnswer, SendError};
use crate::event::Event;
use crate::projection::Failure;
use crate::sandbox::{Endpoint, SqlError};
use crate::trace::{Span, SpanKind};

/// After so many calls of the host, a batch's statements have no spans of their own: those of one batch
/// would fill the queue.
const CALLS: u64 = 500;

/// Bytes of a statement in its span, at most.
const TEXT: usize = 2048;

/// Begins the span of a batch, where what it is part of has one.
pub(super) fn handling(plugin: &Plugin, events: &[Event]) -> Span {
    let name = &plugin.description.name;
    let span = Span::below(SpanKind::Internal, || format!("handle {name}"));
    if let (true, Some(first), Some(last)) = (span.is_recorded(), events.first(), events.last()) {
        span.text("eventfabric.projection", name.clone());
        span.text("eventfabric.plugin.version", plugin.version.to_string());
        span.text("eventfabric.positions", format!("{}-{}", first.position, last.position));
        span.number("eventfabric.events", events.len() as i64);
    }
    span
}

/// Ends it.
pub(super) fn handled(span: &Span, result: &Result<HandleStats, Failure>) {
    match result {
        Ok(stats) => {
            span.number("eventfabric.statements", stats.statements as i64);
            span.number("eventfabric.host_calls", stats.host_calls as i64);
        }
        Err(failure) => span.fail(failure.class().as_str(), || failure.for_others()),
    }
}

/// Begins the span of a statement, which comes after so many calls of the host.
pub(super) fn statement(calls: u64, text: &str) -> Span {
    if calls >= CALLS {
        return Span::default();
    }
    let operation = operation(text);
    let span = Span::below(SpanKind::Client, || operation.to_owned());
    if span.is_recorded() {
        describe(&span, operation, cut(text, TEXT).to_owned());
    }
    span
}

/// Begins the span of a batch of calls of statements.
pub(super) fn batch(calls: u64, statements: &[String], size: usize) -> Span {
    if calls >= CALLS {
        return Span::default();
    }
    let operation = statements.first().map_or("SQL", |first| operation(first));
    let span = Span::below(SpanKind::Client, || format!("BATCH {operation}"));
    if span.is_recorded() {
        let texts = statements.join("; ");
        describe(&span, operation, cut(&texts, TEXT).to_owned());
        span.number("db.operation.batch.size", size as i64);
    }
    span
}

fn describe(span: &Span, operation: &'static str, text: String) {
    span.text("db.system.name", "postgresql");
    span.text("db.operation.name", operation);
    span.text("db.query.text", text);
}

/// Ends the span of a statement: so many rows were written, or returned.
pub(super) fn ran(span: &Span, rows: Result<u64, &SqlError>) {
    match rows {
        Ok(rows) => span.number("eventfabric.rows", rows as i64),
        // Its message may hold values, which do not belong here.
        Err(error) if error.sqlstate.is_empty() => span.fail("host", || error.message.clone()),
        Err(error) => span.fail(error.sqlstate.clone(), String::new),
    }
}

/// Begins the span of a request to another system, which is told the trace, unless the plugin tells it one.
pub(super) fn request(server: &Endpoint, request: &mut Request<Full<Bytes>>) -> Span {
    let method = request.method().to_string();
    let span = Span::below(SpanKind::Client, || method.clone());
    let Some(context) = span.context() else { return span };
    span.text("http.request.method", method);
    span.text("server.address", server.host.to_string());
    span.number("server.port", server.port.into());
    if let Ok(parent) = HeaderValue::try_from(context.traceparent()) {
        request.headers_mut().entry("traceparent").or_insert(parent);
    }
    span
}

/// Ends it.
pub(super) fn answered(span: &Span, answer: &Result<HttpAnswer, SendError>) {
    match answer {
        Ok(answer) => {
            span.number("http.response.status_code", answer.status.into());
            if answer.status >= 400 {
                span.fail(answer.status.to_string(), String::new);
            }
        }
        Err(error) => span.fail(error.label(), || error.to_string()),
    }
}

/// What a statement does, by its first word.
fn operation(text: &str) -> &'static str {
    let word =
        text.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES"]
        .into_iter()
        .find(|known| word.eq_ignore_ascii_case(known))
        .unwrap_or("SQL")
}

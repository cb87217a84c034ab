//! The traces of events: what an append begins, and what is stored of it.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::{PgExecutor, PgPool};

use super::{Append, Appended, StoreError};
use crate::code::Coded as _;
use crate::event::Event;
use crate::trace::{self, Parent, Span, SpanKind, TraceContext};

/// More than this long ago, the server has no times.
const LONGEST: Duration = Duration::from_secs(1000 * 366 * 24 * 3600);
/// `undefined_table`.
const NO_TABLE: &str = "42P01";

/// A trace as it is stored.
pub(super) fn stored(traceparent: &str, tracestate: Option<&str>) -> Option<TraceContext> {
    TraceContext::parse(traceparent, tracestate).ok()
}

/// The traces of the events at these positions, of those that have one.
///
/// # Errors
/// The database's.
pub async fn traces(
    executor: impl PgExecutor<'_>,
    positions: &[i64],
) -> sqlx::Result<HashMap<i64, TraceContext>> {
    let rows =
        sqlx::query_file!("src/store/sql/event_traces.sql", positions).fetch_all(executor).await?;
    let found = rows.into_iter().filter_map(|row| {
        Some((row.position, stored(&row.traceparent, row.tracestate.as_deref())?))
    });
    Ok(found.collect())
}

/// Forgets the traces that were stored longer than `keep` ago, of the first `most` after a position, and answers
/// where to go on: none when none was old enough.
///
/// # Errors
/// The database's.
pub async fn forget_traces(
    executor: impl PgExecutor<'_>,
    after: i64,
    keep: Duration,
    most: i64,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_file_scalar!(
        "src/store/sql/forget_traces.sql",
        after,
        keep.min(LONGEST).as_secs_f64(),
        most
    )
    .fetch_one(executor)
    .await
}

/// Tells events of the log which traces they belong to. A database that is not migrated yet has none.
///
/// # Errors
/// The database's.
pub async fn add_traces(pool: &PgPool, events: &mut [Event]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let positions: Vec<i64> = events.iter().map(|event| event.position).collect();
    let mut traces = match traces(pool, &positions).await {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NO_TABLE) => {
            return Ok(());
        }
        traces => traces?,
    };
    for event in events {
        event.trace = traces.remove(&event.position);
    }
    Ok(())
}

/// Begins the span of an append. Its events are in it from here on, but for those of other traces.
pub(super) fn begin(appends: &mut [Append]) -> Span {
    if !trace::is_on() {
        return Span::default();
    }
    let around = trace::current();
    let mut traces =
        appends.iter().flat_map(|append| &append.events).map(|event| event.trace.as_ref());
    // Where they are of several traces, or some of none, none of these is the append's.
    let given = traces
        .next()
        .flatten()
        .filter(|first| traces.all(|other| other.is_some_and(|other| other.is_of_trace_of(first))));
    let elsewhere =
        given.filter(|given| !around.as_ref().is_some_and(|own| own.is_of_trace_of(given)));
    let (parent, link) = match elsewhere {
        Some(given) => (Parent::Of(given), around.as_ref()),
        None => (Parent::Around, None),
    };
    let span = Span::begin(SpanKind::Producer, parent, link, || match &*appends {
        [only] => format!("append {}", only.stream.aggregate),
        _ => "append".to_owned(),
    });
    let Some(context) = span.context() else { return span };
    span.text("messaging.system", "eventfabric");
    span.text("messaging.operation.name", "append");
    span.text("messaging.operation.type", "send");
    if let [only] = &*appends {
        span.text("messaging.destination.name", only.stream.aggregate.clone());
        span.text("eventfabric.stream", only.stream.to_string());
        if let [event] = &only.events[..] {
            span.text("eventfabric.event_type", event.event_type.clone());
        }
    }
    for event in appends.iter_mut().flat_map(|append| &mut append.events) {
        if event.trace.as_ref().is_none_or(|own| own.is_of_trace_of(&context)) {
            event.trace = Some(context.clone());
        }
    }
    span
}

/// Ends it.
pub(super) fn end(span: &Span, result: &Result<Appended, StoreError>) {
    match result {
        _ if !span.is_recorded() => {}
        Ok(appended) => {
            if let [event] = &appended.events[..] {
                span.text("messaging.message.id", event.id.to_string());
            } else {
                span.number("messaging.batch.message_count", appended.events.len() as i64);
            }
            if let Some(last) = appended.events.last() {
                span.number("eventfabric.position", last.position);
            }
        }
        // What it says can hold values.
        Err(error) => span.fail(error.code(), || error.code().to_owned()),
    }
}

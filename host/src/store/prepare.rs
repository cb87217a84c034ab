//! What a stream and an event must be to be stored, checked before the database is asked.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::StoreError;
use super::payload::with_type_and_version;
use crate::event::{MAX_NAME, NewEvent, StreamId, is_name};
use crate::trace::TraceContext;

/// An event, checked and in the form of the statement.
pub(super) struct PreparedEvent {
    /// Index into the streams.
    pub(super) stream: usize,
    /// From 1, among the events of its stream.
    pub(super) nth: i32,
    pub(super) id: Uuid,
    pub(super) event_type: String,
    pub(super) schema_version: i32,
    pub(super) payload: Box<RawValue>,
    pub(super) occurred_at: Option<DateTime<Utc>>,
    pub(super) correlation_id: Option<String>,
    pub(super) causation_id: Option<String>,
    pub(super) trace: Option<TraceContext>,
}

impl PreparedEvent {
    /// The trace as its two columns.
    pub(super) fn trace_columns(&self) -> (Option<String>, Option<String>) {
        let trace = self.trace.as_ref();
        (trace.map(TraceContext::traceparent), trace.and_then(TraceContext::tracestate))
    }
}

/// Checks the names of a stream.
pub(super) fn check_stream(stream: &StreamId) -> Result<(), StoreError> {
    for (what, text) in
        [("tenant", &stream.tenant), ("aggregate", &stream.aggregate), ("id", &stream.id)]
    {
        if !is_name(text) {
            return Err(StoreError::InvalidAppend(format!(
                "the {what} of a stream has 1 to {MAX_NAME} bytes and no NUL; this one has {}",
                text.len()
            )));
        }
    }
    Ok(())
}

/// Checks an event and completes it. `index` is its place in the append, for the error.
pub(super) fn prepare_event(
    event: NewEvent,
    stream: usize,
    nth: i32,
    id: &StreamId,
    index: usize,
) -> Result<PreparedEvent, StoreError> {
    let invalid = |reason: String| StoreError::InvalidEvent {
        index,
        event_type: event.event_type.clone(),
        stream: Box::new(id.clone()),
        reason,
    };
    if event.event_type.is_empty() || event.event_type.contains('\0') {
        return Err(invalid("an event needs a type, without NUL".to_owned()));
    }
    let [correlation, causation] =
        [&event.correlation_id, &event.causation_id].map(|id| id.as_deref().unwrap_or_default());
    if correlation.contains('\0') || causation.contains('\0') {
        return Err(invalid("a correlation or causation id holds NUL".to_owned()));
    }
    if event.schema_version < 1 {
        return Err(invalid(format!(
            "schema versions start at 1, and this is {}",
            event.schema_version
        )));
    }
    let payload = with_type_and_version(&event.payload, &event.event_type, event.schema_version)
        .map_err(invalid)?;
    Ok(PreparedEvent {
        stream,
        nth,
        id: event.id.unwrap_or_else(Uuid::now_v7),
        event_type: event.event_type,
        schema_version: event.schema_version,
        payload,
        occurred_at: event.occurred_at,
        correlation_id: event.correlation_id,
        causation_id: event.causation_id,
        trace: event.trace,
    })
}

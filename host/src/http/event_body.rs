//! Events as the API shows them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::event::{Event, StreamId};
use crate::trace::TraceContext;

/// An event of the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct EventBody {
    /// The place in the log of all streams, from 1. It has holes.
    #[schema(minimum = 1)]
    position: i64,
    /// Unique in the whole log.
    event_id: Uuid,
    /// The owner of the stream.
    tenant: String,
    /// The kind of aggregate.
    aggregate: String,
    /// Which aggregate of that kind.
    id: String,
    /// The place in its stream: 1, 2, 3, … without holes.
    #[schema(minimum = 1)]
    version: i32,
    /// Such as `AccountOpened`.
    #[serde(rename = "type")]
    event_type: String,
    /// The version of the payload's schema, from 1.
    schema_version: i32,
    /// The data; it holds `type` and `version` (of the schema), too.
    #[schema(value_type = Object)]
    payload: Box<RawValue>,
    /// When it happened.
    occurred_at: DateTime<Utc>,
    /// What belongs together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    correlation_id: Option<String>,
    /// What caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    causation_id: Option<String>,
    /// When it was dismissed; such events are given where they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    dismissed_at: Option<DateTime<Utc>>,
    /// The trace that it belongs to (W3C Trace Context), where its append was traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    traceparent: Option<TraceContext>,
}

/// Names a stream.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stream)]
pub(super) struct StreamBody {
    /// The owner.
    tenant: String,
    /// The kind of aggregate.
    aggregate: String,
    /// Which aggregate of that kind.
    id: String,
}

impl From<StreamId> for StreamBody {
    fn from(stream: StreamId) -> Self {
        Self { tenant: stream.tenant, aggregate: stream.aggregate, id: stream.id }
    }
}

impl From<Event> for EventBody {
    fn from(event: Event) -> Self {
        Self {
            position: event.position,
            event_id: event.id,
            tenant: event.stream.tenant,
            aggregate: event.stream.aggregate,
            id: event.stream.id,
            version: event.version,
            event_type: event.event_type,
            schema_version: event.schema_version,
            payload: event.payload,
            occurred_at: event.occurred_at,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            dismissed_at: event.dismissed_at,
            traceparent: event.trace,
        }
    }
}

/// Which way to read a stream.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Direction)]
#[expect(dead_code, reason = "it is here for the document; the parameter is read in streams.rs")]
pub(super) enum DirectionBody {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// What a read does with dismissed events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Dismissed)]
#[expect(dead_code, reason = "it is here for the document; the parameter is read in params.rs")]
pub(super) enum DismissedBody {
    /// They are left out.
    Excluded,
    /// They are among the others, with `dismissed_at`.
    Included,
}

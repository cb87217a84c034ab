//! Rows of the log become events here, and nowhere else.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::event::{Event, StreamId};

/// The columns that every statement for events selects.
pub(super) struct EventRow {
    pub position: i64,
    pub event_id: Uuid,
    pub tenant: String,
    pub aggregate: String,
    pub aggregate_id: String,
    pub version: i32,
    pub event_type: String,
    pub schema_version: i32,
    pub payload: String,
    pub occurred_at: DateTime<Utc>,
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
    pub dismissed_at: Option<DateTime<Utc>>,
    pub topic: Option<String>,
}

impl EventRow {
    pub(super) fn into_event(self) -> sqlx::Result<Event> {
        Ok(Event {
            position: self.position,
            id: self.event_id,
            stream: StreamId {
                tenant: self.tenant,
                aggregate: self.aggregate,
                id: self.aggregate_id,
            },
            version: self.version,
            event_type: self.event_type,
            schema_version: self.schema_version,
            payload: RawValue::from_string(self.payload)
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            occurred_at: self.occurred_at,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            dismissed_at: self.dismissed_at,
            topic: self.topic,
            trace: None,
        })
    }
}

/// Makes an event of a wider record of a checked statement. Where that has NULL for an event that is not there:
/// `event_of!(record, ?)`, in a function that answers with an `Option`.
macro_rules! event_of {
    ($record:expr $(, $try:tt)?) => {
        $crate::store::row::EventRow {
            position: $record.position $($try)?,
            event_id: $record.event_id $($try)?,
            tenant: $record.tenant $($try)?,
            aggregate: $record.aggregate $($try)?,
            aggregate_id: $record.aggregate_id $($try)?,
            version: $record.version $($try)?,
            event_type: $record.event_type $($try)?,
            schema_version: $record.schema_version $($try)?,
            payload: $record.payload $($try)?,
            occurred_at: $record.occurred_at $($try)?,
            correlation_id: $record.correlation_id,
            causation_id: $record.causation_id,
            dismissed_at: $record.dismissed_at,
            topic: $record.topic,
        }
        .into_event()
    };
}
pub(super) use event_of;

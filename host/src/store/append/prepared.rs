//! An append in the form of its statement.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::columns::Columns;
use super::{Append, Appended, AppendedEvent, Known, Refused};
use crate::event::{Event, ExpectedVersion, StreamId};
use crate::store::StoreError;
use crate::store::prepare::{PreparedEvent, check_stream, prepare_event};
use crate::store::schema::Enforced;

/// An append, checked and in the form of the statement.
pub(super) struct Prepared {
    /// Sorted, each once.
    pub(super) streams: Vec<PreparedStream>,
    /// In the order given.
    pub(super) new: Vec<PreparedEvent>,
}

pub(super) struct PreparedStream {
    pub(super) id: StreamId,
    pub(super) expected: ExpectedVersion,
    pub(super) topic: Option<String>,
    pub(super) added: i32,
}

impl Prepared {
    pub(super) fn new(appends: Vec<Append>) -> Result<Self, StoreError> {
        let mut order: Vec<&StreamId> = appends.iter().map(|append| &append.stream).collect();
        order.sort_unstable();
        order.dedup();
        let index: HashMap<StreamId, usize> =
            order.into_iter().enumerate().map(|(i, id)| (id.clone(), i)).collect();
        let mut streams: Vec<Option<PreparedStream>> = Vec::new();
        streams.resize_with(index.len(), || None);
        let mut new: Vec<PreparedEvent> = Vec::new();
        let mut ids = HashSet::new();
        for append in appends {
            check_stream(&append.stream)?;
            if append.topic.as_ref().is_some_and(|topic| topic.contains('\0')) {
                return Err(StoreError::InvalidAppend(format!(
                    "{}: the topic holds NUL, which PostgreSQL cannot store",
                    append.stream
                )));
            }
            if append.events.is_empty() {
                return Err(StoreError::InvalidAppend(format!(
                    "{}: an append needs at least one event",
                    append.stream
                )));
            }
            let at = index[&append.stream];
            let stream = streams[at].get_or_insert_with(|| PreparedStream {
                id: append.stream.clone(),
                expected: append.expected,
                topic: append.topic.clone(),
                added: 0,
            });
            if stream.added > 0 && append.expected != ExpectedVersion::Any {
                return Err(StoreError::InvalidAppend(format!(
                    "{}: named twice in one append; the expected version belongs to its first use",
                    append.stream
                )));
            }
            for event in append.events {
                stream.added += 1;
                let index = new.len();
                let event = prepare_event(event, at, stream.added, &append.stream, index)?;
                if !ids.insert(event.id) {
                    return Err(StoreError::InvalidEvent {
                        index,
                        event_type: event.event_type,
                        stream: Box::new(append.stream),
                        reason: format!("the id {} is in this append twice", event.id),
                    });
                }
                new.push(event);
            }
        }
        Ok(Self { streams: streams.into_iter().flatten().collect(), new })
    }

    /// Checks the events against the schemas that are known; tells their state.
    pub(super) fn check(&self, schemas: &Enforced) -> Result<i64, StoreError> {
        schemas.check(&self.new, |index, reason| StoreError::InvalidEvent {
            index,
            event_type: self.new[index].event_type.clone(),
            stream: Box::new(self.streams[self.new[index].stream].id.clone()),
            reason,
        })
    }

    /// Runs the statement and checks what it can't check by itself. It waits so many milliseconds for a
    /// lock; where nothing is said, as long as its transaction does anyway.
    pub(super) async fn insert(
        &self,
        conn: &mut PgConnection,
        known: Known,
        patience: Option<String>,
    ) -> Result<Appended, Refused> {
        let events = match (&self.streams[..], &self.new[..]) {
            // (A table more would cost the statement of most appends something, trace or none.)
            ([stream], [event]) if event.trace.is_none() => {
                insert_one(conn, stream, event, known, patience).await?
            }
            _ => self.insert_all(conn, known, patience).await?,
        };
        if events.is_empty() {
            return Err(self.why_refused(conn, known).await?);
        }
        // With one stream the statement has done this; with several it can't undo a part.
        for (new, event) in self.new.iter().zip(&events).filter(|(new, _)| new.nth == 1) {
            let stream = &self.streams[new.stream];
            let (least, greatest) = stream.expected.range();
            let actual = event.version - 1;
            if !(least..=greatest).contains(&actual) {
                return Err(Refused::Error(StoreError::Conflict {
                    stream: stream.id.clone(),
                    expected: stream.expected,
                    actual,
                }));
            }
        }
        Ok(Appended { events, repeated: false })
    }

    async fn insert_all(
        &self,
        conn: &mut PgConnection,
        known: Known,
        patience: Option<String>,
    ) -> sqlx::Result<Vec<AppendedEvent>> {
        let single = self.streams.len() == 1;
        let (least, greatest) =
            if single { self.streams[0].expected.range() } else { ExpectedVersion::Any.range() };
        let columns = Columns::of([self]);
        sqlx::query_file_as!(
            AppendedEvent,
            "src/store/sql/append.sql",
            &columns.tenants,
            &columns.aggregates,
            &columns.ids,
            &columns.topics as &[Option<String>],
            &columns.added,
            least,
            greatest,
            known.inline.number,
            &columns.stream,
            &columns.nth,
            &columns.event_ids,
            &columns.types,
            &columns.schema_versions,
            &columns.payloads,
            &columns.occurred_at as &[Option<DateTime<Utc>>],
            &columns.correlation_ids as &[Option<String>],
            &columns.causation_ids as &[Option<String>],
            patience as _,
            known.schemas,
            &columns.traceparents as &[Option<String>],
            &columns.tracestates as &[Option<String>],
        )
        .fetch_all(conn)
        .await
    }

    async fn why_refused(
        &self,
        conn: &mut PgConnection,
        known: Known,
    ) -> Result<Refused, StoreError> {
        let now = sqlx::query_file!("src/store/sql/mode_epoch.sql", "inline")
            .fetch_one(&mut *conn)
            .await?;
        if now.epoch != known.inline.number {
            return Ok(Refused::OtherInline);
        }
        let now =
            sqlx::query_file!("src/store/sql/schemas_generation.sql").fetch_one(&mut *conn).await?;
        if now.generation != known.schemas {
            return Ok(Refused::OtherSchemas);
        }
        let stream = &self.streams[0];
        let actual = sqlx::query_file!(
            "src/store/sql/stream_version.sql",
            stream.id.tenant,
            stream.id.aggregate,
            stream.id.id
        )
        .fetch_optional(conn)
        .await?
        .map_or(0, |row| row.current_version);
        Ok(Refused::Error(StoreError::Conflict {
            stream: stream.id.clone(),
            expected: stream.expected,
            actual,
        }))
    }

    /// The events as the log now has them, for the inline projections.
    pub(super) fn events(&self, appended: &Appended) -> Vec<Event> {
        self.new
            .iter()
            .zip(&appended.events)
            .map(|(new, written)| Event {
                position: written.position,
                id: new.id,
                stream: self.streams[new.stream].id.clone(),
                version: written.version,
                event_type: new.event_type.clone(),
                schema_version: new.schema_version,
                payload: new.payload.clone(),
                occurred_at: written.occurred_at,
                correlation_id: new.correlation_id.clone(),
                causation_id: new.causation_id.clone(),
                dismissed_at: None,
                topic: self.streams[new.stream].topic.clone(),
                trace: new.trace.clone(),
            })
            .collect()
    }
}

/// The statement of an append of one event without a trace, which most of them are.
async fn insert_one(
    conn: &mut PgConnection,
    stream: &PreparedStream,
    event: &PreparedEvent,
    known: Known,
    patience: Option<String>,
) -> sqlx::Result<Vec<AppendedEvent>> {
    let (least, greatest) = stream.expected.range();
    sqlx::query_file_as!(
        AppendedEvent,
        "src/store/sql/append_one.sql",
        stream.id.tenant,
        stream.id.aggregate,
        stream.id.id,
        stream.topic as _,
        least,
        greatest,
        known.inline.number,
        event.id,
        event.event_type,
        event.schema_version,
        event.payload.get(),
        event.occurred_at as _,
        event.correlation_id as _,
        event.causation_id as _,
        patience as _,
        known.schemas,
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NewEvent;

    #[test]
    fn streams_are_locked_in_one_order() {
        let event = || NewEvent::new("T", &serde_json::json!({})).unwrap();
        let append = |id: &str, n: usize| Append {
            stream: StreamId::new("A", id),
            expected: ExpectedVersion::Any,
            topic: None,
            events: (0..n).map(|_| event()).collect(),
        };
        let prepared = Prepared::new(vec![append("b", 1), append("a", 2), append("b", 1)]).unwrap();
        let ids: Vec<&str> = prepared.streams.iter().map(|s| s.id.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        let places: Vec<_> = prepared.new.iter().map(|e| (e.stream, e.nth)).collect();
        assert_eq!(places, [(1, 1), (0, 1), (0, 2), (1, 2)]);
    }
}

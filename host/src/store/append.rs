//! Appending events.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::inline::Epoch;
use super::prepare::{PreparedEvent, check_stream, prepare_event};
use super::{EventStore, StoreError};
use crate::db::Tx;
use crate::event::{Event, ExpectedVersion, NewEvent, StreamId};

/// How long a statement of an append may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// How often an append reads the set of inline plugins anew before it gives up.
const REFRESHES: usize = 5;

macro_rules! row_stream {
    ($row:expr) => {
        StreamId {
            tenant: $row.tenant_id.clone(),
            aggregate: $row.aggregate_name.clone(),
            id: $row.aggregate_id.clone(),
        }
    };
}

/// Events for one stream, with what the writer believes of it.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where to.
    pub stream: StreamId,
    /// What the writer believes of the stream.
    pub expected: ExpectedVersion,
    /// The label of the events in the outbox.
    pub topic: Option<String>,
    /// At least one.
    pub events: Vec<NewEvent>,
}

impl Append {
    /// Checks what can be checked without the database, as an append does.
    ///
    /// # Errors
    /// [`StoreError::InvalidAppend`] and [`StoreError::InvalidEvent`].
    pub fn checked(append: Self) -> Result<Self, StoreError> {
        Prepared::new(vec![append.clone()])?;
        Ok(append)
    }
}

/// What an append has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// In the order in which they were given.
    pub events: Vec<AppendedEvent>,
    /// The events were in the log already, from an earlier append with the same ids.
    pub repeated: bool,
}

/// One event of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct AppendedEvent {
    /// Its id, made or given.
    pub id: Uuid,
    /// Its place in the log.
    pub position: i64,
    /// Its place in its stream.
    pub version: i32,
    /// When it happened, as stored.
    pub occurred_at: DateTime<Utc>,
}

impl EventStore {
    /// Appends events to one stream.
    ///
    /// Without inline plugins it is one statement and one round trip. Appending the same event ids
    /// again changes nothing and answers as the first time, with [`Appended::repeated`] set,
    /// whatever the expected version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the stream is not as expected, [`StoreError::Inline`] when an
    /// inline plugin refuses an event; nothing is written then.
    pub async fn append(
        &self,
        stream: StreamId,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> Result<Appended, StoreError> {
        self.append_all(vec![Append { stream, expected, topic: None, events }]).await
    }

    /// Appends events to several streams, all or none, in the order given.
    ///
    /// # Errors
    /// As [`EventStore::append`].
    pub async fn append_all(&self, appends: Vec<Append>) -> Result<Appended, StoreError> {
        let prepared = Prepared::new(appends)?;
        for _ in 0..REFRESHES {
            let epoch = self.inline.as_ref().map(|inline| inline.epoch()).unwrap_or_default();
            match self.try_append(&prepared, epoch).await {
                Ok(appended) => {
                    self.wake.hint();
                    return Ok(appended);
                }
                Err(Refused::Error(error)) => {
                    if let Some(earlier) = self.find_earlier(&prepared, &error).await? {
                        return Ok(earlier);
                    }
                    return Err(error);
                }
                Err(Refused::OtherInline) => match &self.inline {
                    None => return Err(StoreError::InlineMissing),
                    Some(inline) => inline.refresh().await.map_err(|error| {
                        StoreError::InvalidAppend(format!(
                            "cannot load the inline plugins of the database: {error:#}"
                        ))
                    })?,
                },
            }
        }
        Err(StoreError::InvalidAppend(format!(
            "the inline plugins changed {REFRESHES} times during one append; try again"
        )))
    }

    /// Which of these event ids are in the log.
    pub async fn known_ids(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        let rows =
            sqlx::query_file!("src/store/sql/find_by_ids.sql", ids).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| row.event_id).collect())
    }

    async fn try_append(&self, prepared: &Prepared, epoch: Epoch) -> Result<Appended, Refused> {
        if epoch.is_empty && prepared.streams.len() == 1 {
            // The guard is in the statement, so it can be its own transaction.
            let mut conn = self.pool.acquire().await?;
            return prepared.insert(&mut conn, epoch).await;
        }
        let mut tx = Tx::begin(&self.pool, STATEMENT_TIMEOUT).await?;
        let appended = match prepared.insert(tx.conn(), epoch).await {
            Ok(appended) => appended,
            Err(refused) => {
                tx.rollback().await?;
                return Err(refused);
            }
        };
        if let (false, Some(inline)) = (epoch.is_empty, &self.inline) {
            let events = prepared.events(&appended);
            tx = inline.run(tx, epoch.number, &events).await.map_err(|failure| {
                if failure.outdated { Refused::OtherInline } else { Refused::Error(failure.into()) }
            })?;
        }
        tx.commit().await?;
        Ok(appended)
    }

    /// After a conflict: are the events in the log from an earlier try of this very append?
    async fn find_earlier(
        &self,
        prepared: &Prepared,
        error: &StoreError,
    ) -> Result<Option<Appended>, StoreError> {
        let duplicate = match error {
            StoreError::Conflict { .. } => false,
            StoreError::Database(sqlx::Error::Database(db)) if db.is_unique_violation() => true,
            _ => return Ok(None),
        };
        let ids: Vec<Uuid> = prepared.new.iter().map(|event| event.id).collect();
        let found: HashMap<Uuid, _> = sqlx::query_file!("src/store/sql/find_by_ids.sql", &ids)
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(|row| (row.event_id, row))
            .collect();
        let mut events = Vec::with_capacity(ids.len());
        for new in &prepared.new {
            let stream = &prepared.streams[new.stream].id;
            match found.get(&new.id) {
                Some(row)
                    if row.tenant_id == stream.tenant
                        && row.aggregate_name == stream.aggregate
                        && row.aggregate_id == stream.id
                        && row.event_type == new.event_type =>
                {
                    events.push(AppendedEvent {
                        id: new.id,
                        position: row.position,
                        version: row.version,
                        occurred_at: row.occurred_at,
                    });
                }
                Some(row) => {
                    return Err(duplicate_event(row.event_id, row_stream!(row), row.version));
                }
                None => break,
            }
        }
        if events.len() == prepared.new.len() {
            return Ok(Some(Appended { events, repeated: true }));
        }
        match found.values().next() {
            Some(row) if duplicate => {
                Err(duplicate_event(row.event_id, row_stream!(row), row.version))
            }
            _ => Ok(None),
        }
    }
}

fn duplicate_event(id: Uuid, stream: StreamId, version: i32) -> StoreError {
    StoreError::DuplicateEvent { id, stream, version }
}

/// Why nothing was written.
enum Refused {
    Error(StoreError),
    /// The database has other inline plugins than the writer knows.
    OtherInline,
}

impl<E: Into<StoreError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// An append, checked and in the form of the statement.
struct Prepared {
    /// Sorted, each once.
    streams: Vec<PreparedStream>,
    /// In the order given.
    new: Vec<PreparedEvent>,
}

struct PreparedStream {
    id: StreamId,
    expected: ExpectedVersion,
    topic: Option<String>,
    added: i32,
}

impl Prepared {
    fn new(appends: Vec<Append>) -> Result<Self, StoreError> {
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

    /// Runs the statement and checks what it can't check by itself.
    async fn insert(&self, conn: &mut PgConnection, epoch: Epoch) -> Result<Appended, Refused> {
        let single = self.streams.len() == 1;
        let (least, greatest) =
            if single { self.streams[0].expected.range() } else { ExpectedVersion::Any.range() };
        let column = |get: fn(&StreamId) -> &String| -> Vec<String> {
            self.streams.iter().map(|stream| get(&stream.id).clone()).collect()
        };
        let topics: Vec<Option<String>> =
            self.streams.iter().map(|stream| stream.topic.clone()).collect();
        let added: Vec<i32> = self.streams.iter().map(|stream| stream.added).collect();
        let new = &self.new;
        let rows = sqlx::query_file!(
            "src/store/sql/append.sql",
            &column(|id| &id.tenant),
            &column(|id| &id.aggregate),
            &column(|id| &id.id),
            &topics as &[Option<String>],
            &added,
            least,
            greatest,
            epoch.number,
            &new.iter().map(|e| e.stream as i32 + 1).collect::<Vec<_>>(),
            &new.iter().map(|e| e.nth).collect::<Vec<_>>(),
            &new.iter().map(|e| e.id).collect::<Vec<_>>(),
            &new.iter().map(|e| e.event_type.clone()).collect::<Vec<_>>(),
            &new.iter().map(|e| e.schema_version).collect::<Vec<_>>(),
            &new.iter().map(|e| e.payload.get().to_owned()).collect::<Vec<_>>(),
            &new.iter().map(|e| e.occurred_at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
            &new.iter().map(|e| e.correlation_id.clone()).collect::<Vec<_>>()
                as &[Option<String>],
            &new.iter().map(|e| e.causation_id.clone()).collect::<Vec<_>>() as &[Option<String>],
        )
        .fetch_all(&mut *conn)
        .await?;
        if rows.is_empty() {
            return Err(self.why_refused(conn, epoch).await?);
        }
        let events: Vec<AppendedEvent> = rows
            .into_iter()
            .map(|row| AppendedEvent {
                id: row.event_id,
                position: row.position,
                version: row.version,
                occurred_at: row.occurred_at,
            })
            .collect();
        // With one stream the statement has done this; with several it can't undo a part.
        for (new, event) in new.iter().zip(&events).filter(|(new, _)| new.nth == 1) {
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

    async fn why_refused(
        &self,
        conn: &mut PgConnection,
        epoch: Epoch,
    ) -> Result<Refused, StoreError> {
        let now = sqlx::query_file!("src/store/sql/mode_epoch.sql", "inline")
            .fetch_one(&mut *conn)
            .await?;
        if now.epoch != epoch.number {
            return Ok(Refused::OtherInline);
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
    fn events(&self, appended: &Appended) -> Vec<Event> {
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
                topic: self.streams[new.stream].topic.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

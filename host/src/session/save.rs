//! Saving a session: one transaction for all of its streams.

use chrono::Utc;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::error::SessionError;
use super::factory::{Context, InlineClosure};
use super::unit::Session;
use crate::event::{Event, StreamId};
use crate::store::{
    Append, Appended, AppendedEvent, EventStore, InTransaction, NewSnapshot, StoreError,
    save_snapshots,
};

/// What a save has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// The streams that got events: those of aggregates in the order in which they were loaded or
    /// started, then the others.
    pub streams: Vec<SavedStream>,
    /// The streams of which a snapshot was due, with the version that it is of.
    pub snapshots: Vec<(StreamId, i32)>,
    /// The events were in the log already: an earlier try of this very save had been committed, and
    /// its answer was lost.
    pub repeated: bool,
}

/// What a save has written to one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedStream {
    /// The stream.
    pub stream: StreamId,
    /// The version of its last event now.
    pub version: i32,
    /// Its new events, in order, with their positions and versions.
    pub events: Vec<AppendedEvent>,
}

impl Saved {
    /// The greatest position of the log that was written; none where no event was.
    pub fn position(&self) -> Option<i64> {
        self.streams.iter().flat_map(|stream| &stream.events).map(|event| event.position).max()
    }
}

impl Session {
    /// Writes everything that is pending, or nothing: events, inline plugins and closures, outbox,
    /// snapshots, in one transaction. The session can be gone on with afterwards.
    ///
    /// When it fails, everything stays pending. It may be tried again as it is when the database was
    /// away: should the transaction have been committed after all, it is not made twice. After a
    /// conflict ([`SessionError::is_conflict`]) the work is to be done anew on what is there now, by a
    /// new session; [`SessionFactory::with_retry`](super::SessionFactory::with_retry) does so.
    ///
    /// # Errors
    /// [`SessionError::Store`] when a stream is not as it was loaded or the store refuses otherwise,
    /// [`SessionError::Encode`] when an event is no JSON.
    pub async fn save(&mut self) -> Result<Saved, SessionError> {
        let now = Utc::now();
        let (mut appends, mut snapshots) = (Vec::new(), Vec::new());
        for slot in &mut self.slots {
            slot.collect();
            appends.extend(slot.append()?);
            snapshots.extend(slot.snapshot(now));
        }
        appends.extend(self.raw.iter().filter(|append| !append.events.is_empty()).cloned());
        for append in &mut appends {
            self.context.complete(append)?;
        }
        let lengths: Vec<_> =
            appends.iter().map(|append| (append.stream.clone(), append.events.len())).collect();
        let appended = self.write(appends, &mut snapshots).await?;

        self.raw.clear();
        for slot in &mut self.slots {
            let written = snapshots.iter().any(|snapshot| snapshot.stream == *slot.stream());
            slot.saved(written.then_some(now));
        }
        let mut events = appended.events.into_iter();
        let streams = lengths.into_iter().map(|(stream, added)| {
            let events: Vec<_> = events.by_ref().take(added).collect();
            let version = events.last().map_or(0, |event| event.version);
            SavedStream { stream, version, events }
        });
        Ok(Saved {
            streams: streams.collect(),
            snapshots: snapshots.into_iter().map(|new| (new.stream, new.version)).collect(),
            repeated: appended.repeated,
        })
    }

    async fn write(
        &self,
        appends: Vec<Append>,
        snapshots: &mut Vec<NewSnapshot>,
    ) -> Result<Appended, SessionError> {
        let store = &self.context.store;
        if appends.is_empty() {
            if !snapshots.is_empty() {
                save_snapshots(&mut *store.pool().acquire().await?, snapshots).await?;
            }
            return Ok(Appended { events: Vec::new(), repeated: false });
        }
        let inline = &self.parts.inline;
        if inline.is_empty() && snapshots.is_empty() {
            // May share its transaction with others.
            return Ok(store.append_all(appends).await?);
        }
        let written = append(store, appends.clone(), inline, snapshots).await;
        match written {
            Err(StoreError::Database(error))
                if !snapshots.is_empty() && StoreError::is_bad_value(&error) =>
            {
                // The events may be good, and the state of the aggregate what can't be stored.
                tracing::warn!(%error, "a save is tried without its snapshots");
                snapshots.clear();
                Ok(append(store, appends, inline, snapshots).await?)
            }
            written => Ok(written?),
        }
    }
}

async fn append(
    store: &EventStore,
    appends: Vec<Append>,
    inline: &[InlineClosure],
    snapshots: &[NewSnapshot],
) -> Result<Appended, StoreError> {
    store.append_in_transaction(appends, &Rest { inline, snapshots }).await
}

/// What a save does in the transaction of its append.
struct Rest<'s> {
    inline: &'s [InlineClosure],
    snapshots: &'s [NewSnapshot],
}

impl InTransaction for Rest<'_> {
    fn run<'a>(
        &'a self,
        conn: &'a mut PgConnection,
        events: &'a [Event],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            for closure in self.inline {
                (closure.run)(conn, events).await.map_err(|source| StoreError::Work {
                    work: format!("the inline projection {}", closure.name),
                    source,
                })?;
            }
            if self.snapshots.is_empty() {
                return Ok(());
            }
            save_snapshots(conn, self.snapshots).await
        }
        .boxed()
    }
}

impl Context {
    /// Adds to events what the session says of all of them.
    fn complete(&self, append: &mut Append) -> Result<(), SessionError> {
        for event in &mut append.events {
            if event.correlation_id.is_none() {
                event.correlation_id.clone_from(&self.correlation_id);
            }
            if event.causation_id.is_none() {
                event.causation_id.clone_from(&self.causation_id);
            }
            if !self.metadata.is_empty() {
                let payload = self.with_metadata(&event.payload);
                event.payload = payload.map_err(|reason| SessionError::Encode {
                    stream: Box::new(append.stream.clone()),
                    event_type: event.event_type.clone(),
                    reason,
                })?;
            }
        }
        Ok(())
    }

    /// The payload with `metadata` in it.
    fn with_metadata(&self, payload: &RawValue) -> Result<Box<RawValue>, String> {
        #[derive(Deserialize)]
        struct Own {
            metadata: Option<IgnoredAny>,
        }
        let own: Own = serde_json::from_str(payload.get()).map_err(|error| error.to_string())?;
        if own.metadata.is_some() {
            return Err(
                "it has a field `metadata` of its own, and the session has metadata: give \
                        the field another name"
                    .to_owned(),
            );
        }
        let object = payload.get().trim();
        let rest =
            object.strip_prefix('{').ok_or("the payload must be a JSON object")?.trim_start();
        let comma = if rest.starts_with('}') { "" } else { "," };
        let metadata = serde_json::to_string(&self.metadata).map_err(|error| error.to_string())?;
        RawValue::from_string(format!("{{\"metadata\":{metadata}{comma}{rest}"))
            .map_err(|error| error.to_string())
    }
}

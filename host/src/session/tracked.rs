//! An aggregate in a session: its state, how far it is stored, and what is to be saved.

use std::any::Any;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::aggregate::Aggregate;
use super::error::SessionError;
use super::event::{DomainEvent as _, encode};
use super::setup::{AggregateSetup, LastSnapshot};
use crate::event::{ExpectedVersion, NewEvent, StreamId};
use crate::store::{Append, NewSnapshot};

/// An aggregate of some type in the identity map of a session.
pub(super) trait Slot: Any + Send + Sync {
    fn stream(&self) -> &StreamId;
    /// What the stream must be like when this is saved.
    fn expected(&self) -> ExpectedVersion;
    /// Takes over what the aggregate has raised by itself. Answers the types of all that is to be
    /// saved.
    fn collect(&mut self) -> Vec<&'static str>;
    /// What is to be saved, if anything. Event ids are the same each time.
    fn append(&self) -> Result<Option<Append>, SessionError>;
    /// The snapshot that is due when everything is saved.
    fn snapshot(&self, now: DateTime<Utc>) -> Option<NewSnapshot>;
    /// Everything was saved, the snapshot too where there was one.
    fn saved(&mut self, snapshot: Option<DateTime<Utc>>);
}

pub(super) struct Tracked<A: Aggregate> {
    pub(super) stream: StreamId,
    pub(super) setup: Arc<AggregateSetup<A>>,
    pub(super) state: A,
    /// The version of the last event in the database.
    pub(super) version: i32,
    pub(super) last_snapshot: LastSnapshot,
    /// The state was made without a snapshot.
    pub(super) whole: bool,
    /// The state holds dismissed events; no snapshot is made of it.
    pub(super) dismissed: bool,
    pending: Vec<(Uuid, A::Event)>,
}

impl<A: Aggregate> Tracked<A> {
    pub(super) fn new(stream: StreamId, setup: Arc<AggregateSetup<A>>) -> Self {
        Self {
            stream,
            setup,
            state: A::default(),
            version: 0,
            last_snapshot: LastSnapshot::default(),
            whole: true,
            dismissed: false,
            pending: Vec::new(),
        }
    }

    /// Applies an event that is to be saved.
    pub(super) fn raise(&mut self, event: A::Event) {
        self.take_raised();
        self.state.apply(&event);
        self.pending.push((Uuid::now_v7(), event));
    }

    fn take_raised(&mut self) {
        if let Some(raised) = self.state.raised() {
            self.pending.extend(raised.take().into_iter().map(|event| (Uuid::now_v7(), event)));
        }
    }

    /// The version after a save.
    fn next_version(&self) -> i32 {
        self.version.saturating_add(i32::try_from(self.pending.len()).unwrap_or(i32::MAX))
    }
}

impl<A: Aggregate> Slot for Tracked<A> {
    fn stream(&self) -> &StreamId {
        &self.stream
    }

    fn expected(&self) -> ExpectedVersion {
        ExpectedVersion::Exact(self.version)
    }

    fn collect(&mut self) -> Vec<&'static str> {
        self.take_raised();
        self.pending.iter().map(|(_, event)| event.event_type().name).collect()
    }

    fn append(&self) -> Result<Option<Append>, SessionError> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        let events = self.pending.iter().map(|(id, event)| {
            let new = encode(event).map_err(|error| SessionError::Encode {
                stream: Box::new(self.stream.clone()),
                event_type: event.event_type().name.to_owned(),
                reason: error.to_string(),
            })?;
            Ok(NewEvent { id: Some(*id), ..new })
        });
        Ok(Some(Append {
            stream: self.stream.clone(),
            expected: self.expected(),
            topic: self.setup.topic.clone(),
            events: events.collect::<Result<_, SessionError>>()?,
        }))
    }

    fn snapshot(&self, now: DateTime<Utc>) -> Option<NewSnapshot> {
        let setup = self.setup.snapshots.as_ref()?;
        let version = self.next_version();
        let due = setup.policy.is_due(version, &self.last_snapshot, now);
        if version == 0 || self.dismissed || !(due || self.last_snapshot.wanted) {
            return None;
        }
        match (setup.write)(&self.state) {
            Ok(state) => Some(NewSnapshot {
                stream: self.stream.clone(),
                version,
                schema_version: setup.schema_version,
                state,
                whole: self.whole,
            }),
            Err(error) => {
                let stream = &self.stream;
                tracing::warn!(%stream, %error, "no snapshot: the state cannot be written as JSON");
                None
            }
        }
    }

    fn saved(&mut self, snapshot: Option<DateTime<Utc>>) {
        self.version = self.next_version();
        self.pending.clear();
        if snapshot.is_some() {
            self.last_snapshot =
                LastSnapshot { version: self.version, written_at: snapshot, wanted: false };
        }
    }
}

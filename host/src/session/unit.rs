//! The session: one unit of work.

use std::any::Any;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::aggregate::Aggregate;
use super::error::SessionError;
use super::factory::{Context, Parts};
use super::load::load;
use super::tracked::{Slot, Tracked};
use crate::event::{ExpectedVersion, NewEvent, StreamId};
use crate::store::Append;

/// Tells the handles of one session from those of another.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// One unit of work: aggregates that are loaded or started, what is to happen to them, and one
/// [`Session::save`] that makes all of it true or nothing.
///
/// `session[handle]` is the aggregate. The same aggregate is the same object, however often it is
/// loaded.
pub struct Session {
    pub(super) parts: Arc<Parts>,
    pub(super) context: Context,
    pub(super) slots: Vec<Box<dyn Slot>>,
    pub(super) raw: Vec<Append>,
    index: HashMap<StreamId, usize>,
    number: u64,
}

/// Names an aggregate in its session.
pub struct Handle<A> {
    slot: usize,
    session: u64,
    aggregate: PhantomData<fn() -> A>,
}

/// What a session has to save to one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The stream.
    pub stream: StreamId,
    /// What it must be like.
    pub expected: ExpectedVersion,
    /// The types of the events, in order.
    pub events: Vec<String>,
}

impl Session {
    pub(super) fn new(parts: Arc<Parts>, context: Context) -> Self {
        Self {
            parts,
            context,
            slots: Vec::new(),
            raw: Vec::new(),
            index: HashMap::new(),
            number: SESSIONS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The tenant whose streams these are.
    pub fn tenant(&self) -> &str {
        &self.context.tenant
    }

    /// Begins a stream with an aggregate in its first state. Whether the stream is new is found out
    /// by [`Session::save`], which is a conflict if it has events. Without events nothing is saved.
    ///
    /// # Errors
    /// [`SessionError::InUse`] when the session has the stream already, and
    /// [`SessionError::NotRegistered`].
    pub fn start_stream<A: Aggregate>(&mut self, id: &str) -> Result<Handle<A>, SessionError> {
        self.context.check_tenant()?;
        let stream = self.stream::<A>(id);
        self.check_unused(&stream)?;
        Ok(self.track(Tracked::new(stream, self.parts.setup::<A>()?)))
    }

    /// Loads an aggregate.
    ///
    /// A stream that was started and has no event (any more) gives the first state; one that nobody
    /// ever started is an error.
    ///
    /// # Errors
    /// [`SessionError::UnknownStream`], or an event that can't be read.
    pub async fn load<A: Aggregate>(&mut self, id: &str) -> Result<Handle<A>, SessionError> {
        let found = self.find(id).await?;
        found.ok_or_else(|| SessionError::UnknownStream { stream: self.stream::<A>(id) })
    }

    /// Loads an aggregate, if there is such a stream.
    ///
    /// # Errors
    /// An event that can't be read.
    pub async fn find<A: Aggregate>(
        &mut self,
        id: &str,
    ) -> Result<Option<Handle<A>>, SessionError> {
        self.context.check_tenant()?;
        let stream = self.stream::<A>(id);
        if let Some(slot) = self.index.get(&stream).copied() {
            let known: &dyn Any = &*self.slots[slot];
            if !known.is::<Tracked<A>>() {
                return Err(SessionError::InUse { stream });
            }
            return Ok(Some(self.handle(slot)));
        }
        self.check_unused(&stream)?;
        let setup = self.parts.setup::<A>()?;
        let (store, upcasters) = (&self.context.store, &self.parts.upcasters);
        let loaded = load(store, upcasters, &setup, stream, self.context.dismissed).await?;
        Ok(loaded.map(|tracked| self.track(tracked)))
    }

    /// Loads an aggregate, or starts its stream.
    ///
    /// # Errors
    /// An event that can't be read.
    pub async fn load_or_start<A: Aggregate>(
        &mut self,
        id: &str,
    ) -> Result<Handle<A>, SessionError> {
        match self.find(id).await? {
            Some(handle) => Ok(handle),
            None => self.start_stream(id),
        }
    }

    /// Applies an event to an aggregate, to be saved.
    pub fn raise<A: Aggregate>(&mut self, handle: Handle<A>, event: A::Event) {
        self.tracked_mut(handle).raise(event);
    }

    /// Asks a function what follows from the state of an aggregate, and raises it.
    ///
    /// # Errors
    /// That of the function; nothing is raised then.
    pub fn decide<A: Aggregate, I, E>(
        &mut self,
        handle: Handle<A>,
        decide: impl FnOnce(&A) -> Result<I, E>,
    ) -> Result<(), E>
    where
        I: IntoIterator<Item = A::Event>,
    {
        let tracked = self.tracked_mut(handle);
        for event in decide(&tracked.state)? {
            tracked.raise(event);
        }
        Ok(())
    }

    /// The version of the last event of an aggregate that is saved; 0 where there is none.
    pub fn version<A: Aggregate>(&self, handle: Handle<A>) -> i32 {
        self.tracked(handle).version
    }

    /// Has the next [`Session::save`] write a snapshot of an aggregate, whatever the policy, if its
    /// kind has snapshots and the stream an event.
    pub fn snapshot<A: Aggregate>(&mut self, handle: Handle<A>) {
        self.tracked_mut(handle).last_snapshot.wanted = true;
    }

    /// Adds events to a stream without an aggregate; they bear the topic of that kind of aggregate,
    /// where it is registered. More events for the same stream follow on the
    /// first ones.
    ///
    /// # Errors
    /// [`SessionError::InUse`] when an aggregate of the session has the stream, or `expected` can't
    /// hold after what was appended to it before.
    pub fn append(
        &mut self,
        aggregate: &str,
        id: &str,
        expected: ExpectedVersion,
        events: impl IntoIterator<Item = NewEvent>,
    ) -> Result<(), SessionError> {
        self.context.check_tenant()?;
        let stream = StreamId::new(aggregate, id).in_tenant(&*self.context.tenant);
        // Made now, so that a save that is tried again is recognised.
        let events: Vec<NewEvent> = events
            .into_iter()
            .map(|event| NewEvent { id: event.id.or_else(|| Some(Uuid::now_v7())), ..event })
            .collect();
        if self.index.contains_key(&stream) {
            return Err(SessionError::InUse { stream });
        }
        match self.raw.iter_mut().find(|append| append.stream == stream) {
            None => {
                let topic = self.parts.topics.get(aggregate).cloned();
                self.raw.push(Append { stream, expected, topic, events });
            }
            Some(append) => {
                if !follows(expected, append) {
                    return Err(SessionError::InUse { stream });
                }
                append.events.extend(events);
            }
        }
        Ok(())
    }

    /// What the next [`Session::save`] would append, in order. After one that failed it is all still
    /// there.
    pub fn pending(&mut self) -> Vec<Pending> {
        let mut pending = Vec::new();
        for slot in &mut self.slots {
            let events = slot.collect().into_iter().map(str::to_owned).collect();
            pending.push(Pending {
                stream: slot.stream().clone(),
                expected: slot.expected(),
                events,
            });
        }
        for append in &self.raw {
            pending.push(Pending {
                stream: append.stream.clone(),
                expected: append.expected,
                events: append.events.iter().map(|event| event.event_type.clone()).collect(),
            });
        }
        pending.retain(|pending| !pending.events.is_empty());
        pending
    }

    fn stream<A: Aggregate>(&self, id: &str) -> StreamId {
        StreamId::new(A::NAME, id).in_tenant(&*self.context.tenant)
    }

    fn check_unused(&self, stream: &StreamId) -> Result<(), SessionError> {
        let raw = self.raw.iter().any(|append| append.stream == *stream);
        if raw || self.index.contains_key(stream) {
            return Err(SessionError::InUse { stream: stream.clone() });
        }
        Ok(())
    }

    fn track<A: Aggregate>(&mut self, tracked: Tracked<A>) -> Handle<A> {
        let slot = self.slots.len();
        self.index.insert(tracked.stream.clone(), slot);
        self.slots.push(Box::new(tracked));
        self.handle(slot)
    }

    fn handle<A>(&self, slot: usize) -> Handle<A> {
        Handle { slot, session: self.number, aggregate: PhantomData }
    }

    fn tracked<A: Aggregate>(&self, handle: Handle<A>) -> &Tracked<A> {
        assert!(handle.session == self.number, "{FOREIGN}");
        let slot: &dyn Any = &*self.slots[handle.slot];
        slot.downcast_ref().expect("a handle has the type of its aggregate")
    }

    fn tracked_mut<A: Aggregate>(&mut self, handle: Handle<A>) -> &mut Tracked<A> {
        assert!(handle.session == self.number, "{FOREIGN}");
        let slot: &mut dyn Any = &mut *self.slots[handle.slot];
        slot.downcast_mut().expect("a handle has the type of its aggregate")
    }
}

const FOREIGN: &str = "a handle is of use in the session that made it only";

/// Whether an expectation can hold after what is appended already.
fn follows(expected: ExpectedVersion, append: &Append) -> bool {
    let (least, greatest) = append.expected.range();
    let added = i32::try_from(append.events.len()).unwrap_or(i32::MAX);
    match expected {
        ExpectedVersion::Any | ExpectedVersion::StreamExists => true,
        ExpectedVersion::NoStream => false,
        ExpectedVersion::Exact(version) => {
            least == greatest && least.checked_add(added) == Some(version)
        }
    }
}

impl<A: Aggregate> Index<Handle<A>> for Session {
    type Output = A;

    /// The aggregate.
    ///
    /// # Panics
    /// When the handle is of another session.
    fn index(&self, handle: Handle<A>) -> &A {
        &self.tracked(handle).state
    }
}

impl<A: Aggregate> IndexMut<Handle<A>> for Session {
    /// The aggregate, to have it raise events.
    ///
    /// # Panics
    /// When the handle is of another session.
    fn index_mut(&mut self, handle: Handle<A>) -> &mut A {
        &mut self.tracked_mut(handle).state
    }
}

impl<A> Clone for Handle<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Handle<A> {}

impl<A> PartialEq for Handle<A> {
    fn eq(&self, other: &Self) -> bool {
        (self.slot, self.session) == (other.slot, other.session)
    }
}

impl<A> Eq for Handle<A> {}

impl<A: Aggregate> std::fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle<{}>({}.{})", A::NAME, self.session, self.slot)
    }
}

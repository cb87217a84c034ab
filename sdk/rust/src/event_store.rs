//! Streams of the log, for projections that answer events with events.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::process::eventfabric::process_manager::event_store as wit;
use crate::{Error, Event, RawTx, Result, Tx, Upcasters};

pub use wit::{AppendError, ExpectedVersion, NewEvent, Page};

/// Events that are asked for at a time.
const PAGE: u32 = 500;

/// What carries out uses of the log: the host in a component, a double in native tests. The methods are
/// those of the contract's `event-store`.
pub trait Streams {
    /// Events of a stream after a version.
    ///
    /// # Errors
    /// What the host says.
    fn load(
        &self,
        cause: u32,
        aggregate: &str,
        id: &str,
        after: u32,
        limit: u32,
    ) -> Result<Page, AppendError>;

    /// Appends events to a stream, and tells the version that it has then.
    ///
    /// # Errors
    /// What the host says.
    fn append(
        &self,
        cause: u32,
        aggregate: &str,
        id: &str,
        expected: ExpectedVersion,
        events: &[NewEvent],
    ) -> Result<u32, AppendError>;
}

impl Streams for RawTx {
    fn load(
        &self,
        cause: u32,
        aggregate: &str,
        id: &str,
        after: u32,
        limit: u32,
    ) -> Result<Page, AppendError> {
        wit::load(self, cause, aggregate, id, after, limit)
    }

    fn append(
        &self,
        cause: u32,
        aggregate: &str,
        id: &str,
        expected: ExpectedVersion,
        events: &[NewEvent],
    ) -> Result<u32, AppendError> {
        wit::append(self, cause, aggregate, id, expected, events)
    }
}

/// The log, in the open transaction: [`Tx::event_store`]. A plugin that uses it is a process manager, which
/// a host loads only where the operator has granted it `append:AGGREGATE`.
///
/// Whatever is asked names its cause, the event that is being handled. It gives the answers their tenant,
/// their causation and correlation ids and their own ids, so that nothing is appended twice.
///
/// ```
/// use eventfabric_sdk::{prelude::*, testing::{self, RecordingTx}};
///
/// #[derive(Deserialize)]
/// struct Ordered { customer: String }
///
/// struct Welcome;
///
/// impl Projection for Welcome {
///     type Event = Ordered;
///
///     fn describe() -> Description {
///         Description::new("welcome").events(["Ordered"])
///     }
///
///     fn handle(tx: &Tx, event: &Event<Ordered>) -> Result<()> {
///         let (store, customer) = (tx.event_store(), &event.data.customer);
///         let stream = store.load::<serde_json::Value, _>(event, "Customer", customer)?;
///         if stream.events.is_empty() {
///             let greeted = NewEvent::of("CustomerGreeted", &serde_json::json!({}))?;
///             store.append(event, "Customer", customer, stream.version, [greeted])?;
///         }
///         Ok(())
///     }
/// }
///
/// let db = RecordingTx::new();
/// testing::run::<Welcome>(&db, [testing::event("Ordered", r#"{"customer": "Ada"}"#)])?;
/// assert_eq!(db.appended()[0].event_type, "CustomerGreeted");
/// # Ok::<(), eventfabric_sdk::Failure>(())
/// ```
pub struct EventStore<'a> {
    streams: &'a dyn Streams,
    upcasters: Upcasters,
}

/// A stream as it is now, in this transaction.
#[derive(Debug, Clone)]
pub struct Stream<T> {
    /// Its events, oldest first, without those that were dismissed.
    pub events: Vec<Event<T>>,
    /// Its version, which an append that decides by it expects. 0: it has no event.
    pub version: u32,
}

impl<'a> Tx<'a> {
    /// The log, for a projection that answers events with events.
    ///
    /// # Panics
    /// In a native test whose backend has no streams. (`RecordingTx` has.)
    pub fn event_store(&self) -> EventStore<'a> {
        let backend = self.backend();
        let raw = || backend.raw().map(|raw| raw as &dyn Streams);
        let streams = backend.streams().or_else(raw).expect("this backend has no streams");
        EventStore { streams, upcasters: Upcasters::new() }
    }
}

impl EventStore<'_> {
    /// The same, which lifts events of older schema versions when they are loaded.
    #[must_use]
    pub fn upcasting(self, upcasters: Upcasters) -> Self {
        Self { upcasters, ..self }
    }

    /// A whole stream of the cause's tenant, page by page. It sees what this transaction has appended.
    ///
    /// # Errors
    /// Poison, naming the cause, where an event is not what `T` expects; and what the host says.
    pub fn load<T: DeserializeOwned, C>(
        &self,
        cause: &Event<C>,
        aggregate: &str,
        id: &str,
    ) -> Result<Stream<T>> {
        self.load_after(cause, aggregate, id, 0)
    }

    /// The same without the events up to a version.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_after<T: DeserializeOwned, C>(
        &self,
        cause: &Event<C>,
        aggregate: &str,
        id: &str,
        version: u32,
    ) -> Result<Stream<T>> {
        let mut stream = Stream { events: Vec::new(), version };
        loop {
            let page = self.streams.load(cause.index, aggregate, id, stream.version, PAGE);
            let page = page.map_err(|error| Error::from(error).at(cause.index))?;
            for raw in page.events {
                let raw = self.upcasters.lift(raw, cause.index)?;
                stream.events.push(Event::parse(raw, cause.index)?);
            }
            stream.version = page.version;
            if !page.more {
                return Ok(stream);
            }
        }
    }

    /// Appends events to a stream of the cause's tenant, and tells the version that it has then.
    ///
    /// # Errors
    /// [`AppendError`]: of a conflict, nothing was written, and the stream can be loaded again; or `?` makes
    /// a failure of it that is tried again.
    pub fn append<C>(
        &self,
        cause: &Event<C>,
        aggregate: &str,
        id: &str,
        expected: impl Into<ExpectedVersion>,
        events: impl IntoIterator<Item = NewEvent>,
    ) -> Result<u32, AppendError> {
        let events: Vec<NewEvent> = events.into_iter().collect();
        self.streams.append(cause.index, aggregate, id, expected.into(), &events)
    }
}

impl NewEvent {
    /// An event of schema version 1 with data that serialises to a JSON object.
    ///
    /// # Errors
    /// Poison, where the data can't be serialised.
    pub fn of(event_type: impl Into<String>, data: &impl Serialize) -> Result<Self> {
        let payload = serde_json::to_string(data)?;
        Ok(Self { event_type: event_type.into(), schema_version: 1, payload, topic: None })
    }

    /// The same with another version of the schema of its data.
    #[must_use]
    pub fn version(self, schema_version: u32) -> Self {
        Self { schema_version, ..self }
    }

    /// The same with a label in the outbox.
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..self }
    }
}

impl From<u32> for ExpectedVersion {
    fn from(version: u32) -> Self {
        Self::Exact(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, RecordingTx, event};
    use crate::{Backend, FailureKind};
    use serde_json::{Value, json};

    fn cause() -> Event<Value> {
        Event::parse(event("Asked", "{}"), 3).unwrap()
    }

    #[test]
    fn a_stream_is_loaded_whole_with_what_was_appended() {
        let db = RecordingTx::new();
        let many = (0..PAGE + 7).map(|n| event("Added", &format!(r#"{{"n": {n}}}"#)));
        db.stream("Sum", "1", many);
        let tx = Tx::new(&db);
        let store = tx.event_store();
        let added = NewEvent::of("Added", &json!({"n": 1})).unwrap().version(2).topic("sums");
        assert_eq!(store.append(&cause(), "Sum", "1", PAGE + 7, [added]), Ok(PAGE + 8));
        let stream = store.load::<Value, _>(&cause(), "Sum", "1").unwrap();
        assert_eq!((stream.events.len() as u32, stream.version), (PAGE + 8, PAGE + 8));
        let last = stream.events.last().unwrap();
        assert_eq!((last.schema_version, last.version), (2, PAGE + 8));
        assert_eq!(db.appended()[0].topic.as_deref(), Some("sums"));
    }

    #[test]
    fn a_conflict_leaves_the_transaction_usable_and_is_tried_again_where_nobody_looks() {
        let db = RecordingTx::new();
        db.stream("Sum", "1", [event("Added", "{}")]);
        let tx = Tx::new(&db);
        let store = tx.event_store();
        let new = || NewEvent::of("Added", &json!({})).unwrap();
        let error = store.append(&cause(), "Sum", "1", ExpectedVersion::None, [new()]);
        assert_eq!(error, Err(AppendError::Conflict(1)));
        assert_eq!(Error::from(error.unwrap_err()).kind(), FailureKind::Retry);
        assert_eq!(store.append(&cause(), "Sum", "1", 1, [new()]), Ok(2));
        tx.finish(Ok(())).unwrap();
    }

    #[test]
    fn what_is_denied_blames_the_event() {
        let error = Error::from(AppendError::Denied("append:Sum is not granted".into()));
        assert_eq!(error.kind(), FailureKind::Poison);
        assert_eq!(error.message(), "append:Sum is not granted");
        let error = Error::from(AppendError::Database("deadlock".into()));
        assert_eq!(error.kind(), FailureKind::Retry);
    }

    #[test]
    fn an_event_of_a_stream_that_is_not_as_expected_blames_the_cause() {
        let db = RecordingTx::new();
        db.stream("Sum", "1", [testing::event("Added", "{}")]);
        let tx = Tx::new(&db as &dyn Backend);
        let error = tx.event_store().load::<Vec<u8>, _>(&cause(), "Sum", "1").unwrap_err();
        assert_eq!((error.kind(), error.event()), (FailureKind::Poison, Some(3)));
    }
}

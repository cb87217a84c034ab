//! A transaction that only remembers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::{
    AppendError, Backend, BatchError, Call, ExpectedVersion, NewEvent, Page, RawEvent, RowSet,
    SqlError, Streams, Value,
};

/// A transaction that records statements and answers queries from a script.
///
/// Answers and failures are matched by a part of the statement, and used up in the order they were
/// given. A query without an answer returns no rows.
#[derive(Debug, Default)]
pub struct RecordingTx {
    calls: RefCell<Vec<(String, Vec<Value>)>>,
    script: RefCell<Vec<(String, Result<RowSet, SqlError>)>>,
    round_trips: Cell<usize>,
    streams: RefCell<BTreeMap<(String, String), Vec<RawEvent>>>,
    appended: RefCell<Vec<Appended>>,
}

/// An event that was appended, see [`RecordingTx::appended`].
#[derive(Debug, Clone, PartialEq)]
pub struct Appended {
    /// The kind of aggregate.
    pub aggregate: String,
    /// Which aggregate.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// Its data, with `type` and `version`.
    pub data: serde_json::Value,
    /// The label in the outbox.
    pub topic: Option<String>,
}

impl RecordingTx {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next query whose text holds `part` gets these rows, see [`rows`](super::rows).
    pub fn answer(&self, part: &str, rows: RowSet) {
        self.script.borrow_mut().push((part.into(), Ok(rows)));
    }

    /// The next statement whose text holds `part` fails.
    pub fn fail(&self, part: &str, error: SqlError) {
        self.script.borrow_mut().push((part.into(), Err(error)));
    }

    /// Statements with their parameters, in the order they reached the database.
    pub fn calls(&self) -> Vec<(String, Vec<Value>)> {
        self.calls.borrow().clone()
    }

    /// The parameters of the statements whose text holds `part`.
    pub fn calls_of(&self, part: &str) -> Vec<Vec<Value>> {
        let calls = self.calls.borrow();
        let matching = calls.iter().filter(|(statement, _)| statement.contains(part));
        matching.map(|(_, params)| params.clone()).collect()
    }

    /// The texts of the statements, in the order they reached the database.
    pub fn statements(&self) -> Vec<String> {
        self.calls.borrow().iter().map(|(statement, _)| statement.clone()).collect()
    }

    /// How often the database was called: a batch counts once.
    pub fn round_trips(&self) -> usize {
        self.round_trips.get()
    }

    /// Gives a stream its events, for projections that load it. They are numbered from 1.
    pub fn stream(&self, aggregate: &str, id: &str, events: impl IntoIterator<Item = RawEvent>) {
        let number = |(version, event)| RawEvent {
            aggregate: aggregate.into(),
            aggregate_id: id.into(),
            version,
            ..event
        };
        let events = (1..).zip(events).map(number).collect();
        self.streams.borrow_mut().insert((aggregate.into(), id.into()), events);
    }

    /// What was appended, in this order.
    pub fn appended(&self) -> Vec<Appended> {
        self.appended.borrow().clone()
    }

    fn trip(&self) {
        self.round_trips.set(self.round_trips.get() + 1);
    }

    fn record(&self, statement: &str, params: &[Value]) -> Result<RowSet, SqlError> {
        self.calls.borrow_mut().push((statement.into(), params.to_vec()));
        let mut script = self.script.borrow_mut();
        match script.iter().position(|(part, _)| statement.contains(part)) {
            Some(place) => script.remove(place).1,
            None => Ok(RowSet { columns: Vec::new(), rows: Vec::new() }),
        }
    }
}

impl Streams for RecordingTx {
    fn load(
        &self,
        _cause: u32,
        aggregate: &str,
        id: &str,
        after: u32,
        limit: u32,
    ) -> Result<Page, AppendError> {
        self.trip();
        let streams = self.streams.borrow();
        let stream = streams.get(&(aggregate.to_owned(), id.to_owned()));
        let events = stream.map(Vec::as_slice).unwrap_or_default();
        let left = events.get(after as usize..).unwrap_or_default();
        let page: Vec<RawEvent> = left.iter().take(limit as usize).cloned().collect();
        let version = page.last().map_or(after, |event| event.version);
        Ok(Page { more: page.len() < left.len(), events: page, version })
    }

    fn append(
        &self,
        _cause: u32,
        aggregate: &str,
        id: &str,
        expected: ExpectedVersion,
        events: &[NewEvent],
    ) -> Result<u32, AppendError> {
        self.trip();
        let mut streams = self.streams.borrow_mut();
        let stream = streams.entry((aggregate.to_owned(), id.to_owned())).or_default();
        let version = stream.len() as u32;
        match expected {
            ExpectedVersion::None if version > 0 => return Err(AppendError::Conflict(version)),
            ExpectedVersion::Exact(exact) if version != exact => {
                return Err(AppendError::Conflict(version));
            }
            _ => {}
        }
        for new in events {
            let invalid = |error| AppendError::Invalid(format!("{}: {error}", new.event_type));
            let payload = serde_json::from_str(&new.payload).map_err(invalid)?;
            let raw = super::event_of(&new.event_type, new.schema_version, payload);
            let data = serde_json::from_str(&raw.payload).map_err(invalid)?;
            stream.push(RawEvent {
                aggregate: aggregate.into(),
                aggregate_id: id.into(),
                version: stream.len() as u32 + 1,
                ..raw
            });
            self.appended.borrow_mut().push(Appended {
                aggregate: aggregate.into(),
                id: id.into(),
                event_type: new.event_type.clone(),
                data,
                topic: new.topic.clone(),
            });
        }
        Ok(stream.len() as u32)
    }
}

impl Backend for RecordingTx {
    fn streams(&self) -> Option<&dyn Streams> {
        Some(self)
    }

    fn execute(&self, statement: &str, params: &[Value]) -> Result<u64, SqlError> {
        self.trip();
        self.record(statement, params).map(|set| (set.rows.len() as u64).max(1))
    }

    fn query(&self, statement: &str, params: &[Value]) -> Result<RowSet, SqlError> {
        self.trip();
        self.record(statement, params)
    }

    fn execute_batch(&self, statements: &[String], calls: &[Call]) -> Result<Vec<u64>, BatchError> {
        self.trip();
        (0..)
            .zip(calls)
            .map(|(index, call)| {
                self.record(&statements[call.statement as usize], &call.params)
                    .map(|set| (set.rows.len() as u64).max(1))
                    .map_err(|error| BatchError { call: index, error })
            })
            .collect()
    }
}

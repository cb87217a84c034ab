//! A transaction that only remembers.

use std::cell::{Cell, RefCell};

use crate::{Backend, BatchError, Call, RowSet, SqlError, Value};

/// A transaction that records statements and answers queries from a script.
///
/// Answers and failures are matched by a part of the statement, and used up in the order they were
/// given. A query without an answer returns no rows.
#[derive(Debug, Default)]
pub struct RecordingTx {
    calls: RefCell<Vec<(String, Vec<Value>)>>,
    script: RefCell<Vec<(String, Result<RowSet, SqlError>)>>,
    round_trips: Cell<usize>,
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

impl Backend for RecordingTx {
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

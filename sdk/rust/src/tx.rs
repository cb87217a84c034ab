//! The open transaction, with writes that are collected and sent together.

use std::cell::{Cell, RefCell};

use crate::{
    BatchError, Call, Error, Event, FromRow, FromValue, RawTx, Result, Row, RowSet, SqlError,
    Streams, Value,
    table::{Tables, Unmergeable},
};

/// Calls after which the queue is written out, so that it stays small.
const MAX_CALLS: usize = 1_000;
/// Bytes of text and binary parameters after which the queue is written out.
const MAX_BYTES: usize = 1 << 20;
/// Merged rows after which they are put into the queue.
const MAX_ROWS: usize = 10_000;

/// What carries out statements: the host in a component, a double in native tests
/// (see [`testing`](crate::testing)). The methods are those of the contract's `tx`.
pub trait Backend {
    /// Runs a statement and tells how many rows it wrote or returned.
    ///
    /// # Errors
    /// What the database or the sandbox says; the transaction is lost.
    fn execute(&self, statement: &str, params: &[Value]) -> Result<u64, SqlError>;

    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    fn query(&self, statement: &str, params: &[Value]) -> Result<RowSet, SqlError>;

    /// Runs many statements in order.
    ///
    /// # Errors
    /// As [`execute`](Self::execute), with the index of the call that failed.
    fn execute_batch(&self, statements: &[String], calls: &[Call]) -> Result<Vec<u64>, BatchError>;

    /// The host's own transaction, where this is it.
    fn raw(&self) -> Option<&RawTx> {
        None
    }

    /// Streams of the log, where it has some of its own.
    fn streams(&self) -> Option<&dyn Streams> {
        None
    }
}

impl Backend for RawTx {
    fn raw(&self) -> Option<&RawTx> {
        Some(self)
    }

    fn execute(&self, statement: &str, params: &[Value]) -> Result<u64, SqlError> {
        Self::execute(self, statement, params)
    }

    fn query(&self, statement: &str, params: &[Value]) -> Result<RowSet, SqlError> {
        Self::query(self, statement, params)
    }

    fn execute_batch(&self, statements: &[String], calls: &[Call]) -> Result<Vec<u64>, BatchError> {
        Self::execute_batch(self, statements, calls)
    }
}

/// The open transaction. What is written here commits together with the record that the events
/// were handled, or not at all.
///
/// [`run`](Self::run) queues a write; the queue goes to the database in one round trip at the end
/// of the batch, before the next read or [`execute`](Self::execute), and whenever it is full. So
/// reads see all earlier writes, and a handler that only writes costs one round trip a batch.
///
/// After a statement has failed, the transaction is lost: every later call returns the same error,
/// and the batch fails with it even if the projection went on.
///
/// ```
/// use eventfabric_sdk::{prelude::*, testing::RecordingTx};
///
/// let db = RecordingTx::new();
/// let tx = Tx::new(&db);
/// tx.run("INSERT INTO seen (id) VALUES ($1)", params![1])?;
/// tx.run("INSERT INTO seen (id) VALUES ($1)", params![2])?;
/// assert_eq!(db.round_trips(), 0);
/// tx.finish(Ok(()))?;
/// assert_eq!(db.round_trips(), 1);
/// # Ok::<(), Error>(())
/// ```
pub struct Tx<'a> {
    backend: &'a dyn Backend,
    queue: RefCell<Queue>,
    tables: RefCell<Tables>,
    blamed: Cell<Option<u32>>,
    failed: RefCell<Option<Error>>,
}

#[derive(Default)]
struct Queue {
    statements: Vec<String>,
    calls: Vec<Call>,
    /// For each call the event that it was made for.
    events: Vec<Option<u32>>,
    bytes: usize,
}

impl<'a> Tx<'a> {
    /// A transaction on a backend. The SDK makes it for the exported component; tests may make
    /// their own.
    pub fn new(backend: &'a dyn Backend) -> Self {
        Self {
            backend,
            queue: RefCell::default(),
            tables: RefCell::default(),
            blamed: Cell::new(None),
            failed: RefCell::new(None),
        }
    }

    pub(crate) fn backend(&self) -> &'a dyn Backend {
        self.backend
    }

    /// Queues a write. It takes effect, and fails, later: at the end of the batch at the latest.
    /// The failure names the event that is being handled here.
    ///
    /// # Errors
    /// Where the queue was full and a statement in it failed.
    pub fn run(&self, statement: &str, params: Vec<Value>) -> Result<()> {
        self.usable()?;
        if self.tables.borrow().are_named_in(statement) {
            self.queue_rows()?;
        }
        let full = self.queue.borrow_mut().push(statement, params, self.blamed.get());
        if full { self.send() } else { Ok(()) }
    }

    /// Runs a statement at once and tells how many rows it wrote or, where it returns rows, how
    /// many it returned. A round trip of its own: prefer [`run`](Self::run) where the number does
    /// not matter.
    ///
    /// # Errors
    /// What the statement, or one that was queued before it, failed with.
    pub fn execute(&self, statement: &str, params: Vec<Value>) -> Result<u64> {
        self.flush()?;
        self.backend.execute(statement, &params).map_err(|error| self.fail(error, statement))
    }

    /// Runs a statement and returns its rows: structs by `#[derive(FromRow)]`, or tuples.
    ///
    /// # Errors
    /// As [`execute`](Self::execute), and where the rows do not fit `T`.
    pub fn query<T: FromRow>(&self, statement: &str, params: Vec<Value>) -> Result<Vec<T>> {
        self.rows(statement, params)?.into_iter().map(T::from_row).collect()
    }

    /// The one row of a query.
    ///
    /// # Errors
    /// As [`query`](Self::query); fatal where there is not exactly one row.
    pub fn query_one<T: FromRow>(&self, statement: &str, params: Vec<Value>) -> Result<T> {
        self.query_optional(statement, params)?
            .ok_or_else(|| Error::fatal(format_args!("no row where one is expected: {statement}")))
    }

    /// The row of a query, if there is one.
    ///
    /// # Errors
    /// As [`query`](Self::query); fatal where there are several rows.
    pub fn query_optional<T: FromRow>(
        &self,
        statement: &str,
        params: Vec<Value>,
    ) -> Result<Option<T>> {
        let mut rows = self.rows(statement, params)?;
        match rows.len() {
            0 | 1 => rows.pop().map(T::from_row).transpose(),
            n => Err(Error::fatal(format_args!("{n} rows where one is expected: {statement}"))),
        }
    }

    /// The first column of the one row of a query.
    ///
    /// # Errors
    /// As [`query_one`](Self::query_one).
    pub fn scalar<T: FromValue>(&self, statement: &str, params: Vec<Value>) -> Result<T> {
        Ok(self.query_one::<(T,)>(statement, params)?.0)
    }

    /// Writes out what is queued, and the rows of each [`Table`](crate::Table).
    ///
    /// # Errors
    /// What a queued statement failed with, naming the event that it was queued for.
    pub fn flush(&self) -> Result<()> {
        self.usable()?;
        self.queue_rows()?;
        self.send()
    }

    /// Changes what is to be written to tables. What can't be merged is queued, and the change
    /// done anew.
    pub(crate) fn merge(
        &self,
        mut change: impl FnMut(&mut Tables, Option<u32>) -> Result<(), Unmergeable>,
    ) -> Result<()> {
        self.usable()?;
        while change(&mut self.tables.borrow_mut(), self.blamed.get()).is_err() {
            self.queue_rows()?;
        }
        if self.tables.borrow().rows() >= MAX_ROWS { self.queue_rows() } else { Ok(()) }
    }

    fn queue_rows(&self) -> Result<()> {
        for (statement, params, event) in self.tables.take().into_calls() {
            let full = self.queue.borrow_mut().push(&statement, params, event);
            if full {
                self.send()?;
            }
        }
        Ok(())
    }

    fn send(&self) -> Result<()> {
        let queue = self.queue.take();
        if queue.calls.is_empty() {
            return Ok(());
        }
        match self.backend.execute_batch(&queue.statements, &queue.calls) {
            Ok(_) => Ok(()),
            Err(BatchError { call, error }) => {
                let call = call as usize;
                let statement = queue.calls.get(call).map_or(0, |call| call.statement as usize);
                let statement = queue.statements.get(statement).map_or("", String::as_str);
                self.blamed.set(queue.events.get(call).copied().flatten());
                Err(self.fail(error, statement))
            }
        }
    }

    /// From here on, failures name this event. The SDK does so before each
    /// [`Projection::handle`](crate::Projection::handle); a
    /// [`handle_batch`](crate::Projection::handle_batch) of your own may do it, too.
    pub fn blame<T>(&self, event: &Event<T>) {
        self.blamed.set(Some(event.index));
    }

    /// From here on, failures name no event: for writes that stem from many of them.
    pub fn blame_none(&self) {
        self.blamed.set(None);
    }

    /// Ends the batch: writes out the queue where the projection succeeded, and gives its error
    /// the event where it did not.
    ///
    /// # Errors
    /// The projection's own error, or that of a statement.
    pub fn finish(self, outcome: Result<()>) -> Result<()> {
        match outcome {
            Ok(()) => self.flush(),
            Err(error) => Err(match (error.event(), self.blamed.get()) {
                (None, Some(index)) => error.at(index),
                _ => error,
            }),
        }
    }

    /// Runs a statement and returns its rows as they are, for the answer to a
    /// [`Query`](crate::Query).
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn row_set(&self, statement: &str, params: Vec<Value>) -> Result<RowSet> {
        self.flush()?;
        self.backend.query(statement, &params).map_err(|error| self.fail(error, statement))
    }

    fn rows(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        Ok(Row::all(self.row_set(statement, params)?))
    }

    fn usable(&self) -> Result<()> {
        self.failed.borrow().clone().map_or(Ok(()), Err)
    }

    fn fail(&self, error: SqlError, statement: &str) -> Error {
        let mut error = Error::sql(error, statement);
        if let Some(index) = self.blamed.get() {
            error = error.at(index);
        }
        *self.failed.borrow_mut() = Some(error.clone());
        error
    }
}

impl Queue {
    /// Adds a call and tells whether the queue is full.
    fn push(&mut self, statement: &str, params: Vec<Value>, event: Option<u32>) -> bool {
        let index = self.statements.iter().rposition(|known| known == statement);
        let index = index.unwrap_or_else(|| {
            self.statements.push(statement.to_owned());
            self.statements.len() - 1
        });
        self.bytes += params.iter().map(Value::heap_bytes).sum::<usize>();
        // A queue is full long before its statements are more than 32 bits can count.
        self.calls.push(Call { statement: index as u32, params });
        self.events.push(event);
        self.calls.len() >= MAX_CALLS || self.bytes >= MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        FailureKind, SqlErrorKind, params,
        testing::{RecordingTx, rows, sql_error},
    };

    const INSERT: &str = "INSERT INTO seen VALUES ($1)";

    #[test]
    fn a_read_sees_what_was_queued_before_it() {
        let db = RecordingTx::new();
        db.answer("SELECT", rows(["n"], [params![2]]));
        let tx = Tx::new(&db);
        tx.run(INSERT, params![1]).unwrap();
        tx.run(INSERT, params![2]).unwrap();
        assert_eq!(tx.scalar::<i64>("SELECT count(*) FROM seen", vec![]).unwrap(), 2);
        tx.finish(Ok(())).unwrap();
        assert_eq!(db.statements(), [INSERT, INSERT, "SELECT count(*) FROM seen"]);
        assert_eq!(db.round_trips(), 2);
    }

    #[test]
    fn a_full_queue_is_written_out() {
        let db = RecordingTx::new();
        let tx = Tx::new(&db);
        for n in 0..MAX_CALLS {
            tx.run(INSERT, params![n as i64]).unwrap();
        }
        assert_eq!(db.round_trips(), 1);
        tx.run(INSERT, params!["x".repeat(MAX_BYTES)]).unwrap();
        assert_eq!(db.round_trips(), 2);
        tx.finish(Ok(())).unwrap();
        assert_eq!(db.round_trips(), 2);
    }

    #[test]
    fn a_failed_transaction_fails_for_good_even_if_the_error_is_ignored() {
        let db = RecordingTx::new();
        db.fail("INSERT", sql_error(SqlErrorKind::Constraint, "23505", "duplicate key"));
        let tx = Tx::new(&db);
        let first = tx.execute(INSERT, params![1]).unwrap_err();
        assert_eq!(tx.run("UPDATE seen SET id = 1", vec![]).unwrap_err(), first);
        let last = tx.finish(Ok(())).unwrap_err();
        assert_eq!((last.kind(), &last), (FailureKind::Poison, &first));
        assert_eq!(db.statements(), [INSERT]);
    }

    #[test]
    fn one_row_is_one_row() {
        let db = RecordingTx::new();
        db.answer("SELECT", rows(["n"], [params![1], params![2]]));
        db.answer("SELECT", rows::<1>(["n"], []));
        let tx = Tx::new(&db);
        let several = tx.query_optional::<(i32,)>("SELECT n FROM seen", vec![]).unwrap_err();
        assert_eq!(several.message(), "2 rows where one is expected: SELECT n FROM seen");
        let none = tx.query_one::<(i32,)>("SELECT n FROM seen", vec![]).unwrap_err();
        assert_eq!(none.message(), "no row where one is expected: SELECT n FROM seen");
    }
}

//! The host's side of a running plugin: the functions that it may call, each within its limits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;
use wasmtime::component::{Resource, ResourceTable};

use super::bindings::{self, TxHandle, config, log, sql, types};
use super::limits::Limits;
use super::lines::{Level, Lines};
use super::outgoing::Outgoing;
use super::script::Script;
use super::session::{Session, limit_error};
use super::traced;
use super::wasi::World;
use crate::sandbox::{
    BatchCall, BatchError, Call, Full, RowSet, SqlError, SqlErrorKind, Step, Value,
};

/// Streams and timers of WASI that an instance may hold.
const HANDLES: usize = 10_000;

/// Why the host stops a plugin. Travels as an error through the engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The time for the batch is over.
    #[error("ran longer than its {}", humantime::format_duration(*.0))]
    Deadline(Duration),
    /// The time for the batch ended while the database worked for it.
    #[error("waited for the database beyond its {}", humantime::format_duration(*.0))]
    SqlDeadline(Duration),
    /// The time for the batch ended while the database waited for a lock.
    #[error("waited for a lock in the database beyond its {}", humantime::format_duration(*.0))]
    LockDeadline(Duration),
    /// Its tables have grown too large.
    #[error(transparent)]
    Full(Full),
    /// It called the host too often.
    #[error("called the host more than {0} times in a batch")]
    HostCalls(u64),
    /// It asked for too many random bytes.
    #[error("asked for more than {0} random bytes at once")]
    Random(u64),
    /// `wasi:cli/exit`.
    #[error("exited with status {0} instead of returning")]
    Exit(u8),
    /// A use of SQL where there is no transaction.
    #[error("used a transaction where it has none: `describe` must not run SQL")]
    NoTransaction,
    /// It asks what a script has no answer to.
    #[error("ran another statement than the one that was recorded at this point")]
    OffScript,
    /// The transaction is gone already.
    #[error("used its transaction after the connection was lost")]
    Lost,
}

/// Everything that belongs to one instance.
pub struct State {
    /// WASI's streams and timers, and the handle on the transaction.
    pub table: ResourceTable,
    /// What it may use.
    pub limits: Arc<Limits>,
    /// How long it may run, and when that time is over.
    pub time: Duration,
    pub deadline: Instant,
    /// Memory and tables.
    pub space: Space,
    /// Clock and chance.
    pub world: World,
    /// Log, stdout and stderr.
    pub lines: Arc<Mutex<Lines>>,
    /// Settings of the operator.
    pub config: Arc<BTreeMap<String, String>>,
    /// `None` in `describe`, and where a script answers.
    pub session: Option<Session>,
    /// Answers instead of a database.
    pub script: Option<Script>,
    /// Requests to other systems, for a plugin that sends them.
    pub outgoing: Option<Outgoing>,
    /// Calls of the host so far.
    pub host_calls: u64,
}

impl State {
    /// A state that has `time` from now.
    pub fn new(
        limits: Arc<Limits>,
        time: Duration,
        world: World,
        lines: Lines,
        config: Arc<BTreeMap<String, String>>,
        session: Option<Session>,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let space = Space {
            memory: 0,
            memory_limit: limits.memory_bytes,
            table_limit: limits.table_elements,
            refused: None,
        };
        let deadline = Instant::now() + time;
        let lines = Arc::new(Mutex::new(lines));
        let (script, outgoing, host_calls) = (None, None, 0);
        Self {
            table,
            limits,
            time,
            deadline,
            space,
            world,
            lines,
            config,
            session,
            script,
            outgoing,
            host_calls,
        }
    }

    /// Counts a call of a function of the host.
    pub(super) fn count_call(&mut self) -> Result<(), Stop> {
        self.host_calls += 1;
        if self.host_calls > self.limits.host_calls {
            return Err(Stop::HostCalls(self.limits.host_calls));
        }
        Ok(())
    }

    /// How long it has waited for others until now: for its transaction, for SQL, and for answers to its
    /// requests.
    pub(super) fn waited(&self) -> Duration {
        let sql =
            self.session.as_ref().map_or(Duration::ZERO, |session| session.time + session.awaited);
        sql + self.outgoing.as_ref().map_or(Duration::ZERO, Outgoing::waited)
    }

    /// Waits for the transaction, where it comes later. That is none of its time.
    pub(super) async fn arrival(&mut self) {
        let Some(session) = &mut self.session else { return };
        let Some(waited) = session.arrival().await else { return };
        self.deadline += waited;
        if session.tx.is_some() {
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).tell();
        }
    }

    /// The script that answers in the place of a database, where there is one; its calls count, too.
    fn script(&mut self) -> Result<Option<&mut Script>, Stop> {
        if self.script.is_some() {
            self.count_call()?;
        }
        Ok(self.script.as_mut())
    }

    /// Counts a call of SQL, and takes the session for it: `Ok(Err(…))` is an error of the plugin
    /// to be told to it.
    fn begin_sql(
        &mut self,
        statements: usize,
        bytes: usize,
        text: &str,
        writes: bool,
    ) -> Result<Result<&mut Session, SqlError>, Stop> {
        self.count_call()?;
        let session = self.session.as_mut().ok_or(Stop::NoTransaction)?;
        let tx = session.tx.as_mut().ok_or(Stop::Lost)?;
        session.statements += statements as u64;
        session.bytes = session.bytes.saturating_add(bytes);
        let limits = &self.limits;
        if writes && session.reads_only {
            tx.doom();
            let error = SqlError::new(SqlErrorKind::Denied, "a query only reads")
                .with_hint("run a SELECT by `query`");
            session.note(text, &error);
            return Ok(Err(error));
        }
        let exceeded = if session.statements > limits.statements {
            format!("a batch may run {} statements (`limits.statements`)", limits.statements)
        } else if session.bytes > limits.parameter_bytes {
            format!(
                "a batch may bring {} bytes of parameters (`limits.parameter_bytes`)",
                limits.parameter_bytes
            )
        } else {
            return Ok(Ok(session));
        };
        tx.doom();
        let error = limit_error(exceeded);
        session.note(text, &error);
        Ok(Err(error))
    }
}

fn too_many_rows(most: u64) -> SqlError {
    limit_error(format!("a batch may write {most} rows (`limits.rows_written`)"))
}

impl types::Host for State {}
impl sql::Host for State {}

impl State {
    /// Keeps what a plugin asked and was answered, where somebody records it.
    pub(super) fn note(&self, step: impl FnOnce() -> Step) {
        if let Some(session) = &self.session {
            session.sql.recorder().note(step);
        }
    }

    pub(super) fn is_recording(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.sql.recorder().is_on())
    }

    /// Parameters to be kept with their answer; nothing, where nobody records.
    fn recorded(&self, params: &[Value]) -> Vec<Value> {
        if self.is_recording() { params.to_vec() } else { Vec::new() }
    }

    async fn run_execute(
        &mut self,
        statement: &str,
        params: Vec<Value>,
        bytes: usize,
    ) -> Result<Result<u64, SqlError>, Stop> {
        self.arrival().await;
        let (deadline, time, most) = (self.deadline, self.time, self.limits.rows_written);
        let span = traced::statement(self.host_calls, statement);
        let session = match self.begin_sql(1, bytes, statement, true)? {
            Ok(session) => session,
            Err(error) => return Ok(Err(error)),
        };
        let mut tx = session.tx.take().ok_or(Stop::Lost)?;
        let (sql, pid) = (session.sql.clone(), tx.backend_pid());
        let work = sql.execute(&mut tx, statement, params);
        let ended = session.until(deadline, pid, work).await;
        let mut result = session.take_back(tx, ended, time)?;
        traced::ran(&span, result.as_ref().map(|rows| *rows));
        if let Ok(rows) = result
            && !session.wrote(rows, most)
        {
            result = Err(too_many_rows(most));
        }
        Ok(result.inspect_err(|error| session.fail(statement, error)))
    }

    async fn run_query(
        &mut self,
        statement: &str,
        params: Vec<Value>,
        bytes: usize,
    ) -> Result<Result<RowSet, SqlError>, Stop> {
        self.arrival().await;
        let (deadline, time) = (self.deadline, self.time);
        let span = traced::statement(self.host_calls, statement);
        let session = match self.begin_sql(1, bytes, statement, false)? {
            Ok(session) => session,
            Err(error) => return Ok(Err(error)),
        };
        let mut tx = session.tx.take().ok_or(Stop::Lost)?;
        let (sql, pid) = (session.sql.clone(), tx.backend_pid());
        let reads_only = session.reads_only;
        let work = async {
            match reads_only {
                true => sql.select(&mut tx, statement, params).await,
                false => sql.query(&mut tx, statement, params).await,
            }
        };
        let ended = session.until(deadline, pid, work).await;
        let result = session.take_back(tx, ended, time)?;
        session.rows_read += result.as_ref().map_or(0, |found| found.rows.len() as u64);
        traced::ran(&span, result.as_ref().map(|found| found.rows.len() as u64));
        Ok(result.inspect_err(|error| session.fail(statement, error)))
    }

    async fn run_batch(
        &mut self,
        statements: &[String],
        calls: Vec<Call>,
        bytes: usize,
    ) -> Result<Result<Vec<u64>, BatchError>, Stop> {
        self.arrival().await;
        let indexes: Vec<u32> = calls.iter().map(|call| call.statement).collect();
        let text = |call: u32| {
            let index = indexes.get(call as usize).copied().unwrap_or_default();
            statements.get(index as usize).map_or("", String::as_str)
        };
        let (deadline, time, most) = (self.deadline, self.time, self.limits.rows_written);
        let span = traced::batch(self.host_calls, statements, calls.len());
        let session = match self.begin_sql(calls.len(), bytes, text(0), true)? {
            Ok(session) => session,
            Err(error) => return Ok(Err(BatchError { call: 0, error })),
        };
        let mut tx = session.tx.take().ok_or(Stop::Lost)?;
        let (sql, pid) = (session.sql.clone(), tx.backend_pid());
        let work = sql.execute_batch(&mut tx, statements, calls);
        let ended = session.until(deadline, pid, work).await;
        let mut result = session.take_back(tx, ended, time)?;
        let rows = result.as_ref().map(|rows| rows.iter().sum());
        traced::ran(&span, rows.map_err(|failed| &failed.error));
        let over = result.iter().flatten().position(|rows| !session.wrote(*rows, most));
        if let Some(call) = over {
            result = Err(BatchError { call: call as u32, error: too_many_rows(most) });
        }
        Ok(result.inspect_err(|failed| session.fail(text(failed.call), &failed.error)))
    }
}

impl sql::HostTx for State {
    async fn execute(
        &mut self,
        _: Resource<TxHandle>,
        statement: String,
        params: Vec<sql::Value>,
    ) -> wasmtime::Result<Result<u64, sql::SqlError>> {
        let bytes = statement.len() + params.iter().map(bindings::size).sum::<usize>();
        let params: Vec<Value> = bindings::convert(params);
        let answer = match self.script()? {
            Some(script) => script.execute(&statement, &params)?,
            None => {
                let given = self.recorded(&params);
                let answer = self.run_execute(&statement, params, bytes).await?;
                self.note(|| Step::Execute { statement, params: given, answer: answer.clone() });
                answer
            }
        };
        Ok(answer.map_err(Into::into))
    }

    async fn query(
        &mut self,
        _: Resource<TxHandle>,
        statement: String,
        params: Vec<sql::Value>,
    ) -> wasmtime::Result<Result<sql::RowSet, sql::SqlError>> {
        let bytes = statement.len() + params.iter().map(bindings::size).sum::<usize>();
        let params: Vec<Value> = bindings::convert(params);
        let answer = match self.script()? {
            Some(script) => script.query(&statement, &params)?,
            None => {
                let given = self.recorded(&params);
                let answer = self.run_query(&statement, params, bytes).await?;
                self.note(|| Step::Query { statement, params: given, answer: answer.clone() });
                answer
            }
        };
        Ok(answer.map(Into::into).map_err(Into::into))
    }

    async fn execute_batch(
        &mut self,
        _: Resource<TxHandle>,
        statements: Vec<String>,
        calls: Vec<sql::Call>,
    ) -> wasmtime::Result<Result<Vec<u64>, sql::BatchError>> {
        let values = calls.iter().flat_map(|call| &call.params);
        let bytes = statements.iter().map(String::len).sum::<usize>()
            + values.map(bindings::size).sum::<usize>();
        let calls: Vec<Call> = bindings::convert(calls);
        let answer = match self.script()? {
            Some(script) => script.batch(&BatchCall::all(&statements, &calls))?,
            None => {
                let given = match self.is_recording() {
                    true => BatchCall::all(&statements, &calls),
                    false => Vec::new(),
                };
                let answer = self.run_batch(&statements, calls, bytes).await?;
                self.note(|| Step::Batch { calls: given, answer: answer.clone() });
                answer
            }
        };
        Ok(answer
            .map_err(|failed| sql::BatchError { call: failed.call, error: failed.error.into() }))
    }

    async fn drop(&mut self, _: Resource<TxHandle>) -> wasmtime::Result<()> {
        // A plugin only ever borrows the handle; the engine does not let it get here.
        Err(Stop::NoTransaction.into())
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.count_call()?;
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).write(level, &message);
        Ok(())
    }
}

impl config::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.count_call()?;
        Ok(self.config.get(&key).cloned())
    }

    fn all(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.count_call()?;
        Ok(self.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// Memory and tables of an instance, counted while they grow.
pub struct Space {
    /// Bytes of linear memory so far.
    pub memory: usize,
    memory_limit: usize,
    table_limit: usize,
    /// What the instance was refused: the likely reason of a trap that follows.
    pub refused: Option<&'static str>,
}

impl ResourceLimiter for Space {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let after = self.memory.saturating_add(desired.saturating_sub(current));
        if after > self.memory_limit {
            self.refused = Some("memory");
            return Ok(false);
        }
        self.memory = after;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.table_limit {
            self.refused = Some("table elements");
            return Ok(false);
        }
        Ok(true)
    }
}

//! The host's side of a running plugin: the functions that it may call, each within its limits.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use wasmtime::ResourceLimiter;
use wasmtime::component::{Resource, ResourceTable};

use super::bindings::{self, TxHandle, config, log, sql, types};
use super::limits::Limits;
use super::lines::{Level, Lines, cut};
use super::wasi::World;
use crate::db::{self, Tx};
use crate::sandbox::{PluginSql, SqlError, SqlErrorKind};

/// After the deadline, how long a statement may take to notice that it was cancelled.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// Entries of the table of WASI's streams and timers.
const HANDLES: usize = 10_000;

/// As much of a statement as an error quotes.
const QUOTED_BYTES: usize = 300;

/// Why the host stops a plugin. Travels as an error through the engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The time for the batch is over.
    #[error("ran longer than its {}", humantime::format_duration(*.0))]
    Deadline(Duration),
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
    /// The transaction is gone already.
    #[error("used its transaction after the connection was lost")]
    Lost,
}

/// The first statement that failed.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Its text, shortened.
    pub statement: String,
    /// What went wrong.
    pub error: SqlError,
}

/// The transaction while it is in the hands of a plugin.
pub struct Session {
    /// `None` after it had to be given up.
    pub tx: Option<Tx>,
    /// What the plugin's SQL may do.
    pub sql: Arc<PluginSql>,
    /// To cancel a statement.
    pub control: Option<PgPool>,
    /// Statements so far.
    pub statements: u64,
    /// Bytes of statements and parameters so far.
    pub bytes: usize,
    /// Time in SQL so far.
    pub time: Duration,
    /// The first statement that failed.
    pub trouble: Option<Trouble>,
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
    /// `None` in `describe`.
    pub session: Option<Session>,
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
        Self { table, limits, time, deadline, space, world, lines, config, session, host_calls: 0 }
    }

    fn count_call(&mut self) -> Result<(), Stop> {
        self.host_calls += 1;
        if self.host_calls > self.limits.host_calls {
            return Err(Stop::HostCalls(self.limits.host_calls));
        }
        Ok(())
    }

    /// Counts a call of SQL, and takes the session for it: `Ok(Err(…))` is an error of the plugin
    /// to be told to it.
    fn begin_sql(
        &mut self,
        statements: usize,
        bytes: usize,
        text: &str,
    ) -> Result<Result<&mut Session, SqlError>, Stop> {
        self.count_call()?;
        let session = self.session.as_mut().ok_or(Stop::NoTransaction)?;
        let tx = session.tx.as_mut().ok_or(Stop::Lost)?;
        session.statements += statements as u64;
        session.bytes = session.bytes.saturating_add(bytes);
        let limits = &self.limits;
        let exceeded = if session.statements > limits.statements {
            format!("a batch may run {} statements", limits.statements)
        } else if session.bytes > limits.parameter_bytes {
            format!("a batch may bring {} bytes of parameters", limits.parameter_bytes)
        } else {
            return Ok(Ok(session));
        };
        tx.doom();
        let error = limit_error(exceeded);
        session.note(text, &error);
        Ok(Err(error))
    }
}

impl Session {
    fn note(&mut self, statement: &str, error: &SqlError) {
        if self.trouble.is_none() {
            let statement = cut(statement.trim(), QUOTED_BYTES).to_owned();
            self.trouble = Some(Trouble { statement, error: error.clone() });
        }
    }

    /// Whether the connection is gone.
    pub fn is_lost(&self) -> bool {
        self.tx.is_none()
            || self.trouble.as_ref().is_some_and(|t| t.error.kind == SqlErrorKind::Connection)
    }

    /// Runs SQL until the deadline. Past it, asks the server to cancel, and waits a little for the
    /// answer, so that the connection can be used again; else gives the transaction up.
    ///
    async fn until<T>(
        &mut self,
        deadline: Instant,
        pid: i32,
        work: impl Future<Output = T> + Send,
    ) -> Ended<T> {
        let started = Instant::now();
        let control = self.control.clone();
        let ended = async move {
            tokio::pin!(work);
            if let Ok(done) = tokio::time::timeout_at(deadline.into(), &mut work).await {
                return Ended::InTime(done);
            }
            let cancel = async {
                if let Some(control) = &control
                    && let Err(error) = db::cancel(control, pid).await
                {
                    tracing::warn!(pid, %error, "could not cancel a statement of a plugin");
                }
            };
            // Both: a cancel request still on its way would hit the next user of the connection.
            match tokio::time::timeout(CANCEL_GRACE, async { tokio::join!(&mut work, cancel) })
                .await
            {
                Ok(_) => Ended::Late,
                Err(_) => Ended::Abandoned,
            }
        }
        .await;
        self.time += started.elapsed();
        ended
    }

    /// Checks what was deferred to the end of the transaction.
    pub async fn settle(&mut self, deadline: Instant, time: Duration) -> Result<(), Stop> {
        let Some(mut tx) = self.tx.take() else { return Err(Stop::Lost) };
        let (sql, pid) = (self.sql.clone(), tx.backend_pid());
        let ended = self.until(deadline, pid, sql.settle(&mut tx)).await;
        let result = self.take_back(tx, ended, time)?;
        if let Err(error) = result {
            self.fail("(at the end of the batch, constraints that are deferred)", &error);
        }
        Ok(())
    }

    fn take_back<T>(&mut self, mut tx: Tx, ended: Ended<T>, time: Duration) -> Result<T, Stop> {
        match ended {
            Ended::InTime(done) => {
                self.tx = Some(tx);
                Ok(done)
            }
            Ended::Late => {
                tx.doom();
                self.tx = Some(tx);
                Err(Stop::Deadline(time))
            }
            Ended::Abandoned => Err(Stop::Deadline(time)),
        }
    }

    fn fail(&mut self, statement: &str, error: &SqlError) {
        if let Some(tx) = &mut self.tx {
            tx.doom();
        }
        self.note(statement, error);
    }
}

enum Ended<T> {
    InTime(T),
    Late,
    Abandoned,
}

fn limit_error(message: String) -> SqlError {
    SqlError {
        kind: SqlErrorKind::Limit,
        sqlstate: String::new(),
        message,
        detail: None,
        hint: Some("the operator can raise the limit".to_owned()),
        constraint: None,
        table: None,
        column: None,
        position: None,
    }
}

impl types::Host for State {}
impl sql::Host for State {}

impl sql::HostTx for State {
    async fn execute(
        &mut self,
        _: Resource<TxHandle>,
        statement: String,
        params: Vec<sql::Value>,
    ) -> wasmtime::Result<Result<u64, sql::SqlError>> {
        let bytes = statement.len() + params.iter().map(bindings::size).sum::<usize>();
        let (deadline, time) = (self.deadline, self.time);
        let session = match self.begin_sql(1, bytes, &statement)? {
            Ok(session) => session,
            Err(error) => return Ok(Err(error.into())),
        };
        let mut tx = session.tx.take().ok_or(Stop::Lost)?;
        let (sql, pid) = (session.sql.clone(), tx.backend_pid());
        let params = bindings::convert(params);
        let work = sql.execute(&mut tx, &statement, params);
        let ended = session.until(deadline, pid, work).await;
        let result = session.take_back(tx, ended, time)?;
        Ok(result.map_err(|error| {
            session.fail(&statement, &error);
            error.into()
        }))
    }

    async fn query(
        &mut self,
        _: Resource<TxHandle>,
        statement: String,
        params: Vec<sql::Value>,
    ) -> wasmtime::Result<Result<sql::RowSet, sql::SqlError>> {
        let bytes = statement.len() + params.iter().map(bindings::size).sum::<usize>();
        let (deadline, time) = (self.deadline, self.time);
        let session = match self.begin_sql(1, bytes, &statement)? {
            Ok(session) => session,
            Err(error) => return Ok(Err(error.into())),
        };
        let mut tx = session.tx.take().ok_or(Stop::Lost)?;
        let (sql, pid) = (session.sql.clone(), tx.backend_pid());
        let params = bindings::convert(params);
        let work = sql.query(&mut tx, &statement, params);
        let ended = session.until(deadline, pid, work).await;
        let result = session.take_back(tx, ended, time)?;
        Ok(result.map(Into::into).map_err(|error| {
            session.fail(&statement, &error);
            error.into()
        }))
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
        let indexes: Vec<u32> = calls.iter().map(|call| call.statement).collect();
        let text = |call: u32| {
            let index = indexes.get(call as usize).copied().unwrap_or_default();
            statements.get(index as usize).map_or("", String::as_str)
        };
        let (deadline, time) = (self.deadline, self.time);
        let session = match self.begin_sql(calls.len(), bytes, text(0))? {
            Ok(session) => session,
            Err(error) => return Ok(Err(sql::BatchError { call: 0, error: error.into() })),
        };
        let mut tx = session.tx.take().ok_or(Stop::Lost)?;
        let (sql, pid) = (session.sql.clone(), tx.backend_pid());
        let calls = bindings::convert(calls);
        let work = sql.execute_batch(&mut tx, &statements, calls);
        let ended = session.until(deadline, pid, work).await;
        let result = session.take_back(tx, ended, time)?;
        Ok(result.map_err(|failed| {
            session.fail(text(failed.call), &failed.error);
            sql::BatchError { call: failed.call, error: failed.error.into() }
        }))
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
    memory: usize,
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

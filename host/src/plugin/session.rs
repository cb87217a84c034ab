//! The transaction while a plugin has it: bounded in time, and never lost sight of.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::oneshot;

use super::causes::Causes;
use super::host::Stop;
use super::lines::cut;
use crate::db::{self, Tx};
use crate::sandbox::{PluginSql, SqlError, SqlErrorKind, Step};

/// After the deadline, how long a statement may take to notice that it was cancelled.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// As much of a statement as a failure keeps.
const STATEMENT_BYTES: usize = 8 * 1024;

/// Stands for the statement where constraints that are deferred fail.
pub const AT_THE_END: &str = "(at the end of the batch, constraints that are deferred)";

/// The first statement that failed.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Its text, shortened.
    pub statement: String,
    /// What went wrong. Its place is one in this text.
    pub error: SqlError,
}

impl Trouble {
    /// Of a statement as the plugin wrote it.
    pub fn new(statement: &str, error: &SqlError) -> Self {
        let text = statement.trim_start();
        let before = statement[..statement.len() - text.len()].chars().count();
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        let position = error.position.and_then(|at| at.checked_sub(before));
        let statement = cut(text.trim_end(), STATEMENT_BYTES).to_owned();
        Self { statement, error: SqlError { position, ..error.clone() } }
    }
}

/// The transaction of a call.
pub enum Coming {
    /// It is there.
    Now(Tx),
    /// It comes later: whatever the plugin does before its first statement needs none.
    Later(oneshot::Receiver<Tx>),
}

impl Coming {
    /// The transaction, when it is there.
    pub async fn here(self) -> Option<Tx> {
        match self {
            Self::Now(tx) => Some(tx),
            Self::Later(later) => later.await.ok(),
        }
    }
}

/// The transaction while it is in the hands of a plugin.
pub struct Session {
    /// `None` before it has come, and after it had to be given up.
    pub tx: Option<Tx>,
    /// What it comes by, until it is there.
    pub(super) later: Option<oneshot::Receiver<Tx>>,
    /// Time in which it was waited for.
    pub awaited: Duration,
    /// What the plugin's SQL may do.
    pub sql: Arc<PluginSql>,
    /// Statements so far.
    pub statements: u64,
    /// Rows that they returned.
    pub rows_read: u64,
    /// Rows that they wrote.
    pub rows_written: u64,
    /// Bytes of statements and parameters so far.
    pub bytes: usize,
    /// Time in SQL so far.
    pub time: Duration,
    /// The first statement that failed.
    pub trouble: Option<Trouble>,
    /// It answers a query: nothing is written.
    pub reads_only: bool,
    /// The events that it handles, where it may answer them with others.
    pub causes: Option<Causes>,
    /// An inline projection refused what it appended, and would again.
    pub refused: bool,
}

impl Session {
    /// Lends a transaction.
    pub fn new(tx: Tx, sql: Arc<PluginSql>) -> Self {
        Self::with(Coming::Now(tx), sql)
    }

    /// Lends a transaction that is there, or comes later.
    pub fn with(coming: Coming, sql: Arc<PluginSql>) -> Self {
        let (tx, later) = match coming {
            Coming::Now(tx) => (Some(tx), None),
            Coming::Later(later) => (None, Some(later)),
        };
        Self {
            tx,
            later,
            awaited: Duration::ZERO,
            sql,
            statements: 0,
            rows_read: 0,
            rows_written: 0,
            bytes: 0,
            time: Duration::ZERO,
            trouble: None,
            reads_only: false,
            causes: None,
            refused: false,
        }
    }

    /// Waits for the transaction, where it comes later, and tells for how long; nothing where it is there.
    pub async fn arrival(&mut self) -> Option<Duration> {
        let later = self.later.take()?;
        let begun = Instant::now();
        // Who was to send it has given up: nobody wants to know what becomes of this.
        self.tx = later.await.ok();
        self.awaited = begun.elapsed();
        Some(self.awaited)
    }

    /// Remembers the first statement that failed.
    pub fn note(&mut self, statement: &str, error: &SqlError) {
        if self.trouble.is_none() {
            self.trouble = Some(Trouble::new(statement, error));
        }
    }

    /// Counts rows that were written. Answers whether that is still within `most`.
    pub fn wrote(&mut self, rows: u64, most: u64) -> bool {
        self.rows_written = self.rows_written.saturating_add(rows);
        self.rows_written <= most
    }

    /// Whether the connection is gone.
    pub fn is_lost(&self) -> bool {
        self.tx.as_ref().is_none_or(Tx::is_gone)
            || self.trouble.as_ref().is_some_and(|t| t.error.kind == SqlErrorKind::Connection)
    }

    /// Runs SQL until the deadline, and counts its time.
    pub async fn until<T>(
        &mut self,
        deadline: Instant,
        pid: i32,
        work: impl Future<Output = T> + Send,
    ) -> Ended<T> {
        let started = Instant::now();
        let ended = until(deadline, self.sql.control(), pid, work).await;
        self.time += started.elapsed();
        ended
    }

    /// Checks what was deferred to the end of the transaction, and the room that it takes.
    pub async fn settle(&mut self, deadline: Instant, time: Duration) -> Result<(), Stop> {
        let Some(mut tx) = self.tx.take() else { return Err(Stop::Lost) };
        let (sql, pid) = (self.sql.clone(), tx.backend_pid());
        let work = async {
            sql.settle(&mut tx).await?;
            sql.check_room(&mut tx).await
        };
        let ended = self.until(deadline, pid, work).await;
        match self.take_back(tx, ended, time)? {
            Ok(None) => Ok(()),
            Ok(Some(full)) => Err(Stop::Full(full)),
            Err(error) => {
                self.sql.recorder().note(|| Step::End(error.clone()));
                self.fail(AT_THE_END, &error);
                Ok(())
            }
        }
    }

    /// Takes the transaction back where it can be used again.
    pub fn take_back<T>(&mut self, mut tx: Tx, ended: Ended<T>, time: Duration) -> Result<T, Stop> {
        match ended {
            Ended::InTime(done) => {
                self.tx = Some(tx);
                Ok(done)
            }
            Ended::Late { locked } => {
                tx.doom();
                self.tx = Some(tx);
                Err(if locked { Stop::LockDeadline(time) } else { Stop::SqlDeadline(time) })
            }
            Ended::Abandoned => Err(Stop::SqlDeadline(time)),
        }
    }

    /// Notes a failure: the transaction can only be rolled back.
    pub fn fail(&mut self, statement: &str, error: &SqlError) {
        if let Some(tx) = &mut self.tx {
            tx.doom();
        }
        self.note(statement, error);
    }
}

/// Waits for SQL until the deadline. Past it, asks the server to cancel, and waits a little for the
/// answer, so that the connection can be used again.
async fn until<T>(
    deadline: Instant,
    control: &PgPool,
    pid: i32,
    work: impl Future<Output = T> + Send,
) -> Ended<T> {
    tokio::pin!(work);
    if let Ok(done) = tokio::time::timeout_at(deadline.into(), &mut work).await {
        return Ended::InTime(done);
    }
    let cancel = async {
        db::cancel(control, pid).await.unwrap_or_else(|error| {
            tracing::warn!(pid, %error, "could not cancel a statement of a plugin");
            false
        })
    };
    // Both: a cancel request still on its way would hit the next user of the connection.
    match tokio::time::timeout(CANCEL_GRACE, async { tokio::join!(&mut work, cancel) }).await {
        Ok((_, locked)) => Ended::Late { locked },
        Err(_) => Ended::Abandoned,
    }
}

/// How a piece of SQL ended.
pub enum Ended<T> {
    /// With its result.
    InTime(T),
    /// After the deadline; the connection is in order.
    Late {
        /// It waited for somebody else's lock, so how long it took was not its own doing.
        locked: bool,
    },
    /// Not at all: the connection can't be used again.
    Abandoned,
}

/// An error that the host found itself.
pub fn limit_error(message: String) -> SqlError {
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

#[cfg(test)]
mod tests {
    use sqlx::Executor as _;

    use super::*;

    /// The tests' server: the one that the test command has started, or one started now.
    async fn pool() -> PgPool {
        let options = match std::env::var("EVENTFABRIC_TEST_SERVER") {
            Ok(url) => url.parse().unwrap(),
            Err(_) => eventfabric_testdb::server().await.unwrap().administrator(),
        };
        db::pool(options, 2)
    }

    #[tokio::test]
    async fn a_statement_is_cancelled_at_the_deadline_and_the_connection_goes_on() {
        let pool = pool().await;
        let mut tx = Tx::begin(&pool, Duration::from_secs(60)).await.unwrap();
        let (pid, started) = (tx.backend_pid(), Instant::now());
        let deadline = started + Duration::from_millis(100);
        let sleep = tx.conn().execute("SELECT pg_catalog.pg_sleep(60)");
        let ended = until(deadline, &pool, pid, sleep).await;
        assert!(matches!(ended, Ended::Late { locked: false }));
        tx.rollback().await.unwrap();
    }

    #[tokio::test]
    async fn a_statement_that_nobody_can_cancel_is_given_up() {
        let pool = pool().await;
        let mut tx = Tx::begin(&pool, Duration::from_secs(60)).await.unwrap();
        let (pid, started) = (tx.backend_pid(), Instant::now());
        let sleep = tx.conn().execute("SELECT pg_catalog.pg_sleep(60)");
        let closed = self::pool().await;
        closed.close().await;
        let ended = until(started, &closed, pid, sleep).await;
        assert!(matches!(ended, Ended::Abandoned));
        db::cancel(&pool, pid).await.unwrap();
    }
}

//! The connection to PostgreSQL and the transaction that is handed from the runner to a plugin and
//! back. Knows nothing of events.

mod connections;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPoolOptions, PgSeverity};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool, Row as _};

pub use self::connections::{Connections, Lent, Source};
use crate::code::Coded;

/// The SQLSTATE of what the server does not allow.
pub const DENIED: &str = "42501";

/// What `require_attached` (migration 016) raises: events are in a partition that was taken out of the log.
pub const DETACHED: &str = "EF001";

/// Statements that a connection keeps prepared.
const STATEMENT_CACHE: usize = 512;

/// A connection that was used less than this ago is used again without asking whether it is alive.
const TRUSTED: Duration = Duration::from_secs(1);

/// How long a pool waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(30);

/// Opens a pool of at most `max` connections. Nothing is connected before it is needed.
pub fn pool(options: PgConnectOptions, max: u32) -> PgPool {
    pool_within(options, max, ACQUIRE)
}

/// The same, with how long to wait for a connection.
pub fn pool_within(options: PgConnectOptions, max: u32, acquire: Duration) -> PgPool {
    // When a new connection last found that nothing can be written, in milliseconds of this pool.
    // What was opened up to then is looked at before each use.
    let (start, refused) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let options = options
        .application_name("eventfabric")
        .statement_cache_capacity(STATEMENT_CACHE)
        // The host's own statements name their schema; nothing is ever found by accident.
        .options([
            ("search_path", ""),
            ("timezone", "UTC"),
            ("datestyle", "ISO"),
            ("standard_conforming_strings", "on"),
            // The host's statements touch few rows. The server's estimate, which decides on compiling
            // them, grows with the partitions of the log: with a hundred it made 724 functions of the
            // question how the projections stand, which took 1.5 s, and 40 s where the estimate had it
            // inline them; the answer itself took 50 ms. And each connection would do it anew.
            ("jit", "off"),
            // And they are prepared: one plan for all their parameters. Left to itself the server plans the
            // append anew each time, which takes twice as long as doing it (0.37 ms, 0.19 ms). Reads whose
            // conditions come and go ask for the opposite, see [`Tx::begin_reading`].
            ("plan_cache_mode", "force_generic_plan"),
        ]);
    PgPoolOptions::new()
        .max_connections(max)
        .acquire_timeout(acquire)
        .idle_timeout(Duration::from_secs(300))
        .test_before_acquire(false)
        .after_connect({
            let refused = refused.clone();
            move |conn, _| {
                let refused = refused.clone();
                Box::pin(async move {
                    if !can_write(conn).await? {
                        refused.fetch_max(millis(start), Ordering::Relaxed);
                    }
                    Ok(())
                })
            }
        })
        .before_acquire(move |conn, connection| {
            let opened = millis(start).saturating_sub(connection.age.as_millis() as u64);
            let refused = refused.load(Ordering::Relaxed);
            // The two times are not taken at the same moment of a connection's beginning.
            let doubtful = refused > 0 && opened <= refused + 1000;
            let rested = connection.idle_for > TRUSTED;
            Box::pin(async move { Ok(!(doubtful || rested) || can_write(conn).await?) })
        })
        .connect_lazy_with(options)
}

fn millis(since: Instant) -> u64 {
    // Never 0, which stands for never.
    since.elapsed().as_millis() as u64 + 1
}

/// Whether a connection is still there, and was not opened while the database took no writes: a
/// session keeps `default_transaction_read_only` as it was when it began, for ever, so one that
/// was opened during maintenance must not be used after it.
async fn can_write(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let row = conn.fetch_one(sqlx::raw_sql("SHOW transaction_read_only")).await?;
    Ok(row.try_get::<&str, _>(0)? == "off")
}

/// An open transaction on a connection of its own.
///
/// It owns its connection, so that it can be moved into the store of a plugin and out again. One
/// that is dropped without [`Tx::commit`] or [`Tx::rollback`] closes the connection, whatever
/// state it is in: the server rolls back.
pub struct Tx {
    conn: Option<Lent>,
    pid: i32,
    doomed: bool,
    /// The savepoint whose release has locks waited for again.
    impatient: Option<&'static str>,
    /// What is to be done once it is committed.
    afterwards: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Tx {
    /// Begins a transaction in which no statement may take longer than `statement_timeout`.
    pub async fn begin(source: &impl Source, statement_timeout: Duration) -> sqlx::Result<Self> {
        Self::begin_with(source, "BEGIN", statement_timeout).await
    }

    /// The same for work off a queue: the server may plan a statement for what it is given. One plan for
    /// any LIMIT is made for a tenth of the table: it reads the whole queue, and the log, for one row.
    pub async fn begin_claiming(
        source: &impl Source,
        statement_timeout: Duration,
    ) -> sqlx::Result<Self> {
        Self::begin_with(source, "BEGIN; SET LOCAL plan_cache_mode = auto", statement_timeout).await
    }

    /// The same for statements that only read, all of one state of the database, and whose plans
    /// depend on what they are given: each is planned for its own parameters.
    pub async fn begin_reading(pool: &PgPool, statement_timeout: Duration) -> sqlx::Result<Self> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
                     SET LOCAL plan_cache_mode = force_custom_plan";
        Self::begin_with(pool, begin, statement_timeout).await
    }

    /// The same for statements that only read, and of which each sees what was committed when it began:
    /// tables that are changed for others meanwhile are never found empty.
    pub async fn begin_answering(pool: &PgPool, statement_timeout: Duration) -> sqlx::Result<Self> {
        let begin = "BEGIN READ ONLY; SET LOCAL plan_cache_mode = force_custom_plan";
        Self::begin_with(pool, begin, statement_timeout).await
    }

    async fn begin_with(
        source: &impl Source,
        begin: &'static str,
        statement_timeout: Duration,
    ) -> sqlx::Result<Self> {
        let conn = source.lend().await?;
        let begin = format!(
            "{begin}; SET LOCAL statement_timeout = {}; SELECT pg_catalog.pg_backend_pid()",
            statement_timeout.as_millis().clamp(1, i32::MAX as u128)
        );
        // Until BEGIN is known to have worked, nothing else may use the connection.
        let mut tx =
            Self { conn: Some(conn), pid: 0, doomed: false, impatient: None, afterwards: None };
        let row = tx.conn().fetch_one(sqlx::raw_sql(sqlx::AssertSqlSafe(begin))).await?;
        tx.pid = row.try_get(0)?;
        Ok(tx)
    }

    /// From now on no statement takes longer, its wait for locks included.
    pub async fn statement_timeout(&mut self, timeout: Duration) -> sqlx::Result<()> {
        let timeout = timeout.as_millis().clamp(1, i32::MAX as u128);
        let sql = format!("SET LOCAL statement_timeout = {timeout}");
        self.conn().execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        Ok(())
    }

    /// Lets nothing happen in it for so long before the server ends its session.
    pub async fn may_idle(&mut self, time: Duration) -> sqlx::Result<()> {
        let time = time.as_millis().clamp(1, i32::MAX as u128);
        let sql = format!("SET LOCAL idle_in_transaction_session_timeout = {time}");
        self.conn().execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        Ok(())
    }

    /// The connection, inside the transaction.
    pub fn conn(&mut self) -> &mut PgConnection {
        self.conn.as_mut().expect("a transaction has its connection until it ends")
    }

    /// Takes the transaction out, to be put back: `*tx = back`. Where that does not happen, its connection
    /// was closed, and what is left here is good for nothing, see [`Tx::is_gone`].
    pub fn lend(&mut self) -> Self {
        Self {
            conn: self.conn.take(),
            pid: self.pid,
            doomed: self.doomed,
            impatient: self.impatient.take(),
            afterwards: self.afterwards.take(),
        }
    }

    /// It was lent, and never came back.
    pub fn is_gone(&self) -> bool {
        self.conn.is_none()
    }

    /// What is to be done once it is committed. It may be done, too, where only that was undone for which
    /// it is.
    pub fn afterwards(&mut self, what: Arc<dyn Fn() + Send + Sync>) {
        self.afterwards = Some(what);
    }

    /// The server process that serves this connection, to cancel what it does.
    pub fn backend_pid(&self) -> i32 {
        self.pid
    }

    /// Notes that a statement has failed: PostgreSQL would answer a COMMIT with a rollback, and
    /// without an error. [`Tx::commit`] refuses from now on.
    pub fn doom(&mut self) {
        self.doomed = true;
    }

    /// Whether a statement of this transaction has failed.
    pub fn is_doomed(&self) -> bool {
        self.doomed
    }

    /// Sets a savepoint. The name is the host's own.
    pub async fn savepoint(&mut self, name: &'static str) -> sqlx::Result<()> {
        let sql = format!("SAVEPOINT {name}");
        self.conn().execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        Ok(())
    }

    /// Sets a savepoint after which no statement waits longer for a lock, until [`Tx::release`].
    pub async fn savepoint_within(
        &mut self,
        name: &'static str,
        lock_timeout: Duration,
    ) -> sqlx::Result<()> {
        let timeout = lock_timeout.as_millis().clamp(1, i32::MAX as u128);
        let sql = format!("SET LOCAL lock_timeout = {timeout}; SAVEPOINT {name}");
        self.conn().execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        self.impatient = Some(name);
        Ok(())
    }

    /// Undoes everything since the savepoint, a failed statement included, and keeps the savepoint.
    pub async fn rollback_to(&mut self, name: &'static str) -> sqlx::Result<()> {
        let sql = format!("ROLLBACK TO SAVEPOINT {name}");
        self.conn().execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        self.doomed = false;
        Ok(())
    }

    /// Forgets the savepoint and keeps what was done since. Locks are waited for as before it.
    pub async fn release(&mut self, name: &'static str) -> sqlx::Result<()> {
        let patience = match self.impatient.take_if(|impatient| *impatient == name) {
            Some(_) => "; SET LOCAL lock_timeout TO DEFAULT",
            None => "",
        };
        let sql = format!("RELEASE SAVEPOINT {name}{patience}");
        self.conn().execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        Ok(())
    }

    /// Commits. After an error it is not known whether the transaction was committed.
    ///
    /// # Panics
    /// When the transaction is doomed: a caller that commits one has lost track of an error.
    pub async fn commit(self) -> sqlx::Result<()> {
        self.commit_flushed(true).await
    }

    /// Commits. Without `flush` it does not wait until that is on the server's disk: a crash of the server can take
    /// the whole of it back, with all that was committed so after it, for less than a second (three times
    /// `wal_writer_delay`). For work that whoever goes on then finds undone, and does. Source: PostgreSQL,
    /// "Asynchronous Commit".
    ///
    /// # Panics
    /// As [`Tx::commit`].
    pub async fn commit_flushed(mut self, flush: bool) -> sqlx::Result<()> {
        assert!(!self.doomed, "a failed transaction must be rolled back");
        let afterwards = self.afterwards.take();
        // In one message with the commit: it would cost a round trip of its own.
        let soon = "SET LOCAL synchronous_commit = off; COMMIT";
        if let Some(conn) = self.end(if flush { "COMMIT" } else { soon }).await? {
            conn.keep();
        }
        if let Some(afterwards) = afterwards {
            afterwards();
        }
        Ok(())
    }

    /// Rolls back and gives the connection back to its pool.
    pub async fn rollback(mut self) -> sqlx::Result<()> {
        if self.is_gone() {
            return Ok(());
        }
        // Why is not known here, and a session in which nothing can be written must not be used next.
        drop(self.end("ROLLBACK").await?);
        Ok(())
    }

    async fn end(&mut self, how: &'static str) -> sqlx::Result<Option<Lent>> {
        self.conn().execute(sqlx::raw_sql(how)).await?;
        // Ended well: the connection can be used again.
        Ok(self.conn.take())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(mut conn) = self.conn.take() {
            conn.close_on_drop();
        }
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Whether this error means that the connection is gone, and not that a statement is wrong.
pub fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // FATAL ends a connection, or refuses one: a shutdown, a crash, a database that takes no
        // connections for now. 08: connection exception.
        sqlx::Error::Database(db) => {
            let severity = db.try_downcast_ref::<PgDatabaseError>().map(|pg| pg.severity());
            matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
                || db.code().is_some_and(|code| code.starts_with("08"))
        }
        _ => false,
    }
}

impl Coded for sqlx::Error {
    const CODES: &'static [&'static str] = &[
        "events-detached",
        "database-read-only",
        "not-migrated",
        "disk-full",
        "busy",
        "database-unavailable",
        "database-error",
    ];

    fn code(&self) -> &'static str {
        let sqlstate = self.as_database_error().and_then(|error| error.code());
        match sqlstate.as_deref() {
            Some(DETACHED) => "events-detached",
            Some("25006") => "database-read-only",
            // No such table, no such schema: the host's own statements name what migrations make.
            Some("42P01" | "3F000") => "not-migrated",
            Some("53100") => "disk-full",
            // Cancelled, lost a race, waited too long for a lock.
            Some("57014" | "40001" | "40P01" | "55P03") => "busy",
            // Out of memory or connections.
            Some(code) if code.starts_with("53") => "database-unavailable",
            _ if is_connection_lost(self) => "database-unavailable",
            _ => "database-error",
        }
    }
}

/// Whether the server denied it. A session that looks up its memberships while another one changes some
/// can keep an old list and be denied what it may do, so that is worth one more try, in a session that
/// begins after it: [`new_session`], [`close_idle`]. What is denied there is denied.
pub fn is_denied(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == DENIED)
}

/// A session of its own beside those of a pool, as its server and its settings have it.
pub async fn new_session(pool: &PgPool) -> sqlx::Result<PgConnection> {
    PgConnection::connect_with(&pool.connect_options()).await
}

/// Closes the connections of a pool that nobody uses: what it opens next are new sessions.
pub async fn close_idle(pool: &PgPool) {
    while let Some(conn) = pool.try_acquire() {
        if let Err(error) = conn.close().await {
            tracing::debug!(%error, "a connection that nobody uses could not be closed well");
        }
    }
}

/// Whether this error means that somebody else was in the way: a lock that was not free in time, or a
/// deadlock.
pub fn is_blocked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "57014" | "40P01" | "40001"))
}

/// Asks the server to cancel what another connection does, over a connection of this pool. Answers
/// whether that waited for a lock of somebody else.
pub async fn cancel(pool: &PgPool, pid: i32) -> sqlx::Result<bool> {
    let waits = "SELECT wait_event_type = 'Lock' FROM pg_catalog.pg_stat_activity WHERE pid = $1";
    let mut conn = pool.acquire().await?;
    let waited: Option<Option<bool>> =
        sqlx::query_scalar(waits).bind(pid).fetch_optional(&mut *conn).await?;
    sqlx::query("SELECT pg_catalog.pg_cancel_backend($1)").bind(pid).execute(&mut *conn).await?;
    Ok(waited.flatten().unwrap_or_default())
}

/// Opens one connection outside any pool, with the same settings.
pub async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    PgConnection::connect_with(options).await
}

/// Makes a database of this name on a server, over a connection to any of its databases.
pub async fn create_database(options: &PgConnectOptions, name: &str) -> sqlx::Result<()> {
    let mut conn = connect(options).await?;
    // The server quotes the name.
    let sql: String = sqlx::query_scalar("SELECT pg_catalog.format('CREATE DATABASE %I', $1)")
        .bind(name)
        .fetch_one(&mut conn)
        .await?;
    conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
    conn.close().await
}

/// Closes a pool, and waits a moment for its connections to say goodbye.
pub async fn close(pool: &PgPool) {
    if tokio::time::timeout(Duration::from_secs(5), pool.close()).await.is_err() {
        tracing::debug!("connections were still in use when the pool was closed");
    }
}

//! Brings the schema `eventfabric` of a database up to date, and says what is missing.
//!
//! The files of `/migrations` are part of the binary. A database that the TypeScript library made
//! has the first ones already, under the same names; it gets the rest and keeps its rows.

use crate::code::codes;

use std::time::{Duration, Instant};

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

/// One file of `/migrations`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The file's name without `.sql`, as it is recorded.
    pub name: &'static str,
    /// The file's text: one or more statements.
    pub sql: &'static str,
}

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        &[$(Migration {
            name: $name,
            sql: include_str!(concat!("../../../migrations/", $name, ".sql")),
        }),*]
    };
}

/// Every migration, in the order in which they are applied.
pub const MIGRATIONS: &[Migration] = migrations![
    "001_init",
    "002_projection_checkpoints",
    "003_outbox_and_dlq",
    "004_snapshots",
    "005_stream_versions",
    "006_performance",
    "008_tenant_id",
    "009_per_tenant_projection_checkpoints",
    "010_append_only",
    "011_registry",
    "012_delivery",
    "013_sandbox",
    "014_snapshot_rebuild",
    "016_partitions",
    "017_seal",
    "018_reading_and_dismissal",
    "019_tenants",
    "020_operation",
    "021_shards",
    "022_async_delivery",
    "023_rebuild",
    "024_churn",
    "025_grants",
    "027_deployments",
    "029_rebuilt_versions",
    "030_plugin_config_and_logs",
    "031_process_managers",
    "033_reactor_grants",
    "035_event_schemas",
    "036_event_traces",
    "037_projection_costs",
    "038_trace_age",
    "039_relays_of_hosts",
    "040_parked_events",
];

/// Names that a database may record although no file of that name is applied by itself.
const ON_REQUEST: &[&str] = &["007_partitioning"];

/// The advisory lock that only one migrating program holds: "eventfab" in ASCII.
const LOCK: i64 = 0x6576_656e_7466_6162;

/// What [`migrate`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The migrations applied now, in order, and the time that each took.
    pub applied: Vec<(String, Duration)>,
    /// How many were there before.
    pub already: usize,
}

/// What [`check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Names of the migrations that the database still needs, in order.
    pub pending: Vec<&'static str>,
    /// How many it has.
    pub already: usize,
}

impl Status {
    /// Whether nothing is left to do.
    pub fn is_current(&self) -> bool {
        self.pending.is_empty()
    }
}

/// Why a database could not be migrated. What had been applied before stays applied: each
/// migration is a transaction of its own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The database records migrations that this binary does not know.
    #[error(
        "the database {database} is newer than this program: it records {}, which this program \
         does not know; use a newer eventfabric", .names.join(", ")
    )]
    NewerThanBinary {
        /// The database's name.
        database: String,
        /// The unknown names, in order.
        names: Vec<String>,
    },
    /// Nothing can be written: a standby, or `default_transaction_read_only`.
    #[error(
        "cannot apply {step}: the database is read-only; connect to the primary server, or take \
         default_transaction_read_only off this role or database"
    )]
    ReadOnly {
        /// What was under way: a migration, or the table that records them.
        step: String,
    },
    /// The role lacks a right.
    #[error(
        "cannot apply {step} as the role {user}: {message}; migrate as the owner of the database \
         and of the schema eventfabric, or grant the role what is missing"
    )]
    Denied {
        /// What was under way.
        step: String,
        /// The role that was connected.
        user: String,
        /// What the server said.
        message: String,
    },
    /// The server refused a statement; its migration was rolled back.
    #[error("cannot apply {step}{}: {message}", .line.map(|n| format!(" (line {n})")).unwrap_or_default())]
    Statement {
        /// What was under way.
        step: String,
        /// The line of the migration's file that the server points to, from 1.
        line: Option<usize>,
        /// What the server said, with its SQLSTATE, detail and hint.
        message: String,
        /// The error itself.
        source: sqlx::Error,
    },
    /// The database could not be reached, or the connection broke.
    #[error("cannot reach the database to apply {step}: {source}")]
    Connection {
        /// What was under way.
        step: String,
        /// The error itself.
        source: sqlx::Error,
    },
}

codes!(MigrateError {
    Self::NewerThanBinary { .. } => "database-newer",
    Self::ReadOnly { .. } => "database-read-only",
    Self::Denied { .. } => "migration-denied",
    Self::Statement { .. } => "migration-failed",
    Self::Connection { .. } => "database-unavailable",
});

/// Applies what is missing, in order, each migration in a transaction of its own.
///
/// Several programs may do so at once: they wait for one another on an advisory lock of the server.
/// A database that is current is only read.
///
/// # Errors
/// See [`MigrateError`]. The migrations before the failing one stay applied and are not repeated.
pub async fn migrate(pool: &PgPool) -> Result<Report, MigrateError> {
    let mut session = Session::open(pool).await?;
    let mut status = session.status().await?;
    let mut applied = Vec::new();
    if !status.is_current() {
        session.lock().await?;
        session.create_record().await?;
        // Another program may have worked while this one waited for the lock.
        status = session.status().await?;
        for migration in MIGRATIONS.iter().filter(|m| status.pending.contains(&m.name)) {
            let started = Instant::now();
            session.apply(migration).await?;
            let took = started.elapsed();
            tracing::info!(migration = migration.name, ms = took.as_millis() as u64, "migrated");
            applied.push((migration.name.to_owned(), took));
        }
    }
    session.close().await;
    Ok(Report { applied, already: status.already })
}

/// Says what [`migrate`] would do, and changes nothing.
///
/// # Errors
/// [`MigrateError::NewerThanBinary`], and when the database can't be read.
pub async fn check(pool: &PgPool) -> Result<Status, MigrateError> {
    let mut session = Session::open(pool).await?;
    let status = session.status().await?;
    session.close().await;
    Ok(status)
}

/// A connection of its own: its end frees the lock, however the migration ends.
struct Session {
    conn: PgConnection,
    database: String,
    user: String,
}

impl Session {
    async fn open(pool: &PgPool) -> Result<Self, MigrateError> {
        let failed = |source| MigrateError::Connection { step: "the migrations".into(), source };
        let mut conn = pool.acquire().await.map_err(failed)?.detach();
        let (database, user): (String, String) =
            sqlx::query_as("SELECT pg_catalog.current_database()::text, current_user::text")
                .fetch_one(&mut conn)
                .await
                .map_err(failed)?;
        Ok(Self { conn, database, user })
    }

    /// Says goodbye to the server, which then frees the lock at once.
    async fn close(self) {
        if let Err(error) = self.conn.close().await {
            tracing::debug!(%error, "closing the connection of the migrations");
        }
    }

    /// Waits until no other program migrates this database.
    async fn lock(&mut self) -> Result<(), MigrateError> {
        let sql = format!(
            "SET statement_timeout = 0; SET lock_timeout = 0;
             SELECT pg_catalog.pg_advisory_lock({LOCK})"
        );
        self.run("the lock of the migrations", sql).await
    }

    async fn has(&mut self, sql: &'static str) -> Result<bool, MigrateError> {
        let found = sqlx::query_scalar(sql).fetch_one(&mut self.conn).await;
        found.map_err(|e| self.failure("eventfabric.schema_migrations", None, e))
    }

    async fn has_record(&mut self) -> Result<bool, MigrateError> {
        self.has("SELECT pg_catalog.to_regclass('eventfabric.schema_migrations') IS NOT NULL").await
    }

    async fn status(&mut self) -> Result<Status, MigrateError> {
        let recorded: Vec<String> = if self.has_record().await? {
            sqlx::query_scalar("SELECT name FROM eventfabric.schema_migrations ORDER BY name")
                .fetch_all(&mut self.conn)
                .await
                .map_err(|e| self.failure("eventfabric.schema_migrations", None, e))?
        } else {
            Vec::new()
        };
        let names = unknown(&recorded);
        if !names.is_empty() {
            return Err(MigrateError::NewerThanBinary { database: self.database.clone(), names });
        }
        let pending = pending(&recorded);
        Ok(Status { already: MIGRATIONS.len() - pending.len(), pending })
    }

    /// Makes the schema and the table that records the migrations, where they are missing. Asks
    /// first, because CREATE SCHEMA IF NOT EXISTS wants the right to create one even where it exists.
    async fn create_record(&mut self) -> Result<(), MigrateError> {
        if !self.has("SELECT pg_catalog.to_regnamespace('eventfabric') IS NOT NULL").await? {
            let sql = "CREATE SCHEMA IF NOT EXISTS eventfabric";
            self.run("the schema eventfabric", sql.into()).await?;
        }
        if !self.has_record().await? {
            let sql = "CREATE TABLE IF NOT EXISTS eventfabric.schema_migrations (
                           name       text        PRIMARY KEY,
                           applied_at timestamptz NOT NULL DEFAULT now()
                       )";
            self.run("the table eventfabric.schema_migrations", sql.into()).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, migration: &Migration) -> Result<(), MigrateError> {
        apply(&mut self.conn, migration).await.map_err(|e| {
            let step = format!("migration {}", migration.name);
            self.failure(&step, Some(migration.sql), e)
        })
    }

    async fn run(&mut self, step: &str, sql: String) -> Result<(), MigrateError> {
        let done = self.conn.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        done.map(drop).map_err(|e| self.failure(step, None, e))
    }

    fn failure(&self, step: &str, sql: Option<&str>, source: sqlx::Error) -> MigrateError {
        let step = step.to_owned();
        let Some(error) =
            source.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>())
        else {
            return MigrateError::Connection { step, source };
        };
        match error.code() {
            "25006" => MigrateError::ReadOnly { step },
            "42501" => MigrateError::Denied {
                step,
                user: self.user.clone(),
                message: error.message().to_owned(),
            },
            code => {
                let mut message = format!("{} ({code})", error.message());
                for more in [error.detail(), error.hint(), error.r#where()].into_iter().flatten() {
                    message.push_str("; ");
                    message.push_str(more);
                }
                let line = sql.and_then(|sql| line(sql, error.position()));
                MigrateError::Statement { step, line, message, source }
            }
        }
    }
}

async fn apply(conn: &mut PgConnection, migration: &Migration) -> sqlx::Result<()> {
    let mut tx = conn.begin().await?;
    tx.execute(sqlx::raw_sql(migration.sql)).await?;
    sqlx::query("INSERT INTO eventfabric.schema_migrations (name) VALUES ($1)")
        .bind(migration.name)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

fn pending(recorded: &[String]) -> Vec<&'static str> {
    MIGRATIONS.iter().map(|m| m.name).filter(|name| !recorded.iter().any(|r| r == name)).collect()
}

fn unknown(recorded: &[String]) -> Vec<String> {
    let known =
        |name: &str| ON_REQUEST.contains(&name) || MIGRATIONS.iter().any(|m| m.name == name);
    recorded.iter().filter(|name| !known(name)).cloned().collect()
}

/// The line, from 1, of the character that the server points to.
fn line(sql: &str, position: Option<PgErrorPosition<'_>>) -> Option<usize> {
    match position? {
        PgErrorPosition::Original(position) => {
            let before = sql.chars().take(position.saturating_sub(1));
            Some(before.filter(|c| *c == '\n').count() + 1)
        }
        PgErrorPosition::Internal { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_embedded_in_the_order_of_names() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".sql").map(str::to_owned))
            .collect();
        files.sort();
        let embedded: Vec<_> = MIGRATIONS.iter().map(|m| m.name).collect();
        assert_eq!(embedded, files);
    }

    #[test]
    fn a_name_known_but_never_applied_by_itself_is_neither_pending_nor_unknown() {
        let recorded = vec!["001_init".to_owned(), "007_partitioning".to_owned()];
        assert!(unknown(&recorded).is_empty());
        assert_eq!(pending(&recorded).len(), MIGRATIONS.len() - 1);
    }

    #[test]
    fn the_line_of_an_error_counts_characters_and_not_bytes() {
        let sql = "-- é\nSELECT 1;\nSELECT nothing;";
        let at = sql.chars().position(|c| c == 'n').unwrap() + 1;
        assert_eq!(line(sql, Some(PgErrorPosition::Original(at))), Some(3));
    }
}

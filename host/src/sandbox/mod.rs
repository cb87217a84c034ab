//! What a plugin's SQL may do.
//!
//! Two walls, each of which holds without the other. [`judge`] has the server parse a statement
//! into a function and reads from the server's own tree what it names; [`roles`] has that function
//! run as a role that may do DML on the plugin's own tables and nothing else. [`execute`] runs the
//! functions, [`migrate`] makes the tables.

// Errors are rare here, and a box would stand in each caller's way.
#![allow(clippy::result_large_err)]

pub mod attack;
mod batch;
mod borrowers;
mod convert;
mod endpoint;
mod error;
mod exact;
mod execute;
mod grant;
mod json;
mod judge;
mod learn;
mod limits;
mod migrate;
#[cfg(test)]
mod nodes;
mod policy;
mod read;
mod record;
mod rights;
mod roles;
mod room;
mod scratch;
mod shadow;
mod single;
mod split;
mod statement;
mod tables;
mod tree;
mod value;
mod wire;

use std::sync::Arc;

use sqlx::{Connection as _, PgConnection, PgPool};

use crate::projection::Description;
use error::while_doing;
use roles::Names;

pub use endpoint::{Endpoint, Host};
pub use error::{BatchError, SandboxError, SqlError, SqlErrorKind};
pub use exact::{Inexact, inexact};
pub use execute::{Call, PluginSql, RowSet, StatementInfo};
pub use grant::{Given, Grant, GrantKind, appendable};
pub use limits::{SandboxConfig, SqlLimits};
pub use migrate::MigrationReport;
pub use read::{Reading, TextRow, TextTable};
pub use record::{BatchCall, Recorder, Step};
pub use room::Full;
pub use scratch::{ScratchTurn, Sequence, whole_table};
pub use shadow::Made;
pub use tables::TableInfo;
pub use value::Value;

/// The sandbox of a host, for all plugins.
#[derive(Debug, Clone)]
pub struct Sandbox {
    control: PgPool,
    config: SandboxConfig,
}

impl Sandbox {
    /// `control` is a pool of its own: a plugin's statement is judged there while the plugin's own
    /// transaction waits, so it must not be the pool that such transactions come from.
    pub fn new(control: PgPool, config: SandboxConfig) -> Self {
        Self { control, config }
    }

    /// Closes its connections.
    pub async fn close(&self) {
        crate::db::close(&self.control).await;
    }

    /// Makes the plugin's roles and schema and applies the migrations that are missing, all of them
    /// or none.
    pub async fn prepare(
        &self,
        description: &Description,
    ) -> Result<MigrationReport, SandboxError> {
        self.prepare_beside(description, None).await
    }

    /// The same while another version is active, the SHA-256 of which is given: the statements that
    /// it is known to use must be right after the migrations, too.
    pub async fn prepare_beside(
        &self,
        description: &Description,
        active: Option<&str>,
    ) -> Result<MigrationReport, SandboxError> {
        let names = self.names(&description.name).await?;
        self.migrate(&names, description, active).await
    }

    async fn migrate(
        &self,
        names: &Names,
        description: &Description,
        active: Option<&str>,
    ) -> Result<MigrationReport, SandboxError> {
        self.refuse_superuser().await?;
        if self.mend_only(names, description).await? {
            return Ok(Vec::new());
        }
        let most = self.config.of(&names.plugin).max_relations;
        match self.migrate_on(self.own_session().await?, names, description, active, most).await {
            Err(error) if error.is_denied() => {
                let fresh = crate::db::new_session(&self.control).await;
                let conn = fresh.map_err(while_doing("connecting"))?;
                self.migrate_on(conn, names, description, active, most).await
            }
            done => done,
        }
    }

    /// Whether no migration is missing; then all else is right, too. Without the new session that a migration
    /// needs, which costs a deploy more than anything else that it does in SQL.
    async fn mend_only(
        &self,
        names: &Names,
        description: &Description,
    ) -> Result<bool, SandboxError> {
        let mut conn = self.control.acquire().await.map_err(while_doing("connecting"))?;
        let pid = backend(&mut conn).await?;
        let run = migrate::mend_only(&mut conn, names, description);
        match self.in_time(names, pid, run).await? {
            // As a session is that knows an old list of its roles.
            Err(error) if error.is_denied() => {
                conn.close_on_drop();
                Ok(false)
            }
            done => done,
        }
    }

    async fn migrate_on(
        &self,
        mut conn: PgConnection,
        names: &Names,
        description: &Description,
        active: Option<&str>,
        most: usize,
    ) -> Result<MigrationReport, SandboxError> {
        let pid = backend(&mut conn).await?;
        let run = migrate::prepare(&mut conn, names, description, active, most);
        let done = self.in_time(names, pid, run).await?;
        let _ = conn.close().await;
        done
    }

    /// What the migrations make; nothing of it stays.
    async fn rehearse(
        &self,
        names: &Names,
        description: &Description,
    ) -> Result<Vec<String>, SandboxError> {
        let mut conn = self.own_session().await?;
        let pid = backend(&mut conn).await?;
        let most = self.config.of(&names.plugin).max_relations;
        let run = migrate::rehearse(&mut conn, names, description, most);
        let done = self.in_time(names, pid, run).await?;
        let _ = conn.close().await;
        done
    }

    /// What a migration does to its session must not reach another one: the connection has left the pool,
    /// and is closed.
    async fn own_session(&self) -> Result<PgConnection, SandboxError> {
        Ok(self.control.acquire().await.map_err(while_doing("connecting"))?.detach())
    }

    /// Ends what takes too long in the session of this process of the server.
    async fn in_time<T>(
        &self,
        names: &Names,
        pid: i32,
        run: impl Future<Output = T>,
    ) -> Result<T, SandboxError> {
        if let Ok(done) = tokio::time::timeout(self.config.migration_timeout, run).await {
            return Ok(done);
        }
        // Closing the socket would not stop what the server is doing, nor free its locks.
        let ended = sqlx::query("SELECT pg_catalog.pg_terminate_backend($1)")
            .bind(pid)
            .execute(&self.control)
            .await;
        ended.map_err(while_doing("ending a migration that took too long"))?;
        Err(SandboxError::Sql(SqlError::new(
            SqlErrorKind::Limit,
            format!(
                "the migrations of `{}` took longer than {:?}",
                names.plugin, self.config.migration_timeout
            ),
        )))
    }

    /// What the plugin of this name may do. It must have been prepared.
    pub async fn plugin(&self, name: &str) -> Result<Arc<PluginSql>, SandboxError> {
        self.load(self.known(name).await?, None).await
    }

    /// The same for one version of it, by its SHA-256: which statements it uses is noted. A strict sandbox
    /// adds none to those.
    pub async fn version(&self, name: &str, version: &str) -> Result<Arc<PluginSql>, SandboxError> {
        self.load(self.known(name).await?, Some(version.to_owned())).await
    }

    /// The same for a version that is not active yet, or for an operator: even a strict sandbox learns its
    /// statements.
    pub async fn learning(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Arc<PluginSql>, SandboxError> {
        self.open_minded(name).version(name, version).await
    }

    /// The same that learns whatever this plugin uses.
    fn open_minded(&self, name: &str) -> Self {
        let config = SandboxConfig { strict: false, ..self.config.of(name) };
        Self { control: self.control.clone(), config }
    }

    async fn load(
        &self,
        names: Names,
        version: Option<String>,
    ) -> Result<Arc<PluginSql>, SandboxError> {
        self.refuse_superuser().await?;
        let (control, config) = (self.control.clone(), self.config.of(&names.plugin));
        let live = self.names(&names.plugin).await?;
        Ok(Arc::new(PluginSql::load(control, config, names, &live, version).await?))
    }

    /// No plugin runs where what got past both walls could do anything.
    async fn refuse_superuser(&self) -> Result<(), SandboxError> {
        let superuser: Option<String> = sqlx::query_scalar(
            "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper",
        )
        .fetch_optional(&self.control)
        .await
        .map_err(while_doing("connecting"))?;
        match superuser {
            Some(role) if !self.config.allow_superuser => Err(SandboxError::Superuser(role)),
            _ => Ok(()),
        }
    }

    async fn names(&self, plugin: &str) -> Result<Names, SandboxError> {
        let database: String = sqlx::query_scalar("SELECT pg_catalog.current_database()::text")
            .fetch_one(&self.control)
            .await
            .map_err(while_doing("connecting"))?;
        Names::new(&database, &self.config.schema_prefix, plugin)
    }

    async fn known(&self, plugin: &str) -> Result<Names, SandboxError> {
        let names = self.names(plugin).await?;
        let known: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM eventfabric.plugin_schemas WHERE schema_name = $1)",
        )
        .bind(&names.schema)
        .fetch_one(&self.control)
        .await
        .map_err(while_doing("looking for a plugin's schema"))?;
        if known { Ok(names) } else { Err(SandboxError::Unknown(plugin.to_owned())) }
    }
}

async fn backend(conn: &mut PgConnection) -> Result<i32, SandboxError> {
    sqlx::query_scalar("SELECT pg_catalog.pg_backend_pid()")
        .fetch_one(conn)
        .await
        .map_err(while_doing("connecting"))
}

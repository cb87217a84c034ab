//! Tables that a plugin is looked at in and that go again, and the end of a plugin's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::error::{SandboxError, SqlError, while_doing};
use super::execute::PluginSql;
use super::read::{self, TextRow, TextTable};
use super::roles::{self, Names, ident};
use super::{Sandbox, migrate};
use crate::db::{self, Tx};
use crate::projection::Description;

/// A sequence, the value that it stands at, and whether it has given that out.
pub type Sequence = (String, i64, bool);

/// The query for all of a table.
pub fn whole_table(name: &str) -> String {
    format!("SELECT * FROM {}", ident(name))
}

/// Around a look at the tables in the middle of a transaction.
const READING: &str = "eventfabric_reading";

/// While it lives, nobody else looks at the plugin in tables of its own.
pub struct ScratchTurn(#[expect(dead_code, reason = "the session is the lock")] PgConnection);

impl Sandbox {
    /// Waits until nobody else uses the scratch tables of a plugin. Dropped, or with its process, the turn
    /// ends.
    pub async fn scratch_turn(&self, plugin: &str) -> Result<ScratchTurn, SandboxError> {
        let context = "waiting for another look at the same plugin";
        let scratch = self.names(plugin).await?.scratch().schema;
        let mut conn = db::new_session(&self.control).await.map_err(while_doing(context))?;
        sqlx::query("SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended($1, 0))")
            .bind(format!("eventfabric scratch {scratch}"))
            .execute(&mut conn)
            .await
            .map_err(while_doing(context))?;
        Ok(ScratchTurn(conn))
    }

    /// Makes tables beside those of the plugin, by all its migrations. Answers what it may do there.
    /// [`Sandbox::drop_scratch`] takes them away.
    pub async fn prepare_scratch(
        &self,
        description: &Description,
    ) -> Result<Arc<PluginSql>, SandboxError> {
        // One that was left behind.
        self.drop_scratch(&description.name).await?;
        let scratch = self.names(&description.name).await?.scratch();
        self.migrate(&scratch, description, None).await?;
        self.load(scratch, None).await
    }

    /// The migrations that [`Sandbox::prepare`] would apply now, as `number name`.
    pub async fn missing(&self, description: &Description) -> Result<Vec<String>, SandboxError> {
        let names = self.names(&description.name).await?;
        let mut conn =
            self.control.acquire().await.map_err(while_doing("looking at a plugin's tables"))?;
        let missing = migrate::missing(&mut conn, &names, description).await?;
        Ok(missing.iter().map(|step| format!("{} {}", step.number, step.name)).collect())
    }

    /// The rows of the scratch tables as a transaction sees them, in the server's text form and sorted, by table.
    pub async fn scratch_rows(
        &self,
        tx: &mut Tx,
        plugin: &str,
    ) -> Result<BTreeMap<String, Vec<String>>, SandboxError> {
        let context = "reading the tables of a look at a plugin";
        let scratch = self.names(plugin).await?.scratch();
        let tables: Vec<(String, String)> = sqlx::query_as(
            "SELECT c.relname::text, pg_catalog.format('%I.%I', n.nspname, c.relname)
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
        )
        .bind(&scratch.schema)
        .fetch_all(tx.conn())
        .await
        .map_err(while_doing(context))?;
        let mut all = BTreeMap::new();
        for (name, table) in tables {
            let text = format!("SELECT t::text FROM {table} t ORDER BY 1");
            let rows = sqlx::query_scalar(AssertSqlSafe(text)).fetch_all(tx.conn()).await;
            all.insert(name, rows.map_err(while_doing(context))?);
        }
        Ok(all)
    }

    /// The first rows, at most this many, that a query answers over the scratch tables as a transaction sees
    /// them. It is judged and runs like that of an operator, and leaves the transaction as it was.
    pub async fn read_scratch(
        &self,
        tx: &mut Tx,
        plugin: &str,
        sql: &str,
        most: usize,
    ) -> Result<TextTable, SandboxError> {
        let context = "reading the tables of a look at a plugin";
        let scratch = self.names(plugin).await?.scratch();
        tx.savepoint(READING).await.map_err(while_doing(context))?;
        let read = async {
            let columns = read::begin_reading(tx.conn(), &scratch, sql).await?;
            Ok(TextTable { columns, rows: read::fetch(tx.conn(), most).await? })
        }
        .await;
        tx.rollback_to(READING).await.map_err(while_doing(context))?;
        tx.release(READING).await.map_err(while_doing(context))?;
        read
    }

    /// The rows of a JSON text, a list of objects, as PostgreSQL writes values of these columns.
    ///
    /// # Errors
    /// A value that does not fit its column's type.
    pub async fn rows_of_json(
        &self,
        tx: &mut Tx,
        columns: &[(String, String)],
        json: &str,
    ) -> Result<Vec<TextRow>, SandboxError> {
        let context = "reading expected rows";
        let list = |make: &dyn Fn(&str, &str) -> String| -> String {
            let made: Vec<_> =
                columns.iter().map(|(name, kind)| make(&ident(name), kind)).collect();
            made.join(", ")
        };
        let sql = format!(
            "SELECT {} FROM pg_catalog.jsonb_to_recordset($1::jsonb) AS x ({})",
            list(&|name, _| format!("x.{name}::text")),
            list(&|name, kind| format!("{name} {kind}")),
        );
        tx.savepoint(READING).await.map_err(while_doing(context))?;
        let read = sqlx::query(AssertSqlSafe(sql)).bind(json).fetch_all(tx.conn()).await;
        tx.rollback_to(READING).await.map_err(while_doing(context))?;
        tx.release(READING).await.map_err(while_doing(context))?;
        let rows = read.map_err(SqlError::from)?;
        let texts = rows.iter().map(|row| (0..columns.len()).map(|at| row.try_get(at)).collect());
        texts.collect::<sqlx::Result<_>>().map_err(while_doing(context))
    }

    /// The sequences of the scratch tables, and where each stands: what a rollback does not take back.
    pub async fn scratch_sequences(&self, plugin: &str) -> Result<Vec<Sequence>, SandboxError> {
        let scratch = self.names(plugin).await?.scratch();
        sqlx::query_as(
            "SELECT pg_catalog.format('%I.%I', schemaname, sequencename),
                    coalesce(last_value, start_value), last_value IS NOT NULL
             FROM pg_catalog.pg_sequences WHERE schemaname = $1",
        )
        .bind(&scratch.schema)
        .fetch_all(&self.control)
        .await
        .map_err(while_doing("looking for the sequences of a plugin"))
    }

    /// Has them stand there again.
    pub async fn set_sequences(&self, sequences: &[Sequence]) -> Result<(), SandboxError> {
        for (name, value, called) in sequences {
            sqlx::query("SELECT pg_catalog.setval($1::regclass, $2, $3)")
                .bind(name)
                .bind(value)
                .bind(called)
                .execute(&self.control)
                .await
                .map_err(while_doing("setting the sequences of a plugin"))?;
        }
        Ok(())
    }

    /// Drops what [`Sandbox::prepare_scratch`] made.
    pub async fn drop_scratch(&self, plugin: &str) -> Result<(), SandboxError> {
        self.drop_all(&self.names(plugin).await?.scratch()).await.map(drop)
    }

    /// Drops the schema of a plugin with all its tables, those of rebuilds included, and its roles. Answers
    /// whether there was anything.
    pub async fn drop_plugin(&self, plugin: &str) -> Result<bool, SandboxError> {
        let names = self.names(plugin).await?;
        let mut any = false;
        for names in [names.shadow(), names.old(), names.scratch(), names] {
            any |= self.drop_all(&names).await?;
        }
        Ok(any)
    }

    /// Drops a schema and its roles.
    async fn drop_all(&self, names: &Names) -> Result<bool, SandboxError> {
        let known = self.drop_schema(names).await?;
        let context = "dropping the roles of a plugin";
        let mut conn = self.control.acquire().await.map_err(while_doing(context))?;
        for role in [&names.exec, &names.reader, &names.owner] {
            let role = ident(role);
            // An administrator may have made it, whose it is then, or given it more to do.
            let gone =
                roles::run(&mut conn, format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
            if let Err(error) = gone {
                tracing::debug!(role, %error, "the role stays");
            }
        }
        Ok(known)
    }
}

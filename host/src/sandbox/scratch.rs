//! Tables that a plugin is looked at in and that go again, and the end of a plugin's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::AssertSqlSafe;

use super::error::{SandboxError, while_doing};
use super::execute::PluginSql;
use super::roles::{self, Names, ident};
use super::{Sandbox, migrate};
use crate::db::Tx;
use crate::projection::Description;

impl Sandbox {
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

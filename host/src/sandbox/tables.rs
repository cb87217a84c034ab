//! Which tables a plugin has, and what its SQL may do, for people.

use super::error::{SandboxError, while_doing};
use super::{Sandbox, SandboxConfig};

/// A table or view of a plugin.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TableInfo {
    /// Its name, without the schema.
    pub name: String,
    /// It has no rows of its own.
    pub is_view: bool,
    /// About how many rows it has; -1 where the server has not counted.
    pub about_rows: i64,
    /// The room that it takes with its indexes.
    pub bytes: i64,
    /// Its columns, each with its type.
    pub columns: Option<Vec<String>>,
}

impl Sandbox {
    /// The tables and views of a plugin, by name.
    ///
    /// # Errors
    /// The plugin is not known; the database can't be asked.
    pub async fn tables(&self, plugin: &str) -> Result<Vec<TableInfo>, SandboxError> {
        let names = self.known(plugin).await?;
        sqlx::query_as(include_str!("sql/tables.sql"))
            .bind(&names.schema)
            .fetch_all(&self.control)
            .await
            .map_err(while_doing("looking at a plugin's tables"))
    }

    /// What the SQL of a plugin may do.
    pub fn limits_of(&self, plugin: &str) -> SandboxConfig {
        self.config.of(plugin)
    }
}

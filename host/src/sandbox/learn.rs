//! Learns the statements of a plugin: each is judged once, made into a function, and noted in the
//! manifest of the version that uses it.

use sqlx::{Connection as _, PgConnection};

use super::error::{SandboxError, SqlError, SqlErrorKind};
use super::execute::PluginSql;
use super::grant;
use super::roles::{self, CALLS};
use super::statement::{self, Place, Prepared};
use super::{policy, rights, single};
use crate::db;

impl PluginSql {
    /// Makes the function of a new statement, on a connection and in a transaction of its own, so
    /// that every host has it at once and a rollback of the plugin's does not take it away.
    pub(super) async fn learn(&self, text: &str) -> Result<Prepared, SqlError> {
        let mut conn = self.control.acquire().await?;
        match self.learn_on(&mut conn, text).await {
            Err(error) if error.is_denied() => {
                conn.close_on_drop();
                drop(conn);
                let mut fresh = db::new_session(&self.control).await?;
                let learnt = self.learn_on(&mut fresh, text).await;
                let _ = fresh.close().await;
                learnt
            }
            learnt => learnt,
        }
    }

    async fn learn_on(&self, conn: &mut PgConnection, text: &str) -> Result<Prepared, SqlError> {
        let mut tx = conn.begin().await?;
        roles::lock(&mut tx).await?;
        let sha256 = statement::sha256(text);
        self.allow(&mut tx, &sha256).await?;
        let prepared = match self.known(&mut tx, &sha256).await? {
            // Another version has used it, or another host.
            Some(prepared) => prepared,
            None => self.make(&mut tx, &sha256, text).await?,
        };
        let news = self.note(&mut tx, &prepared, &sha256, text).await?;
        tx.commit().await?;
        for used in news {
            let version = self.version.as_deref().and_then(|version| version.get(..12));
            tracing::info!(
                plugin = self.names.plugin,
                version,
                grant = used,
                "the plugin uses a grant for the first time in this version"
            );
        }
        Ok(prepared)
    }

    /// Refuses a statement that the version may not begin to use.
    async fn allow(&self, conn: &mut PgConnection, sha256: &str) -> Result<(), SqlError> {
        let (known, listed): (i64, bool) = sqlx::query_as(
            "SELECT pg_catalog.count(*), coalesce(pg_catalog.bool_or(u.sha256 = $4), false)
             FROM (SELECT sha256 FROM eventfabric.plugin_manifests
                   WHERE plugin_name = $1 AND version = $3
                   UNION ALL
                   SELECT sha256 FROM eventfabric.plugin_statements
                   WHERE $3 IS NULL AND schema_name = $2) u",
        )
        .bind(&self.names.plugin)
        .bind(&self.names.schema)
        .bind(&self.version)
        .bind(sha256)
        .fetch_one(conn)
        .await?;
        if listed {
            return Ok(());
        }
        if self.config.strict && self.version.is_some() {
            let message = "the sandbox is strict, and this version of the plugin was deployed without \
                           this statement";
            return Err(SqlError::new(SqlErrorKind::Denied, message).with_hint(format!(
                "`eventfabric plugin learn {} SQL` adds it to those of the active version",
                self.names.plugin
            )));
        }
        if known >= self.config.max_statements as i64 {
            return Err(SqlError::new(
                SqlErrorKind::Limit,
                format!("the plugin has used {known} different statements, which is the limit"),
            )
            .with_hint("pass values as parameters ($1, $2, …) and not in the text"));
        }
        Ok(())
    }

    /// The function that there is for the statement, judged by the rules of today.
    async fn known(
        &self,
        conn: &mut PgConnection,
        sha256: &str,
    ) -> Result<Option<Prepared>, SqlError> {
        let found = sqlx::query_scalar(
            "SELECT description FROM eventfabric.plugin_statements
             WHERE schema_name = $1 AND sha256 = $2 AND policy = $3
               -- Whoever drops a table that is granted can have it go along.
               AND pg_catalog.to_regproc(function_name) IS NOT NULL",
        )
        .bind(&self.names.schema)
        .bind(sha256)
        .bind(policy::VERSION)
        .fetch_optional(conn)
        .await?;
        Ok(found.map(|sqlx::types::Json(prepared)| prepared))
    }

    async fn make(
        &self,
        conn: &mut PgConnection,
        sha256: &str,
        text: &str,
    ) -> Result<Prepared, SqlError> {
        let host = roles::host(conn).await?;
        let place = Place { schema: CALLS, role: &self.names.exec };
        let prepared = statement::make(conn, host, &self.names, place, text).await?;
        roles::run(conn, "SET LOCAL search_path = ''".to_owned()).await?;
        if !prepared.grants.is_empty() {
            // What the names of grants mean can have changed.
            let granted = grant::granted(conn, &self.names.plugin).await?;
            rights::mend(conn, &self.names, &granted).await.map_err(in_sql)?;
        }
        // Its functions of before the names ended with the version are named otherwise, and nobody else drops them.
        let before: Option<String> = sqlx::query_scalar(
            "SELECT function_name FROM eventfabric.plugin_statements
             WHERE schema_name = $1 AND sha256 = $2 AND function_name <> $3",
        )
        .bind(&self.names.schema)
        .bind(sha256)
        .bind(&prepared.function)
        .fetch_optional(&mut *conn)
        .await?;
        if let Some(before) = before
            && single::stem(&before) != single::stem(&prepared.function)
        {
            single::drop_all(conn, &before).await?;
        }
        sqlx::query(
            "INSERT INTO eventfabric.plugin_statements
                 (schema_name, sha256, statement, function_name, description, policy)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (schema_name, sha256) DO UPDATE SET
                 function_name = excluded.function_name, description = excluded.description,
                 policy = excluded.policy",
        )
        .bind(&self.names.schema)
        .bind(sha256)
        .bind(text)
        .bind(&prepared.function)
        .bind(sqlx::types::Json(&prepared))
        .bind(policy::VERSION)
        .execute(conn)
        .await?;
        Ok(prepared)
    }

    /// Notes that the version uses the statement. Answers the grants that no statement of it has used
    /// before.
    async fn note(
        &self,
        conn: &mut PgConnection,
        prepared: &Prepared,
        sha256: &str,
        text: &str,
    ) -> Result<Vec<String>, SqlError> {
        let Some(version) = &self.version else { return Ok(prepared.grants.clone()) };
        let mut news = prepared.grants.clone();
        if !news.is_empty() {
            let used: Vec<String> = sqlx::query_scalar(
                "SELECT DISTINCT pg_catalog.jsonb_array_elements_text(s.description -> 'grants')
                 FROM eventfabric.plugin_statements s
                 JOIN eventfabric.plugin_manifests m ON m.sha256 = s.sha256
                 WHERE s.schema_name = $1 AND m.plugin_name = $2 AND m.version = $3",
            )
            .bind(&self.names.schema)
            .bind(&self.names.plugin)
            .bind(version)
            .fetch_all(&mut *conn)
            .await?;
            news.retain(|grant| !used.contains(grant));
        }
        sqlx::query(
            "INSERT INTO eventfabric.plugin_manifests (plugin_name, version, sha256, statement)
             VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(&self.names.plugin)
        .bind(version)
        .bind(sha256)
        .bind(text)
        .execute(conn)
        .await?;
        Ok(news)
    }
}

/// A failure of the host's own, as the plugin is told it.
fn in_sql(error: SandboxError) -> SqlError {
    match error {
        SandboxError::Sql(error) => error,
        SandboxError::Database { source, .. } => source.into(),
        other => SqlError {
            sqlstate: if other.is_denied() { db::DENIED } else { "" }.to_owned(),
            ..SqlError::new(SqlErrorKind::Denied, other.to_string())
        },
    }
}

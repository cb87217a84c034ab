//! A second set of a plugin's tables, that a rebuild fills and then puts into the place of the first.
//!
//! The shadow is a schema of its own with roles of its own, so both walls stand between the two: its
//! statements are judged against the shadow's name, and its role has no right on the live tables. At
//! the end the names of the schemas change hands, and those of the functions, by which other hosts call the
//! plugin's statements; the roles of the live tables get the new ones.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::error::{SandboxError, while_doing};
use super::execute::PluginSql;
use super::grant::{self, Granted};
use super::roles::{self, CALLS, Host, Names, ident};
use super::statement::{self, Prepared};
use super::{Sandbox, borrowers, migrate, policy, rights, single};
use crate::projection::Description;

impl Sandbox {
    /// Whether there are tables that a rebuild has begun to fill.
    pub async fn has_shadow(&self, plugin: &str) -> Result<bool, SandboxError> {
        let names = self.names(plugin).await?.shadow();
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM eventfabric.plugin_schemas s
                            JOIN pg_catalog.pg_namespace n ON n.nspname = s.schema_name
                            WHERE s.schema_name = $1 AND s.plugin_name = $2)",
        )
        .bind(&names.schema)
        .bind(&names.plugin)
        .fetch_one(&self.control)
        .await
        .map_err(while_doing("looking for the tables of a rebuild"))
    }

    /// Makes the shadow, where it is not there, by all migrations of the plugin. Answers what the plugin
    /// may do there, in this version; one that takes the place of another one learns its statements there.
    /// Refuses when the live tables could not be replaced in the end.
    pub async fn prepare_shadow(
        &self,
        description: &Description,
        version: &str,
        live_made: &Made,
    ) -> Result<Arc<PluginSql>, SandboxError> {
        let live = self.known(&description.name).await?;
        let shadow = live.shadow();
        self.migrate(&shadow, description, None).await?;
        let mut conn =
            self.control.acquire().await.map_err(while_doing("looking at a plugin's tables"))?;
        check(&mut conn, &live, &shadow, live_made).await?;
        drop(conn);
        let loading = match live_made {
            Made::ByTheSame => self.clone(),
            Made::By(_) => self.open_minded(&description.name),
        };
        loading.load(shadow, Some(version.to_owned())).await
    }

    /// What the live tables are made of by this version of the plugin, for who replaces them by those of
    /// another one.
    pub async fn made_by(&self, description: &Description) -> Result<Made, SandboxError> {
        let scratch = self.names(&description.name).await?.scratch();
        Ok(Made::By(self.rehearse(&scratch, description).await?))
    }

    /// Makes the tables that were kept the shadow, in the place of any other one.
    pub async fn revive(&self, conn: &mut PgConnection, plugin: &str) -> Result<(), SandboxError> {
        let context = "taking up tables that were kept";
        let live = self.known(plugin).await?;
        let (old, shadow) = (live.old(), live.shadow());
        roles::lock(conn).await?;
        let host = roles::host(conn).await.map_err(while_doing(context))?;
        remove(conn, &shadow).await.map_err(while_doing(context))?;
        roles::ensure_roles(conn, host, &shadow).await?;
        rename_schema(conn, &old, &shadow).await.map_err(while_doing(context))?;
        hand_over(conn, &old, &shadow).await.map_err(while_doing(context))
    }

    /// Drops the tables that were kept. Answers whether there were any.
    pub async fn drop_old(&self, plugin: &str) -> Result<bool, SandboxError> {
        let old = self.names(plugin).await?.old();
        self.drop_schema(&old).await
    }

    /// Drops the shadow and everything in it.
    pub async fn drop_shadow(&self, plugin: &str) -> Result<(), SandboxError> {
        let shadow = self.names(plugin).await?.shadow();
        self.drop_schema(&shadow).await.map(drop)
    }

    /// Drops a schema of a plugin and everything in it. Answers whether there was one.
    pub(super) async fn drop_schema(&self, names: &Names) -> Result<bool, SandboxError> {
        let context = "dropping the tables of a plugin";
        let mut conn = self.control.acquire().await.map_err(while_doing(context))?;
        let mut tx = conn.begin().await.map_err(while_doing(context))?;
        roles::lock(&mut tx).await?;
        let known = remove(&mut tx, names).await.map_err(while_doing(context))?;
        tx.commit().await.map_err(while_doing(context))?;
        Ok(known)
    }

    /// Has the server look at what is in the shadow, for its planner.
    pub async fn analyze_shadow(&self, plugin: &str) -> Result<(), SandboxError> {
        let context = "analyzing the tables of a rebuild";
        let shadow = self.names(plugin).await?.shadow();
        let mut conn = self.control.acquire().await.map_err(while_doing(context))?;
        for table in relations(&mut conn, &shadow, "rp").await.map_err(while_doing(context))? {
            roles::run(&mut conn, format!("ANALYZE {table}"))
                .await
                .map_err(while_doing(context))?;
        }
        Ok(())
    }

    /// Puts the shadow into the place of the live tables, which are dropped, or kept beside it. Takes
    /// effect when the transaction commits; until then who reads the live tables waits. A reader that
    /// keeps one of them for longer than `patience` is not waited for: that is an error that passes.
    pub async fn replace(
        &self,
        conn: &mut PgConnection,
        plugin: &str,
        live_made: &Made,
        keep_old: bool,
        patience: Duration,
    ) -> Result<(), SandboxError> {
        let context = "putting rebuilt tables into their place";
        let live = self.known(plugin).await?;
        let shadow = live.shadow();
        roles::lock_within(conn, patience).await.map_err(while_doing(context))?;
        check(conn, &live, &shadow, live_made).await?;
        // All at once and not for long: a reader that has one of them and wants another would wait
        // for this transaction, and this one for the reader.
        let tables = relations(conn, &live, "rpv").await.map_err(while_doing(context))?;
        if !tables.is_empty() {
            let tables = tables.join(", ");
            let limit = patience.as_millis().max(1);
            roles::run(
                conn,
                format!(
                    "SET LOCAL statement_timeout = {limit};
                     LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"
                ),
            )
            .await
            .map_err(while_doing(context))?;
            roles::run(conn, "SET LOCAL statement_timeout = '60s'".to_owned())
                .await
                .map_err(while_doing(context))?;
        }
        // What an operator has granted until now.
        grant(conn, &live, &shadow).await.map_err(while_doing(context))?;
        let borrowed = borrowers::release(conn, &live).await.map_err(while_doing(context))?;
        migrate::drop_functions(conn, &live, None).await.map_err(while_doing(context))?;
        move_functions(conn, &shadow, &live).await.map_err(while_doing(context))?;
        let host = roles::host(conn).await.map_err(while_doing(context))?;
        change_names(conn, host, &live, keep_old).await?;
        let granted = grant::granted(conn, plugin).await.map_err(while_doing(context))?;
        rights::mend(conn, &live, &granted).await?;
        // What is kept, or of no use any more, reads nothing of others.
        for retired in [live.old(), live.shadow()] {
            rights::mend(conn, &retired, &Granted::default()).await?;
        }
        borrowers::restore(conn, host, &live, &borrowed).await
    }

    /// Empties the plugin's tables, and has its sequences begin anew, when the transaction commits.
    pub async fn empty(&self, conn: &mut PgConnection, plugin: &str) -> Result<(), SandboxError> {
        let context = "emptying a plugin's tables";
        let live = self.known(plugin).await?;
        let tables = relations(conn, &live, "rp").await.map_err(while_doing(context))?;
        if !tables.is_empty() {
            let tables = tables.join(", ");
            roles::run(conn, format!("TRUNCATE {tables}")).await.map_err(while_doing(context))?;
        }
        for sequence in relations(conn, &live, "S").await.map_err(while_doing(context))? {
            roles::run(conn, format!("ALTER SEQUENCE {sequence} RESTART"))
                .await
                .map_err(while_doing(context))?;
        }
        Ok(())
    }
}

/// Whose migrations made the live tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// The same as those of the shadow.
    ByTheSame,
    /// Those of another version: what they make from nothing, as kind and name.
    By(Vec<String>),
}

/// Refuses when something would be lost with the live tables, or when they are of another version and must
/// not be.
async fn check(
    conn: &mut PgConnection,
    live: &Names,
    shadow: &Names,
    live_made: &Made,
) -> Result<(), SandboxError> {
    let context = "comparing a plugin's tables with those of a rebuild";
    let made = match live_made {
        Made::ByTheSame if differ(conn, live, shadow).await.map_err(while_doing(context))? => {
            return Err(SandboxError::NewerTables(live.plugin.clone()));
        }
        Made::ByTheSame => &[],
        Made::By(made) => made.as_slice(),
    };
    let things: Vec<String> = sqlx::query_scalar(include_str!("sql/losses.sql"))
        .bind(&live.schema)
        .bind(&shadow.schema)
        .bind(made)
        .fetch_all(conn)
        .await
        .map_err(while_doing(context))?;
    if things.is_empty() {
        return Ok(());
    }
    Err(SandboxError::Replace { plugin: live.plugin.clone(), things })
}

/// Whether two schemas were made by different migrations.
async fn differ(conn: &mut PgConnection, live: &Names, shadow: &Names) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM (SELECT number AS n, sha256 AS a FROM eventfabric.plugin_migrations
                          WHERE schema_name = $1) live
             FULL JOIN (SELECT number AS m, sha256 AS b FROM eventfabric.plugin_migrations
                        WHERE schema_name = $2) shadow ON n = m AND a = b
             WHERE n IS NULL OR m IS NULL)",
    )
    .bind(&live.schema)
    .bind(&shadow.schema)
    .fetch_one(conn)
    .await
}

/// The relations of these kinds, quoted, with their schema.
async fn relations(
    conn: &mut PgConnection,
    names: &Names,
    kinds: &str,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND pg_catalog.strpos($2, c.relkind::text) > 0
         ORDER BY 1",
    )
    .bind(&names.schema)
    .bind(kinds)
    .fetch_all(conn)
    .await
}

async fn grant(conn: &mut PgConnection, live: &Names, shadow: &Names) -> sqlx::Result<()> {
    let grants: Vec<String> = sqlx::query_scalar(include_str!("sql/grants.sql"))
        .bind(&live.schema)
        .bind(&shadow.schema)
        .bind(vec![live.owner.clone(), live.exec.clone(), live.reader.clone()])
        .fetch_all(&mut *conn)
        .await?;
    for grant in grants {
        roles::run(conn, grant).await?;
    }
    Ok(())
}

/// Gives the functions of the shadow the names under which those of the live tables are called.
async fn move_functions(conn: &mut PgConnection, shadow: &Names, live: &Names) -> sqlx::Result<()> {
    let rows: Vec<(String, String, String, Option<sqlx::types::Json<Prepared>>)> = sqlx::query_as(
        "SELECT sha256, statement, function_name,
                CASE WHEN policy = $2 THEN description END
         FROM eventfabric.plugin_statements WHERE schema_name = $1",
    )
    .bind(&shadow.schema)
    .bind(policy::VERSION)
    .fetch_all(&mut *conn)
    .await?;
    for (sha256, text, before, prepared) in rows {
        let moved = prepared.zip(statement::function_of(live, &text));
        let Some((sqlx::types::Json(prepared), (name, function))) = moved else {
            // Judged by other rules: it is made again at its next use.
            single::drop_all(conn, &before).await?;
            sqlx::query(
                "DELETE FROM eventfabric.plugin_statements WHERE schema_name = $1 AND sha256 = $2",
            )
            .bind(&shadow.schema)
            .bind(&sha256)
            .execute(&mut *conn)
            .await?;
            continue;
        };
        // One that is there belongs to no statement that is known.
        single::drop_all(conn, &function).await?;
        roles::run(conn, format!("ALTER FUNCTION {before} RENAME TO {name}")).await?;
        // What is around it, and those of hosts of other versions.
        single::drop_all(conn, &before).await?;
        let prepared = prepared.moved(&shadow.schema, &live.schema, function);
        if prepared.around {
            single::make(conn, &prepared).await?;
        }
        sqlx::query(
            "UPDATE eventfabric.plugin_statements
             SET function_name = $3, description = $4
             WHERE schema_name = $1 AND sha256 = $2",
        )
        .bind(&shadow.schema)
        .bind(&sha256)
        .bind(&prepared.function)
        .bind(sqlx::types::Json(&prepared))
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// Gives the shadow's schema the live name, and the live one that of what is kept, or drops it. The roles
/// keep their names, which others may know, and hand over what they own: a host can do so that may not
/// make roles.
async fn change_names(
    conn: &mut PgConnection,
    host: Host,
    live: &Names,
    keep_old: bool,
) -> Result<(), SandboxError> {
    let context = "putting rebuilt tables into their place";
    let (shadow, old) = (live.shadow(), live.old());
    if keep_old {
        roles::ensure_roles(conn, host, &old).await?;
        remove(conn, &old).await.map_err(while_doing(context))?;
        rename_schema(conn, live, &old).await.map_err(while_doing(context))?;
        hand_over(conn, live, &old).await.map_err(while_doing(context))?;
    } else {
        remove(conn, live).await.map_err(while_doing(context))?;
    }
    rename_schema(conn, &shadow, live).await.map_err(while_doing(context))?;
    hand_over(conn, &shadow, live).await.map_err(while_doing(context))
}

/// Gives what some roles own to those of a schema that has just got its name.
async fn hand_over(conn: &mut PgConnection, from: &Names, to: &Names) -> sqlx::Result<()> {
    let schema = ident(&to.schema);
    let (owner, exec) = (ident(&to.owner), ident(&to.exec));
    roles::run(
        conn,
        format!(
            "GRANT CREATE ON SCHEMA {schema} TO {owner}; GRANT CREATE ON SCHEMA {CALLS} TO {exec};
             REASSIGN OWNED BY {} TO {owner}; REASSIGN OWNED BY {} TO {exec};
             REVOKE CREATE ON SCHEMA {CALLS} FROM {exec}",
            ident(&from.owner),
            ident(&from.exec)
        ),
    )
    .await
}

/// Drops a schema with its functions, and forgets it.
pub(super) async fn remove(conn: &mut PgConnection, names: &Names) -> sqlx::Result<bool> {
    let known: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM eventfabric.plugin_schemas
                        WHERE schema_name = $1 AND plugin_name = $2)",
    )
    .bind(&names.schema)
    .bind(&names.plugin)
    .fetch_one(&mut *conn)
    .await?;
    // A schema of that name that the host did not make is never touched.
    if !known {
        return Ok(false);
    }
    migrate::drop_functions(conn, names, None).await?;
    roles::run(conn, format!("DROP SCHEMA IF EXISTS {} CASCADE", ident(&names.schema))).await?;
    sqlx::query("DELETE FROM eventfabric.plugin_schemas WHERE schema_name = $1")
        .bind(&names.schema)
        .execute(conn)
        .await?;
    Ok(true)
}

async fn rename_schema(conn: &mut PgConnection, from: &Names, to: &Names) -> sqlx::Result<()> {
    let sql = format!("ALTER SCHEMA {} RENAME TO {}", ident(&from.schema), ident(&to.schema));
    roles::run(conn, sql).await?;
    // Its migrations and statements follow.
    sqlx::query(
        "UPDATE eventfabric.plugin_schemas
         SET schema_name = $2, owner_role = $3, exec_role = $4 WHERE schema_name = $1",
    )
    .bind(&from.schema)
    .bind(&to.schema)
    .bind(&to.owner)
    .bind(&to.exec)
    .execute(conn)
    .await?;
    Ok(())
}

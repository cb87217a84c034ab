//! Runs a plugin's migrations, and looks at what they left behind.

use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, SqlSafeStr as _,
};

use super::error::{SandboxError, beginning, while_doing};
use super::grant::{self, Granted};
use super::judge::{self, Place, Verdict};
use super::roles::{self, CALLS, Host, Names, ident};
use super::{borrowers, rights, shadow, single, split, statement};
use crate::projection::{Description, Migration};

/// The migrations that were applied, in order, with their numbers and names.
pub type MigrationReport = Vec<(u32, String)>;

/// Makes the plugin's schema ready for this version of it, in one transaction. `active` is the version
/// that uses it meanwhile: its statements must stay right. The schema may hold so many `relations`.
pub(super) async fn prepare(
    conn: &mut PgConnection,
    names: &Names,
    description: &Description,
    active: Option<&str>,
    relations: usize,
) -> Result<MigrationReport, SandboxError> {
    let context = "applying the migrations of a plugin";
    let mut tx = conn.begin().await.map_err(while_doing(context))?;
    let report = migrate(&mut tx, names, description, active, relations).await?;
    tx.commit().await.map_err(while_doing(context))?;
    Ok(report)
}

/// What the migrations of this version make from nothing, as kind and name. Nothing of it stays.
pub(super) async fn rehearse(
    conn: &mut PgConnection,
    names: &Names,
    description: &Description,
    relations: usize,
) -> Result<Vec<String>, SandboxError> {
    let context = "looking at what the migrations of a plugin make";
    let mut tx = conn.begin().await.map_err(while_doing(context))?;
    roles::lock(&mut tx).await?;
    shadow::remove(&mut tx, names).await.map_err(while_doing(context))?;
    migrate(&mut tx, names, description, None, relations).await?;
    let made = sqlx::query_scalar(
        "SELECT c.relkind::text || ' ' || c.relname
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1",
    )
    .bind(&names.schema)
    .fetch_all(&mut *tx)
    .await
    .map_err(while_doing(context))?;
    tx.rollback().await.map_err(while_doing(context))?;
    Ok(made)
}

/// Makes the schema of a plugin ready, unless a migration is missing: then it answers so, and has done
/// nothing. Nothing of the plugin runs in the session.
pub(super) async fn mend_only(
    conn: &mut PgConnection,
    names: &Names,
    description: &Description,
) -> Result<bool, SandboxError> {
    let context = "looking whether the tables of a plugin are there";
    let mut tx = conn.begin().await.map_err(while_doing(context))?;
    let Ready { missing, granted, .. } = ready(&mut tx, names, description).await?;
    if !missing.is_empty() {
        tx.rollback().await.map_err(while_doing(context))?;
        return Ok(false);
    }
    mend(&mut tx, names, &granted).await?;
    tx.commit().await.map_err(while_doing(context))?;
    Ok(true)
}

async fn migrate(
    tx: &mut PgConnection,
    names: &Names,
    description: &Description,
    active: Option<&str>,
    relations: usize,
) -> Result<MigrationReport, SandboxError> {
    let context = "applying the migrations of a plugin";
    let Ready { host, missing, granted } = ready(tx, names, description).await?;
    if missing.is_empty() {
        mend(tx, names, &granted).await?;
    } else {
        let used = drop_functions(tx, names, active).await.map_err(while_doing(context))?;
        let borrowed = borrowers::release(tx, names).await.map_err(while_doing(context))?;
        let runner = runner(tx, host, names).await.map_err(while_doing(context))?;
        let steps = Steps { names, runner: &runner, limits: LIMITS, relations, known: &[] };
        for migration in missing {
            apply(tx, &steps, migration).await?;
        }
        roles::run(tx, format!("DROP FUNCTION {runner}(text)"))
            .await
            .map_err(while_doing(context))?;
        mend(tx, names, &granted).await?;
        for statement in &used {
            make_again(tx, host, names, statement).await?;
        }
        borrowers::restore(tx, host, names, &borrowed).await?;
    }
    Ok(missing.iter().map(|m| (m.number, m.name.clone())).collect())
}

/// What is known of a plugin whose roles and schema are there.
struct Ready<'a> {
    host: Host,
    /// The migrations that this database has not seen.
    missing: &'a [Migration],
    granted: Granted,
}

/// Makes sure that roles and schema of a plugin are there, under [`roles::lock`].
async fn ready<'a>(
    tx: &mut PgConnection,
    names: &Names,
    description: &'a Description,
) -> Result<Ready<'a>, SandboxError> {
    for (expected, migration) in (1..).zip(&description.migrations) {
        if migration.number != expected {
            let plugin = names.plugin.clone();
            return Err(SandboxError::Numbers { plugin, expected, found: migration.number });
        }
    }
    roles::lock(tx).await?;
    let host = roles::ensure(tx, names).await?;
    let missing = missing(tx, names, description).await?;
    let granted = grant::granted(tx, &names.plugin)
        .await
        .map_err(while_doing("reading the grants of a plugin"))?;
    Ok(Ready { host, missing, granted })
}

/// What somebody else has given the plugin's roles is no reason not to go on.
async fn mend(
    conn: &mut PgConnection,
    names: &Names,
    granted: &Granted,
) -> Result<(), SandboxError> {
    for statement in rights::mend(conn, names, granted).await? {
        tracing::warn!(
            plugin = names.plugin,
            statement,
            "a role of the plugin has a right that it should not have, and that the host cannot take away"
        );
    }
    Ok(())
}

/// How long one statement may take, and how soon the server notices that its host is gone.
pub(super) const LIMITS: &str = "SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '10s'; \
                      SET LOCAL client_connection_check_interval = '5s'";

/// Locks that one relation costs a migration: its own, those of what is too large for its rows and of
/// the index of that, and a part of the catalogue's.
const LOCKS: i64 = 3;

/// Locks of a migration that makes nothing: those of the catalogue and of the host's tables.
const OTHER_LOCKS: i64 = 300;

/// The migrations that this database has not seen. The others must not have changed.
pub(super) async fn missing<'a>(
    conn: &mut PgConnection,
    names: &Names,
    description: &'a Description,
) -> Result<&'a [Migration], SandboxError> {
    let applied: Vec<(i32, String)> = sqlx::query_as(
        "SELECT number, sha256 FROM eventfabric.plugin_migrations
         WHERE schema_name = $1 ORDER BY number",
    )
    .bind(&names.schema)
    .fetch_all(conn)
    .await
    .map_err(while_doing("reading which migrations of a plugin were applied"))?;
    let known = &description.migrations;
    if applied.len() > known.len() {
        return Err(SandboxError::Ahead {
            plugin: names.plugin.clone(),
            applied: applied.len() as u32,
            known: known.len() as u32,
        });
    }
    for ((_, sha256), migration) in applied.iter().zip(known) {
        if *sha256 != statement::sha256(&migration.sql) {
            return Err(SandboxError::Changed {
                plugin: names.plugin.clone(),
                number: migration.number,
                name: migration.name.clone(),
            });
        }
    }
    Ok(&known[applied.len()..])
}

/// A statement whose function was dropped.
#[derive(sqlx::FromRow)]
pub(super) struct Used {
    pub sha256: String,
    pub statement: String,
    pub function_name: String,
    pub description: sqlx::types::Json<serde_json::Value>,
    pub policy: i32,
    /// It is the active version's.
    pub used: bool,
}

/// The functions hold on to the tables. Answers the active version's; the others are made again at
/// their next use.
pub(super) async fn drop_functions(
    conn: &mut PgConnection,
    names: &Names,
    active: Option<&str>,
) -> sqlx::Result<Vec<Used>> {
    let mut known: Vec<Used> = sqlx::query_as(
        "DELETE FROM eventfabric.plugin_statements s WHERE schema_name = $1
         RETURNING sha256, statement, function_name, description, policy,
             EXISTS (SELECT FROM eventfabric.plugin_manifests m
                     WHERE (m.plugin_name, m.version, m.sha256) = ($2, $3, s.sha256)) AS used",
    )
    .bind(&names.schema)
    .bind(&names.plugin)
    .bind(active)
    .fetch_all(&mut *conn)
    .await?;
    for Used { function_name, .. } in &known {
        single::drop_all(conn, function_name).await?;
    }
    known.retain(|statement| statement.used);
    Ok(known)
}

/// Makes the function of a statement of the active version again, which must go: that version goes on
/// when the new one fails on trial. Where it looks different now, running hosts must not take it for
/// the old one, and learn it anew.
pub(super) async fn make_again(
    conn: &mut PgConnection,
    host: Host,
    names: &Names,
    used: &Used,
) -> Result<(), SandboxError> {
    let place = statement::Place { schema: CALLS, role: &names.exec };
    let made = statement::make(conn, host, names, place, &used.statement).await;
    let prepared = made.map_err(|reason| SandboxError::Breaks {
        plugin: names.plugin.clone(),
        statement: beginning(&used.statement),
        reason,
    })?;
    let keep = async {
        roles::run(conn, "SET LOCAL search_path = ''".to_owned()).await?;
        if !prepared.is_described_by(&used.description) {
            return single::drop_all(conn, &prepared.function).await;
        }
        sqlx::query(
            "INSERT INTO eventfabric.plugin_statements
                 (schema_name, sha256, statement, function_name, description, policy)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&names.schema)
        .bind(&used.sha256)
        .bind(&used.statement)
        .bind(&used.function_name)
        .bind(&used.description)
        .bind(used.policy)
        .execute(&mut *conn)
        .await
        .map(drop)
    };
    keep.await.map_err(while_doing("keeping a statement of the active version"))
}

/// Makes the function that runs a migration's statements as the owner of the schema. Inside of it
/// the server refuses changes of the role and ends of the transaction.
pub(super) async fn runner(
    conn: &mut PgConnection,
    host: Host,
    names: &Names,
) -> sqlx::Result<String> {
    let function =
        format!("{CALLS}.{}", ident(&format!("m_{}", &statement::sha256(&names.schema)[..40])));
    let path = format!("{}, pg_temp", ident(&names.schema));
    roles::run(
        conn,
        format!(
            "DROP FUNCTION IF EXISTS {function}(text);
             CREATE FUNCTION {function}(text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
             SET search_path = {path} AS 'BEGIN EXECUTE $1; END'"
        ),
    )
    .await?;
    roles::hand_over(conn, host, CALLS, &format!("{function}(text)"), &names.owner).await?;
    Ok(function)
}

/// How migrations are run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps<'a> {
    pub names: &'a Names,
    /// The function that runs a statement.
    pub runner: &'a str,
    /// Sets the limits on time.
    pub limits: &'a str,
    /// Tables, partitions, indexes, sequences and views that may be in the schema.
    pub relations: usize,
    /// Forbidden objects that were there before, and are not the migration's doing.
    pub known: &'a [(String, String)],
}

/// Runs one migration, and looks at what it left behind.
pub(super) async fn apply(
    conn: &mut PgConnection,
    steps: &Steps<'_>,
    migration: &Migration,
) -> Result<(), SandboxError> {
    let Steps { names, runner, .. } = *steps;
    let refused = |statement: Option<&str>, reason: String| SandboxError::Migration {
        plugin: names.plugin.clone(),
        number: migration.number,
        name: migration.name.clone(),
        statement: statement.map(beginning),
        reason,
    };
    let pieces = split::split(&migration.sql).map_err(|e| refused(None, e.to_string()))?;
    let call = format!("SELECT {runner}($1)");
    for piece in &pieces {
        let failed = |e: sqlx::Error| {
            let error = super::error::SqlError::from(e);
            refused(Some(piece.text), error.to_string())
        };
        if let Some(reason) = split::refused(piece) {
            return Err(refused(Some(piece.text), reason));
        }
        // Again before each: the one before may have changed them, to outlive its host.
        roles::run(&mut *conn, steps.limits.to_owned()).await.map_err(failed)?;
        // The extended protocol takes one command, and only parses it.
        let text = AssertSqlSafe(piece.text).into_sql_str();
        (&mut *conn).prepare(text).await.map_err(failed)?;
        sqlx::query(AssertSqlSafe(call.as_str()))
            .bind(piece.text)
            .execute(&mut *conn)
            .await
            .map_err(failed)?;
        let crowd = crowd(conn, steps).await.map_err(while_doing("counting a plugin's tables"))?;
        if let Some(reason) = crowd {
            return Err(refused(Some(piece.text), reason));
        }
    }
    inspect(conn, steps).await.map_err(|e| match e {
        Verdict::Denied(reason) => refused(None, reason),
        Verdict::Database(source) => {
            SandboxError::Database { context: "looking at what a migration made", source }
        }
    })?;
    sqlx::query(
        "INSERT INTO eventfabric.plugin_migrations (schema_name, number, name, sha256)
         VALUES ($1, $2, $3, $4)",
    )
    .bind(&names.schema)
    .bind(i64::from(migration.number) as i32)
    .bind(&migration.name)
    .bind(statement::sha256(&migration.sql))
    .execute(&mut *conn)
    .await
    .map(drop)
    .map_err(while_doing("recording a migration"))
}

/// Why there are too many relations, if there are. A statement locks every partition of a table with its
/// indexes, and a migration all that it makes or drops, in one table of locks that the whole server shares.
async fn crowd(conn: &mut PgConnection, steps: &Steps<'_>) -> sqlx::Result<Option<String>> {
    let (relations, locks): (i64, i64) = sqlx::query_as(include_str!("sql/relations.sql"))
        .bind(&steps.names.schema)
        .fetch_one(conn)
        .await?;
    let most = i64::try_from(steps.relations).unwrap_or(i64::MAX);
    let most_locks = most.saturating_mul(LOCKS).saturating_add(OTHER_LOCKS);
    Ok(if relations > most {
        Some(format!(
            "with it the schema has more than {most} tables, partitions, indexes, sequences and views; \
             raise `sandbox.max_relations` (each may cost a lock of the server, see \
             max_locks_per_transaction)"
        ))
    } else if locks > most_locks {
        Some(format!(
            "with it the migrations hold more than {most_locks} locks of the server; do it in several \
             deploys, or raise `sandbox.max_relations`"
        ))
    } else {
        None
    })
}

/// Looks at the whole schema: no objects of a forbidden kind, nothing outside, and only such
/// expressions as a statement could use.
async fn inspect(conn: &mut PgConnection, steps: &Steps<'_>) -> Result<(), Verdict> {
    let names = steps.names;
    let found = forbidden(conn, names).await?;
    if let Some((kind, name)) = found.iter().find(|found| !steps.known.contains(found)) {
        return Err(Verdict::Denied(format!("it left {kind} {name}, which is not allowed")));
    }
    let granted = grant::granted(conn, &names.plugin).await?;
    let trees = sqlx::query(include_str!("sql/trees.sql"))
        .bind(&names.schema)
        .fetch_all(&mut *conn)
        .await?;
    for row in trees {
        let (what, default, tree): (String, bool, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let place = if default { Place::Default } else { Place::Catalogue };
        let judged = judge::judge(conn, &names.schema, place, &granted, &tree).await;
        judged.map_err(|verdict| match verdict {
            Verdict::Denied(reason) => Verdict::Denied(format!("{what}: {reason}")),
            other => other,
        })?;
    }
    Ok(())
}

/// Objects of the schema or of its owner that may not be: kind and name.
pub(super) async fn forbidden(
    conn: &mut PgConnection,
    names: &Names,
) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as(include_str!("sql/forbidden.sql"))
        .bind(&names.schema)
        .bind(&names.owner)
        .fetch_all(conn)
        .await
}

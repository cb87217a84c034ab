//! Statements of other plugins that read a plugin's tables, by a grant. Their functions hold on to the
//! tables, so they go before the tables change, and are made again after it.

use sqlx::{FromRow as _, PgConnection, Row as _};

use super::error::{SandboxError, beginning};
use super::grant;
use super::migrate::{self, Used};
use super::rights;
use super::roles::{Host, Names};
use super::single;

/// A statement of another plugin.
pub(super) struct Borrowed {
    names: Names,
    statement: Used,
}

/// Drops the functions of other plugins that read the tables of this one. Answers those that their active
/// versions use; the others are made again at their next use.
pub(super) async fn release(conn: &mut PgConnection, names: &Names) -> sqlx::Result<Vec<Borrowed>> {
    let rows = sqlx::query(include_str!("sql/borrowers.sql"))
        .bind(&names.schema)
        .bind(&names.plugin)
        .fetch_all(&mut *conn)
        .await?;
    let mut used = Vec::new();
    for row in rows {
        let (plugin, schema): (String, String) =
            (row.try_get("plugin_name")?, row.try_get("schema_name")?);
        let statement = Used::from_row(&row)?;
        single::drop_all(conn, &statement.function_name).await?;
        if statement.used {
            used.push(Borrowed { names: names.of(&plugin, schema), statement });
        }
    }
    Ok(used)
}

/// Makes the functions again, on the tables that are there now.
pub(super) async fn restore(
    conn: &mut PgConnection,
    host: Host,
    lender: &Names,
    borrowed: &[Borrowed],
) -> Result<(), SandboxError> {
    for Borrowed { names, statement } in borrowed {
        let granted = grant::granted(conn, &names.plugin).await;
        let granted = granted.map_err(super::while_doing("reading what a plugin is granted"))?;
        rights::give(conn, names, &granted).await?;
        migrate::make_again(conn, host, names, statement).await.map_err(|error| match error {
            SandboxError::Breaks { reason, .. } => SandboxError::BreaksBorrower {
                plugin: lender.plugin.clone(),
                borrower: names.plugin.clone(),
                statement: beginning(&statement.statement),
                reason: Box::new(reason),
            },
            other => other,
        })?;
    }
    Ok(())
}

/// Drops the functions of a plugin's statements that use more than `granted`: they are judged anew at
/// their next use.
pub(super) async fn forget(
    conn: &mut PgConnection,
    plugin: &str,
    granted: &[String],
) -> sqlx::Result<()> {
    let functions: Vec<String> = sqlx::query_scalar(
        "DELETE FROM eventfabric.plugin_statements s
         USING eventfabric.plugin_schemas p
         WHERE p.schema_name = s.schema_name AND p.plugin_name = $1
           AND EXISTS (SELECT FROM pg_catalog.jsonb_array_elements_text(
                           coalesce(s.description -> 'grants', '[]')) AS g (name)
                       WHERE g.name <> ALL ($2))
         RETURNING s.function_name",
    )
    .bind(plugin)
    .bind(granted)
    .fetch_all(&mut *conn)
    .await?;
    for function in functions {
        single::drop_all(conn, &function).await?;
    }
    Ok(())
}

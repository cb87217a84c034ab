//! One call of a statement that answers a number.
//!
//! Before 18 the server plans a function of SQL anew for each statement that calls it, which costs more
//! than an upsert. A function of PL/pgSQL around it keeps the plan for the length of the transaction. It adds
//! nothing to what was judged: its text is the call.

use sqlx::PgConnection;

use super::batch;
use super::convert::single_args;
use super::roles::{self, CALLS, Host};
use super::statement::Prepared;

/// The first version (`server_version_num`) that keeps plans of functions of SQL.
const KEEPS_PLANS: i32 = 180_000;

/// Whether calls need the function around.
pub(super) fn needed(host: Host) -> bool {
    host.version < KEEPS_PLANS
}

/// The function around one that was made of a statement. Names are quoted.
pub(super) fn around(function: &str) -> String {
    format!("{}_single\"", function.trim_end_matches('"'))
}

/// Makes it. It runs as the host, and what it calls as the plugin.
pub(super) async fn make(conn: &mut PgConnection, prepared: &Prepared) -> sqlx::Result<()> {
    let around = around(&prepared.function);
    let types: Vec<&str> = prepared.params.iter().map(|param| param.type_name.as_str()).collect();
    let (types, args) = if types.is_empty() {
        ("integer".to_owned(), "$1".to_owned())
    } else {
        (types.join(", "), single_args(prepared))
    };
    roles::run(
        conn,
        format!(
            "CREATE FUNCTION {around}({types}) RETURNS bigint LANGUAGE plpgsql
             AS $call$ BEGIN RETURN {count}; END $call$;
             REVOKE ALL ON FUNCTION {around}({types}) FROM PUBLIC",
            count = batch::count(prepared, &args),
        ),
    )
    .await
}

/// Bytes that the names of all functions of one statement have in common, by whatever version of the host they
/// were made.
pub(super) const STEM: usize = 42;

/// That beginning of the name of a function.
pub(super) fn stem(function: &str) -> &str {
    let name = function.rsplit('"').nth(1).unwrap_or_default();
    name.get(..STEM).unwrap_or(name)
}

/// Drops what hosts of all versions have made of a statement: `function`, which need not be there, and those
/// that are named like it.
pub(super) async fn drop_all(conn: &mut PgConnection, function: &str) -> sqlx::Result<()> {
    let drops: Vec<String> = sqlx::query_scalar(
        "SELECT pg_catalog.format('DROP FUNCTION %I.%I', n.nspname, p.proname)
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname = $1 AND pg_catalog.starts_with(p.proname, $2)
         -- The one around it first.
         ORDER BY pg_catalog.length(p.proname) DESC",
    )
    .bind(CALLS)
    .bind(stem(function))
    .fetch_all(&mut *conn)
    .await?;
    for drop in drops {
        roles::run(conn, drop).await?;
    }
    Ok(())
}

/// Drops the function of a statement, where it is there, and the one around it.
pub(super) async fn drop(conn: &mut PgConnection, function: &str) -> sqlx::Result<()> {
    let around = around(function);
    roles::run(
        conn,
        format!("DROP FUNCTION IF EXISTS {around}; DROP FUNCTION IF EXISTS {function}"),
    )
    .await
}

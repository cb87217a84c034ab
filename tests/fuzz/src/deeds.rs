//! What a statement has done beyond its plugin's tables: read from what the server itself keeps of the
//! transaction, of the session, and of the whole database.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

/// What is seen inside of a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deeds(BTreeSet<String>);

/// Locks stay until the end of a transaction, so each relation that a statement has read is here, too;
/// and the server counts the rows that a transaction has written. (The index locks are left out: planning
/// takes them, and these queries are planned anew when the host has made a function.)
const INSIDE: &str = "
    SELECT 'lock ' || l.locktype || ' ' ||
           coalesce(n.nspname || '.' || c.relname, l.classid || '/' || l.objid) || ' ' || l.mode
    FROM pg_catalog.pg_locks l
    LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE l.pid = pg_catalog.pg_backend_pid()
      AND l.locktype NOT IN ('virtualxid', 'transactionid', 'tuple', 'spectoken')
      AND coalesce(c.relkind, '') <> 'i' AND coalesce(n.nspname, '') NOT IN ('ledger', 'pg_toast')
    UNION ALL
    SELECT 'rows written ' || s.relid::pg_catalog.regclass
    FROM pg_catalog.pg_stat_xact_all_tables s
    WHERE s.schemaname NOT IN ('ledger', 'pg_toast') AND s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0";

/// What a session keeps from one transaction to the next.
const SESSION: &str = "
    SELECT 'setting ' || name || '=' || coalesce(setting, '')
    FROM pg_catalog.pg_settings
    WHERE name NOT IN ('transaction_isolation', 'lock_timeout', 'statement_timeout')
    UNION ALL SELECT 'user ' || CURRENT_USER || ', ' || SESSION_USER
    UNION ALL SELECT 'temporary schema ' || pg_catalog.pg_my_temp_schema()
    UNION ALL SELECT 'cursor ' || name FROM pg_catalog.pg_cursors WHERE name <> ''
    UNION ALL SELECT 'listens ' || c FROM pg_catalog.pg_listening_channels() AS c
    UNION ALL SELECT 'advisory lock ' || objid FROM pg_catalog.pg_locks
              WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()";

/// The catalogue and what is beside the tables. (The host makes a function of each new statement, and
/// notes it.)
const DATABASE: &str = "
    SELECT 'role ' || r::text FROM pg_catalog.pg_authid r
    UNION ALL SELECT 'member ' || m::text FROM pg_catalog.pg_auth_members m
              WHERE roleid IN (SELECT oid FROM pg_catalog.pg_authid
                               WHERE rolname IN (SELECT unnest(ARRAY[owner_role, exec_role])
                                                 FROM eventfabric.plugin_schemas))
    UNION ALL SELECT 'schema ' || n::text FROM pg_catalog.pg_namespace n
    UNION ALL SELECT 'relation ' || c.oid || c.relname || c.relowner || coalesce(c.relacl::text, '')
              FROM pg_catalog.pg_class c
    UNION ALL SELECT 'function ' || p.oid || p.proname || p.proowner FROM pg_catalog.pg_proc p
              WHERE p.pronamespace <> 'eventfabric_calls'::pg_catalog.regnamespace
    UNION ALL SELECT 'sequence ' || s.schemaname || s.sequencename || coalesce(s.last_value, 0)
              FROM pg_catalog.pg_sequences s
    UNION ALL SELECT 'setting ' || s::text FROM pg_catalog.pg_db_role_setting s
    UNION ALL SELECT 'large object ' || l.oid FROM pg_catalog.pg_largeobject_metadata l
    UNION ALL SELECT 'prepared ' || x.gid FROM pg_catalog.pg_prepared_xacts x";

async fn read(conn: &mut PgConnection, sql: &'static str) -> sqlx::Result<Deeds> {
    let rows = sqlx::query_scalar::<_, Option<String>>(sql).fetch_all(conn).await?;
    Ok(Deeds(rows.into_iter().flatten().collect()))
}

/// What this transaction has locked and written.
pub async fn inside(conn: &mut PgConnection) -> sqlx::Result<Deeds> {
    read(conn, INSIDE).await
}

/// The state of this session.
pub async fn session(conn: &mut PgConnection) -> sqlx::Result<Deeds> {
    read(conn, SESSION).await
}

/// The whole database but the plugin's tables, by a superuser.
pub async fn database(conn: &mut PgConnection) -> sqlx::Result<Deeds> {
    let mut deeds = read(conn, DATABASE).await?;
    let tables = sqlx::query(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
         FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind = 'r' AND n.nspname IN ('eventfabric', 'other', 'public')
           AND c.relname <> 'plugin_statements'",
    );
    for row in tables.fetch_all(&mut *conn).await? {
        let table: String = row.try_get("name")?;
        let sql = format!("SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {table} t");
        let digest = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql));
        let digest = digest.fetch_one(&mut *conn).await?.unwrap_or_default();
        deeds.0.insert(format!("rows of {table} {digest}"));
    }
    Ok(deeds)
}

impl Deeds {
    /// What is different now.
    pub fn since(&self, before: &Self) -> Vec<String> {
        let gone = before.0.difference(&self.0).map(|deed| format!("gone: {deed}"));
        self.0.difference(&before.0).cloned().chain(gone).collect()
    }
}

//! To be somebody else, to end the transaction or to outlive it.

use super::{Attack, statement};

/// PostgreSQL has no right that keeps a role from it.
const SESSION: &str = "any role may change the settings of its session; the host keeps time itself";
const SIGNALS: &str = "no right guards LISTEN and NOTIFY";
const ADVISORY: &str = "no right guards advisory locks";
const TEMP: &str = "PUBLIC has TEMP on a database until an operator revokes it; the host's SQL names \
                    its schema everywhere";
const HARMLESS: &str = "it does nothing but what the role may do anyway";

pub(super) const ATTACKS: &[Attack] = &[
    statement("RESET ROLE", "RESET ROLE"),
    statement("SET ROLE to the host", "SET ROLE {host}"),
    statement("SET LOCAL ROLE to none", "SET LOCAL ROLE none"),
    statement("SET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION {host}").leaves(),
    statement("RESET SESSION AUTHORIZATION", "RESET SESSION AUTHORIZATION").leaves(),
    statement("set_config of the role", "SELECT set_config('role', 'none', true)"),
    statement(
        "set_config of the session's user",
        "SELECT set_config('session_authorization', session_user::text, true)",
    ),
    statement(
        "set_config of the search path",
        "SELECT set_config('search_path', 'eventfabric', false)",
    )
    .two_cannot(SESSION),
    statement("set_config of the time-out", "SELECT set_config('statement_timeout', '0', false)")
        .two_cannot(SESSION),
    statement("SET of the time-out", "SET statement_timeout = 0").two_cannot(SESSION),
    statement("SET of the search path", "SET search_path = eventfabric").two_cannot(SESSION),
    statement("SET of the time zone", "SET TIME ZONE 'Asia/Tokyo'").two_cannot(SESSION),
    statement(
        "writing pg_settings",
        "UPDATE pg_settings SET setting = '0' WHERE name = 'statement_timeout'",
    )
    .two_cannot(SESSION),
    statement("RESET ALL", "RESET ALL").two_cannot(SESSION),
    statement("ALTER ROLE SET", "ALTER ROLE {host} SET search_path = x"),
    statement("ALTER ROLE SUPERUSER", "ALTER ROLE {exec} SUPERUSER"),
    statement("GRANT of the host's role", "GRANT {host} TO {exec}"),
    statement("CREATE ROLE", "CREATE ROLE attacker SUPERUSER"),
    statement("COMMIT", "COMMIT").leaves(),
    statement("ROLLBACK", "ROLLBACK").leaves(),
    statement("COMMIT AND CHAIN", "COMMIT AND CHAIN").leaves(),
    statement("SAVEPOINT", "SAVEPOINT s"),
    statement("PREPARE TRANSACTION", "PREPARE TRANSACTION 'attack'").leaves(),
    statement("a second statement", "SELECT 1; DELETE FROM eventfabric.outbox"),
    statement("a second statement after END", "SELECT 1; END; DELETE FROM eventfabric.outbox; --")
        .leaves(),
    statement("END alone", "END").leaves(),
    statement("DO", "DO $$ BEGIN RESET ROLE; END $$"),
    statement("DO that commits", "DO $$ BEGIN COMMIT; END $$")
        .in_vain("a transaction block is open"),
    statement("CALL", "CALL eventfabric.attack()").in_vain("there is no such procedure"),
    statement("EXPLAIN ANALYZE of a write", "EXPLAIN ANALYZE DELETE FROM accounts WHERE id = 1")
        .two_cannot(HARMLESS),
    statement("DISCARD ALL", "DISCARD ALL").in_vain("a transaction block is open").leaves(),
    statement("DISCARD PLANS", "DISCARD PLANS").two_cannot("no right guards a session's own plans"),
    statement("DISCARD SEQUENCES", "DISCARD SEQUENCES")
        .two_cannot("no right guards what a session remembers of sequences"),
    statement("DEALLOCATE of the driver's statements", "DEALLOCATE ALL")
        .two_cannot("no right guards prepared statements")
        .leaves(),
    statement("PREPARE of the driver's name", "PREPARE sqlx_s_9999 AS SELECT 1")
        .two_cannot("no right guards prepared statements")
        .leaves(),
    statement("cursor WITH HOLD", "DECLARE c CURSOR WITH HOLD FOR SELECT 1")
        .leaves()
        .two_cannot("any role may declare one; it runs at COMMIT, as the host"),
    statement("closing the host's cursors", "CLOSE ALL")
        .two_cannot("no right guards the cursors of a session"),
    statement("LISTEN", "LISTEN eventfabric").two_cannot(SIGNALS).leaves(),
    statement("UNLISTEN", "UNLISTEN *").two_cannot(SIGNALS),
    statement("NOTIFY", "NOTIFY eventfabric, 'x'").two_cannot(SIGNALS),
    statement(
        "a flood of NOTIFY",
        "SELECT pg_notify('eventfabric', g::text) FROM generate_series(1, 1000) g",
    )
    .two_cannot(SIGNALS),
    statement("advisory lock", "SELECT pg_advisory_lock(1)").two_cannot(ADVISORY).leaves(),
    statement("advisory lock of the host", "SELECT pg_try_advisory_lock(7306374208861037)")
        .two_cannot(ADVISORY)
        .leaves(),
    statement("releasing all advisory locks", "SELECT pg_advisory_unlock_all()")
        .two_cannot(ADVISORY)
        .leaves(),
    statement(
        "advisory lock in ORDER BY",
        "SELECT id FROM accounts ORDER BY pg_try_advisory_lock(id)",
    )
    .two_cannot(ADVISORY)
    .leaves(),
    statement("temporary table that shadows the log", "CREATE TEMPORARY TABLE events (a int)")
        .two_cannot(TEMP),
    statement("SELECT INTO a temporary table", "SELECT 1 AS a INTO TEMPORARY x"),
    statement("LOCK of its own table", "LOCK TABLE accounts IN ROW EXCLUSIVE MODE")
        .two_cannot(HARMLESS),
    statement("LOCK of the outbox", "LOCK TABLE eventfabric.outbox"),
    statement("ending the host's session", "SELECT pg_terminate_backend(pg_backend_pid())")
        .in_vain("it ends the session that tries it")
        .leaves(),
    statement(
        "cancelling others",
        "SELECT pg_cancel_backend(a.pid) FROM pg_stat_activity a WHERE a.datname = 'nosuch'",
    )
    .two_cannot("a function of PUBLIC; it refuses by itself where the session is another role's"),
    statement("reloading the server", "SELECT pg_reload_conf()"),
    statement("ALTER SYSTEM", "ALTER SYSTEM SET work_mem = '1GB'")
        .in_vain("a transaction block is open"),
    statement("ALTER DATABASE", "ALTER DATABASE postgres SET search_path = x"),
    statement("isolation of the transaction", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        .in_vain("it must come before any query"),
    statement("deferring constraints", "SET CONSTRAINTS ALL DEFERRED")
        .two_cannot("any role may; the host has them checked before it goes on"),
    statement("LOAD of a library", "LOAD 'auto_explain'").leaves(),
];

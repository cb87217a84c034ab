//! What an operator's query of a plugin's tables can do and what it cannot.

use eventfabric::sandbox::SandboxError;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::cli::run;
use eventfabric_tests::description;

use crate::sandbox::{Fixture, fixture};

impl Fixture {
    /// The name of the role that queries run as.
    async fn reader(&self) -> String {
        let exec: String = sqlx::query_scalar(
            "SELECT exec_role FROM eventfabric.plugin_schemas WHERE plugin_name = 'ledger'",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap();
        format!("{}r", exec.strip_suffix('x').unwrap())
    }

    async fn write(&self, sql: &str) {
        self.pool.execute(AssertSqlSafe(sql)).await.unwrap();
    }

    async fn first(&self, sql: &str) -> Result<Option<String>, SandboxError> {
        let mut reading = self.sandbox.read("ledger", sql).await?;
        Ok(reading.page(1).await?.remove(0).remove(0))
    }
}

/// What a query must not do, whichever wall stops it.
const ATTACKS: &[&str] = &[
    "DELETE FROM accounts",
    "INSERT INTO accounts (id) VALUES (9) RETURNING id",
    "WITH gone AS (DELETE FROM accounts RETURNING id) SELECT id FROM gone",
    "WITH new AS (INSERT INTO accounts (id) VALUES (9) RETURNING id) SELECT id FROM new",
    "SELECT id FROM accounts FOR UPDATE",
    "SELECT id FROM accounts FOR KEY SHARE",
    "SELECT id FROM (SELECT id FROM accounts FOR SHARE) AS a",
    "SELECT nextval('lines_n_seq')",
    "SELECT setval('lines_n_seq', 100)",
    "SELECT lo_create(0)",
    "SELECT pg_notify('eventfabric', 'x')::text",
    "SELECT pg_advisory_lock(1)::text",
    "SELECT pg_sleep(10)::text",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SELECT set_config('role', 'postgres', true)",
    "SELECT query_to_xml('delete from accounts', true, true, '')",
    "SELECT * FROM eventfabric.events",
    "SELECT * FROM other.secrets",
    "SELECT rolname FROM pg_roles",
    "SELECT 1; DELETE FROM accounts",
    "COPY accounts TO STDOUT",
    "CREATE TABLE x (a int)",
    "VALUES ($1::int)",
];

#[tokio::test]
async fn a_query_reads_the_plugins_tables_page_by_page() {
    let f = fixture().await;
    f.write("INSERT INTO ledger.accounts (id, owner) SELECT n, 'o' FROM generate_series(1, 7) n")
        .await;
    let sql = "SELECT id, owner, data FROM accounts ORDER BY id;";
    let mut reading = f.sandbox.read("ledger", sql).await.unwrap();
    assert_eq!(reading.columns, ["id", "owner", "data"]);
    for wanted in [3, 3, 1, 0] {
        assert_eq!(reading.page(3).await.unwrap().len(), wanted);
    }
    assert_eq!(f.first("SELECT count(*) FROM rich").await.unwrap().as_deref(), Some("0"));
    assert_eq!(f.first("SELECT NULL AS nothing").await.unwrap(), None);
    let none = f.sandbox.read("ledger", "SELECT id FROM accounts WHERE false").await;
    assert!(none.unwrap().page(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_first_rows_of_an_endless_query_come_at_once() {
    let f = fixture().await;
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1::bigint UNION ALL SELECT i + 1 FROM n)
                   SELECT i, i * 2 FROM n";
    let mut reading = f.sandbox.read("ledger", endless).await.unwrap();
    let rows = reading.page(2).await.unwrap();
    let text = |n: &str| Some(n.to_owned());
    assert_eq!(rows, [[text("1"), text("2")], [text("2"), text("4")]]);
}

#[tokio::test]
async fn attacks_on_a_query_are_refused_by_what_the_statement_is() {
    let f = fixture().await;
    // The other wall is switched off: the reader may do everything on the tables.
    let reader = f.reader().await;
    let mut superuser = sqlx::PgConnection::connect_with(&f.db.superuser()).await.unwrap();
    let grants = format!(
        "GRANT ALL ON ALL TABLES IN SCHEMA ledger, other, eventfabric TO {reader};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA ledger TO {reader};
         GRANT USAGE ON SCHEMA other, eventfabric TO {reader}"
    );
    superuser.execute(AssertSqlSafe(grants)).await.unwrap();
    f.write("INSERT INTO ledger.accounts (id) VALUES (1)").await;
    for sql in ATTACKS {
        let done = f.sandbox.read("ledger", sql).await;
        assert!(matches!(done, Err(SandboxError::Sql(_))), "{sql}: {done:?}");
    }
    assert_eq!(f.first("SELECT count(*) FROM accounts").await.unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn the_readers_role_alone_can_write_and_lock_nothing() {
    let f = fixture().await;
    let reader = f.reader().await;
    let mut conn = f.pool.acquire().await.unwrap();
    for (sql, allowed) in [
        ("SELECT id FROM ledger.accounts", true),
        ("SELECT id FROM ledger.rich", true),
        ("WITH gone AS (DELETE FROM ledger.accounts RETURNING id) SELECT id FROM gone", false),
        ("INSERT INTO ledger.accounts (id) VALUES (7)", false),
        ("SELECT id FROM ledger.accounts FOR UPDATE", false),
        ("SELECT id FROM ledger.accounts FOR KEY SHARE", false),
        ("SELECT nextval('ledger.lines_n_seq')", false),
        ("SELECT setval('ledger.lines_n_seq', 100)", false),
        ("SELECT * FROM eventfabric.events", false),
        ("SELECT * FROM eventfabric.plugin_statements", false),
        ("SELECT * FROM other.secrets", false),
        ("CREATE TABLE ledger.x (a int)", false),
        ("CREATE TABLE public.x (a int)", false),
        ("CREATE FUNCTION eventfabric_calls.x() RETURNS int LANGUAGE sql AS 'SELECT 1'", false),
        ("TRUNCATE ledger.accounts", false),
        ("SELECT pg_read_file('/etc/passwd')", false),
    ] {
        let mut tx = conn.begin().await.unwrap();
        tx.execute(AssertSqlSafe(format!("SET LOCAL ROLE {reader}"))).await.unwrap();
        let done = tx.execute(sql).await;
        assert_eq!(done.is_ok(), allowed, "{sql}: {done:?}");
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_query_that_is_read_slowly_holds_up_no_deploy_no_statement_and_no_query() {
    let f = fixture().await;
    let sql = "SELECT a.id FROM generate_series(1, 100000) AS s LEFT JOIN accounts a ON true";
    let mut slow = f.sandbox.read("ledger", sql).await.unwrap();
    assert_eq!(slow.page(1).await.unwrap().len(), 1);
    // A deploy of another plugin, and a statement that this one has never used.
    let more = ["CREATE TABLE secrets (s text)", "CREATE TABLE more (s text)"];
    let sandbox = eventfabric::sandbox::Sandbox::new(
        eventfabric::db::pool(f.db.options(), 2),
        eventfabric::sandbox::SandboxConfig::default(),
    );
    sandbox.prepare(&description("other", &more)).await.unwrap();
    let mut tx = f.begin().await;
    let known = sandbox.plugin("ledger").await.unwrap();
    known.execute(&mut tx, "INSERT INTO accounts (id) VALUES (1)", vec![]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(f.first("SELECT id FROM accounts").await.unwrap().as_deref(), Some("1"));
    // It still answers from the moment at which it began.
    assert_eq!(slow.page(1).await.unwrap(), [[None]]);
}

#[tokio::test]
async fn a_query_is_seen_by_nobody_and_leaves_nothing_when_it_is_killed() {
    let f = fixture().await;
    let left = || async {
        sqlx::query_scalar::<_, i64>(
            "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'eventfabric\\_reading%')
                  + (SELECT count(*) FROM pg_proc WHERE prosrc LIKE '%generate_series%'
                     OR pg_get_function_sqlbody(oid) LIKE '%generate_series%')",
        )
        .fetch_one(&f.pool)
        .await
        .unwrap()
    };
    let before = left().await;
    let endless = "SELECT generate_series(1, 100000000)";
    let mut reading = f.sandbox.read("ledger", endless).await.unwrap();
    assert_eq!(reading.page(1).await.unwrap().len(), 1);
    assert_eq!(left().await, before);
    let killed: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'FETCH%'",
    )
    .fetch_one(&f.pool)
    .await
    .unwrap();
    assert_eq!(killed, 1);
    assert!(reading.page(1).await.is_err());
    assert_eq!(left().await, before);
}

#[tokio::test]
async fn a_plugin_of_an_older_host_gets_its_reader_at_the_first_query() {
    let f = fixture().await;
    let reader = f.reader().await;
    f.write(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}")).await;
    assert_eq!(f.first("SELECT count(*) FROM rich").await.unwrap().as_deref(), Some("0"));
    // A table of a later migration is the reader's to read, too.
    let steps = [crate::sandbox::TABLES, "CREATE TABLE later (a int)"];
    f.sandbox.prepare(&description("ledger", &steps)).await.unwrap();
    assert_eq!(f.first("SELECT count(*) FROM later").await.unwrap().as_deref(), Some("0"));
}

#[tokio::test]
async fn a_lock_that_another_deploy_holds_is_named_as_the_reason() {
    let f = fixture().await;
    let mut deploy = f.pool.begin().await.unwrap();
    deploy.execute("SELECT pg_advisory_xact_lock(7306374208861037)").await.unwrap();
    let done = f.sandbox.prepare(&description("third", &[])).await;
    let error = done.unwrap_err().to_string();
    assert!(error.contains("another deploy") && error.contains("try again"), "{error}");
}

#[tokio::test]
async fn query_prints_all_rows_or_says_that_there_are_more() {
    let f = fixture().await;
    let fill = "INSERT INTO ledger.accounts (id) SELECT n FROM generate_series(1, 10001) n";
    f.write(fill).await;
    let query = |more: &'static [&'static str]| {
        let mut args = vec!["query", "ledger", "SELECT id FROM accounts ORDER BY id"];
        args.extend(more);
        args
    };
    let cut = run(&f.db, &query(&["--json"])).await.failed(1, &["10000", "--limit"]);
    assert_eq!(cut.json().as_array().map(Vec::len), Some(10_000));
    let all = run(&f.db, &query(&["--json", "--limit", "0"])).await.well().json();
    assert_eq!(all.as_array().map(Vec::len), Some(10_001));
    assert_eq!(all[10_000], json!({"id": "10001"}));
    let exact = run(&f.db, &query(&["--json", "--limit", "10001"])).await.well().json();
    assert_eq!(exact.as_array().map(Vec::len), Some(10_001));
    let table = run(&f.db, &query(&["--limit", "2"])).await.failed(1, &["first 2 rows"]);
    assert!(table.out.contains(" 2 ") && !table.out.contains(" 3 "), "{}", table.out);
    let none = ["query", "ledger", "SELECT id FROM accounts WHERE false", "--json"];
    assert_eq!(run(&f.db, &none).await.well().json(), json!([]));
}

#[tokio::test]
async fn query_says_whether_the_query_the_plugin_or_the_database_is_to_blame() {
    let f = fixture().await;
    for (plugin, sql, words) in [
        ("ledger", "SELEKT 1", "syntax error"),
        ("ledger", "SELECT nothing FROM accounts", "nothing"),
        ("ledger", "DELETE FROM accounts", "only a SELECT"),
        ("ledger", "SELECT 1 / count(*) FROM accounts", "division by zero"),
        ("unknown", "SELECT 1", "unknown"),
    ] {
        run(&f.db, &["query", plugin, sql]).await.failed(4, &[words]);
    }
    let sql = format!("ALTER DATABASE {} SET default_transaction_read_only = on", f.db.name);
    f.write(&sql).await;
    let said = run(&f.db, &["query", "ledger", "SELECT 1"]).await;
    said.failed(1, &["the database is read-only", "standby", "default_transaction_read_only"]);
}

#[tokio::test]
async fn the_host_is_granted_what_it_uses_beside_its_memberships() {
    let f = fixture().await;
    f.sql.execute(&mut f.begin().await, "DELETE FROM accounts", Vec::new()).await.unwrap();
    // Not `has_function_privilege`, which counts what a membership gives.
    let granted: (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM pg_proc p, aclexplode(p.proacl) a
                 WHERE p.pronamespace = 'eventfabric_calls'::regnamespace
                   AND p.prosecdef AND a.grantee = current_user::regrole AND a.privilege_type = 'EXECUTE'),
                (SELECT count(*) FROM pg_namespace n, aclexplode(n.nspacl) a
                 WHERE n.nspname = 'ledger'
                   AND a.grantee = current_user::regrole AND a.privilege_type = 'USAGE')",
    )
    .fetch_one(&f.pool)
    .await
    .unwrap();
    assert_eq!(granted, (1, 1));
}

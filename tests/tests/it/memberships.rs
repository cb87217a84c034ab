//! Sessions that are denied what the host may do. One that looks up its memberships while another one
//! changes some can keep an old list; when, nobody can say, so here a session stands for it that has
//! taken a role with few rights.

use std::time::Duration;

use eventfabric::db::{Tx, pool};
use eventfabric::sandbox::{Sandbox, SandboxConfig, Value};
use eventfabric_tests::{TestDb, database, description};
use sqlx::{AssertSqlSafe, Executor as _, PgPool};

use crate::sandbox::TABLES;

/// A sandbox with a plugin, and its only session.
async fn one_session() -> (TestDb, Sandbox, PgPool) {
    let db = database().await;
    let control = pool(db.options(), 1);
    let sandbox = Sandbox::new(control.clone(), SandboxConfig::default());
    sandbox.prepare(&description("ledger", &[TABLES])).await.unwrap();
    (db, sandbox, control)
}

/// Has the session that is there be denied almost everything.
async fn deny(control: &PgPool) {
    let mut conn = control.acquire().await.unwrap();
    let role: String = sqlx::query_scalar("SELECT exec_role FROM eventfabric.plugin_schemas")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    // What plugins there are is asked for on any session of the pool, before the work begins.
    let sql = format!(
        "GRANT USAGE ON SCHEMA eventfabric TO {role};
         GRANT SELECT ON eventfabric.plugin_schemas TO {role};
         SET ROLE {role}"
    );
    conn.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    let denied = conn.execute("CREATE SCHEMA denied").await.unwrap_err();
    assert!(eventfabric::db::is_denied(&denied), "{denied}");
}

#[tokio::test]
async fn an_operators_query_that_a_stale_session_is_denied_is_answered_by_a_new_one() {
    let (_db, sandbox, control) = one_session().await;
    deny(&control).await;
    let mut reading = sandbox
        .read("ledger", "SELECT 7 FROM accounts RIGHT JOIN (VALUES (1)) AS v ON true")
        .await
        .unwrap();
    assert_eq!(reading.page(10).await.unwrap(), [[Some("7".to_owned())]]);
}

#[tokio::test]
async fn migrations_that_a_stale_session_is_denied_are_made_by_a_new_one() {
    let (_db, sandbox, control) = one_session().await;
    deny(&control).await;
    let steps = [TABLES, "ALTER TABLE accounts ADD x int"];
    let report = sandbox.prepare(&description("ledger", &steps)).await.unwrap();
    assert_eq!(report, [(2, "step 2".to_owned())]);
}

#[tokio::test]
async fn a_statement_that_a_stale_session_is_denied_is_learnt_by_a_new_one() {
    let (db, sandbox, control) = one_session().await;
    let sql = sandbox.plugin("ledger").await.unwrap();
    deny(&control).await;
    let mut tx = Tx::begin(&pool(db.options(), 1), Duration::from_secs(10)).await.unwrap();
    let insert = "INSERT INTO accounts (id) VALUES ($1)";
    assert_eq!(sql.execute(&mut tx, insert, vec![Value::Int64(1)]).await, Ok(1));
    tx.commit().await.unwrap();
}

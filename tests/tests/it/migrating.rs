//! Migrations of a new version of a plugin while another one is active: that one goes on, whatever
//! becomes of the new one.

use eventfabric::sandbox::{SandboxError, SqlErrorKind, Value};

use eventfabric_tests::description;

use crate::sandbox::{Fixture, TABLES, fixture};

const RENAME: &str = "UPDATE accounts SET owner = $1 WHERE id = 1";
const COUNT: &str = "SELECT count(*) FROM accounts WHERE balance >= $1";
const DROP: &str = "ALTER TABLE accounts DROP COLUMN owner";

impl Fixture {
    /// A version of the plugin uses these statements.
    async fn uses(&self, version: &str, statements: &[&str]) {
        let sql = self.sandbox.version("ledger", version).await.unwrap();
        let mut tx = self.begin().await;
        for statement in statements {
            sql.execute(&mut tx, statement, vec![Value::Null]).await.unwrap();
        }
        tx.rollback().await.unwrap();
    }

    async fn migrate(&self, migration: &str, active: &str) -> Result<(), SandboxError> {
        let description = description("ledger", &[TABLES, migration]);
        self.sandbox.prepare_beside(&description, Some(active)).await.map(drop)
    }

    async fn functions(&self) -> Vec<(String, i64)> {
        sqlx::query_as(
            "SELECT s.statement, p.oid::bigint FROM eventfabric.plugin_statements s
             JOIN pg_proc p ON s.function_name LIKE '%' || p.proname || '%' ORDER BY 1",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn a_migration_that_breaks_the_active_version_is_refused_and_leaves_nothing() {
    let f = fixture().await;
    f.uses("v1", &[COUNT, RENAME]).await;
    let before = f.functions().await;
    assert_eq!(before.len(), 2);
    let error = f.migrate(DROP, "v1").await.unwrap_err();
    assert!(matches!(error, SandboxError::Breaks { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(RENAME) && text.contains("\"owner\""), "{text}");
    assert_eq!(f.functions().await, before);
    f.uses("v1", &[COUNT, RENAME]).await;
    // A version that knows the first migration alone is still the newest.
    f.sandbox.prepare(&description("ledger", &[TABLES])).await.unwrap();
}

#[tokio::test]
async fn what_only_an_older_version_used_holds_up_no_migration() {
    let f = fixture().await;
    f.uses("v1", &[COUNT, RENAME]).await;
    f.uses("v2", &[COUNT]).await;
    f.migrate(DROP, "v2").await.unwrap();
    f.uses("v2", &[COUNT]).await;
}

#[tokio::test]
async fn a_migration_that_adds_costs_the_active_version_not_even_an_attempt() {
    let f = fixture().await;
    let sql = f.sandbox.version("ledger", "v1").await.unwrap();
    let mut tx = f.begin().await;
    sql.execute(&mut tx, COUNT, vec![Value::Int64(0)]).await.unwrap();
    tx.commit().await.unwrap();
    f.migrate("ALTER TABLE accounts ADD COLUMN note text", "v1").await.unwrap();
    let mut tx = f.begin().await;
    sql.execute(&mut tx, COUNT, vec![Value::Int64(0)]).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_statement_whose_types_have_changed_is_learnt_again_and_not_misread() {
    let f = fixture().await;
    let sql = f.sandbox.version("ledger", "v1").await.unwrap();
    let insert = "INSERT INTO accounts (id, balance) VALUES (1, $1)";
    let read = "SELECT balance FROM accounts WHERE $1::text IS NOT NULL";
    let mut tx = f.begin().await;
    sql.execute(&mut tx, insert, vec![Value::Int64(7)]).await.unwrap();
    let text = || vec![Value::Text("x".into())];
    assert_eq!(sql.query(&mut tx, read, text()).await.unwrap().rows, [[Value::Int64(7)]]);
    tx.commit().await.unwrap();
    let change = "ALTER TABLE accounts DROP COLUMN double;
                  ALTER TABLE lines DROP COLUMN account; DROP VIEW rich;
                  ALTER TABLE accounts ALTER COLUMN balance TYPE int";
    f.migrate(change, "v1").await.unwrap();
    let mut tx = f.begin().await;
    let error = sql.query(&mut tx, read, text()).await.unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Retryable, "{error}");
    tx.rollback().await.unwrap();
    let mut tx = f.begin().await;
    assert_eq!(sql.query(&mut tx, read, text()).await.unwrap().rows, [[Value::Int32(7)]]);
    tx.rollback().await.unwrap();
}

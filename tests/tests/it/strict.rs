//! A strict sandbox: a version uses what was known when it was deployed.

use std::time::Duration;

use eventfabric::db::Tx;
use eventfabric::sandbox::{Made, PluginSql, Sandbox, SandboxConfig, SqlError, SqlErrorKind};
use eventfabric_tests::description;
use sqlx::Executor as _;

use crate::cli::run;
use crate::sandbox::{Fixture, TABLES, fixture};

const COUNT: &str = "SELECT count(*) FROM accounts";
const CLEAR: &str = "DELETE FROM accounts";

impl Fixture {
    async fn runs(&self, sql: &PluginSql, statement: &str) -> Result<u64, SqlError> {
        let mut tx = Tx::begin(&self.pool, Duration::from_secs(10)).await.unwrap();
        let done = sql.execute(&mut tx, statement, vec![]).await;
        tx.rollback().await.unwrap();
        done
    }
}

#[tokio::test]
async fn a_version_uses_what_it_used_on_trial_and_what_an_operator_adds() {
    let f = fixture().await;
    let config = SandboxConfig { strict: true, ..SandboxConfig::default() };
    let strict = Sandbox::new(eventfabric::db::pool(f.db.options(), 2), config);
    // On trial, before the version is active.
    f.runs(&strict.learning("ledger", "v1").await.unwrap(), COUNT).await.unwrap();
    let sql = strict.version("ledger", "v1").await.unwrap();
    assert_eq!(f.runs(&sql, COUNT).await, Ok(1));
    let refused = f.runs(&sql, CLEAR).await.unwrap_err();
    assert_eq!(refused.kind, SqlErrorKind::Denied);
    assert!(refused.to_string().contains("`eventfabric plugin learn ledger SQL`"), "{refused}");
    // What another version has used is not this one's.
    f.runs(&strict.learning("ledger", "v0").await.unwrap(), CLEAR).await.unwrap();
    assert_eq!(f.runs(&sql, CLEAR).await.unwrap_err().kind, SqlErrorKind::Denied);
    // A migration drops the functions, and takes nothing from what is known; nor does a rebuild.
    let steps = [TABLES, "ALTER TABLE accounts DROP COLUMN owner"];
    let ledger = description("ledger", &steps);
    strict.prepare(&ledger).await.unwrap();
    let sql = strict.version("ledger", "v1").await.unwrap();
    assert_eq!(f.runs(&sql, COUNT).await, Ok(1));
    let shadow = strict.prepare_shadow(&ledger, "v1", &Made::ByTheSame).await.unwrap();
    assert_eq!(f.runs(&shadow, COUNT).await, Ok(1));
    assert_eq!(f.runs(&shadow, CLEAR).await.unwrap_err().kind, SqlErrorKind::Denied);
    f.pool
        .execute(
            "WITH v AS (INSERT INTO eventfabric.plugin_versions
                            (sha256, plugin_name, bytes, description)
                        VALUES ('v1', 'ledger', '', '{}'))
             INSERT INTO eventfabric.projections (projection_name, mode, active_sha256)
             VALUES ('ledger', 'catch-up', 'v1')",
        )
        .await
        .unwrap();
    let bad = run(&f.db, &["plugin", "learn", "ledger", "SELECT now()"]).await;
    bad.failed(4, &["the clock is not available"]);
    let said = run(&f.db, &["plugin", "learn", "ledger", CLEAR]).await.well();
    assert!(said.out.contains("ledger has 2 statements now"), "{}", said.out);
    assert_eq!(f.runs(&sql, CLEAR).await, Ok(0));
}

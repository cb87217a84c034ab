//! The roles of plugins: that they may do exactly what they should, and that a host needs to make none.

use std::time::Duration;

use eventfabric::db::Tx;
use eventfabric::sandbox::{Inexact, Made, Sandbox, SandboxConfig, SandboxError, Value, inexact};
use eventfabric::store::migrate::migrate;
use eventfabric_tests::{bare_database, description};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

use crate::cli::run_at;
use crate::sandbox::{Fixture, TABLES, fixture};

async fn as_superuser(options: &PgConnectOptions, sql: &str) {
    let mut conn = PgConnection::connect_with(options).await.unwrap();
    conn.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
}

/// What is not as it should be, beside what PostgreSQL gives everybody.
async fn wrong(pool: &PgPool) -> Vec<Inexact> {
    inexact(pool).await.unwrap().into_iter().filter(|inexact| !inexact.usual).collect()
}

impl Fixture {
    async fn exec(&self) -> String {
        sqlx::query_scalar(
            "SELECT exec_role FROM eventfabric.plugin_schemas WHERE plugin_name = 'ledger'",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn each_right_too_much_or_missing_is_told_with_the_statement_that_mends_it() {
    let f = fixture().await;
    assert_eq!(wrong(&f.pool).await, []);
    let exec = f.exec().await;
    let (root, other) = (exec.strip_suffix('x').unwrap(), exec.replace("_ledger_x", "_other_x"));
    let deeds = [
        format!("ALTER ROLE {exec} CREATEDB LOGIN"),
        format!("ALTER ROLE {root}o BYPASSRLS"),
        format!("GRANT pg_read_all_data TO {exec}"),
        format!("GRANT {root}o TO {other}"),
        format!("ALTER ROLE {exec} SET statement_timeout = 0"),
        format!("GRANT SELECT ON eventfabric.events TO {exec}"),
        format!("GRANT SELECT (payload) ON eventfabric.events TO {root}r"),
        format!("GRANT USAGE ON SCHEMA eventfabric TO {exec}"),
        format!("GRANT TRUNCATE ON ledger.accounts TO {exec}"),
        format!("GRANT SELECT ON ledger.accounts TO {exec} WITH GRANT OPTION"),
        format!("GRANT CREATE ON DATABASE {} TO {root}o", f.db.name),
        format!("GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO {exec}"),
        format!("REVOKE INSERT ON ledger.lines FROM {exec}"),
        format!("REVOKE USAGE ON SEQUENCE ledger.lines_n_seq FROM {exec}"),
        format!("REVOKE USAGE ON SCHEMA ledger FROM {root}r"),
        format!("GRANT USAGE ON LANGUAGE plpgsql TO {exec}"),
        "GRANT CREATE ON SCHEMA public TO PUBLIC".to_owned(),
        format!("GRANT CREATE ON DATABASE {} TO PUBLIC", f.db.name),
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO PUBLIC".to_owned(),
        "GRANT USAGE ON SCHEMA eventfabric_calls TO PUBLIC".to_owned(),
    ];
    for deed in &deeds {
        as_superuser(&f.db.superuser(), deed).await;
        let found = wrong(&f.pool).await;
        assert!(!found.is_empty(), "{deed}");
        for inexact in &found {
            as_superuser(&f.db.superuser(), &inexact.statement).await;
        }
        assert_eq!(wrong(&f.pool).await, [], "{deed}");
    }
}

#[tokio::test]
async fn a_host_mends_what_it_may_and_goes_on_with_the_rest() {
    let f = fixture().await;
    let exec = f.exec().await;
    let own = format!(
        "REVOKE ALL ON ledger.accounts FROM {exec}; GRANT TRUNCATE ON ledger.lines TO {exec}"
    );
    f.pool.execute(sqlx::raw_sql(AssertSqlSafe(own))).await.unwrap();
    as_superuser(
        &f.db.superuser(),
        &format!("GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO {exec}"),
    )
    .await;
    assert_eq!(wrong(&f.pool).await.len(), 6);
    f.sandbox.mend().await.unwrap();
    let left = wrong(&f.pool).await;
    assert!(left.len() == 1 && left[0].statement.contains("pg_read_file"), "{left:?}");
    let undo = format!(
        "{}; REVOKE EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) FROM {exec}",
        left[0].statement
    );
    as_superuser(&f.db.superuser(), &undo).await;
}

#[tokio::test]
async fn plugins_are_not_run_by_a_superuser_who_was_not_told_to() {
    let f = fixture().await;
    let pool = || eventfabric::db::pool(f.db.superuser(), 2);
    let refused = Sandbox::new(pool(), SandboxConfig::default());
    for error in [
        refused.plugin("ledger").await.map(drop).unwrap_err(),
        refused.prepare(&description("ledger", &[TABLES])).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, SandboxError::Superuser(_)), "{error}");
        assert!(error.to_string().contains("sandbox.allow_superuser"), "{error}");
    }
    let told = SandboxConfig { allow_superuser: true, ..SandboxConfig::default() };
    Sandbox::new(pool(), told).plugin("ledger").await.unwrap();
}

/// A managed server: an administrator makes roles, and the host none.
#[tokio::test]
async fn a_host_that_may_make_no_roles_does_it_all_with_those_that_were_made_for_it() {
    let db = bare_database().await;
    let (superuser, name) = (db.superuser(), &db.name);
    let host = format!("plain_{}", name.strip_prefix("test_").unwrap());
    let login = format!(
        "CREATE ROLE {host} LOGIN PASSWORD 'plain'; GRANT CREATE ON DATABASE {name} TO {host}"
    );
    as_superuser(&superuser, &login).await;
    let options = db.options().username(&host).password("plain");
    let pool = eventfabric::db::pool(options.clone(), 4);
    migrate(&pool).await.unwrap();
    let sandbox = Sandbox::new(eventfabric::db::pool(options, 3), SandboxConfig::default());
    let ledger = description("ledger", &[TABLES]);
    let error = sandbox.prepare(&ledger).await.unwrap_err();
    assert!(error.to_string().contains("`eventfabric plugin roles ledger`"), "{error}");

    let owner = db.url();
    let url = format!("postgres://{host}:plain@{}", owner.split_once('@').unwrap().1);
    let script = run_at(&url, &["plugin", "roles", "ledger", "board"]).await.well().out;
    for _ in 0..2 {
        as_superuser(&superuser, &script).await;
    }
    sandbox.prepare(&ledger).await.unwrap();
    sandbox.prepare(&description("board", &["CREATE TABLE marks (n int)"])).await.unwrap();
    pool.execute("INSERT INTO board.marks VALUES (7)").await.unwrap();
    let grants = ["read:board.marks".parse().unwrap()];
    sandbox.change_grants("ledger", &grants, &[], None).await.unwrap();
    let insert = "INSERT INTO accounts (id) SELECT n FROM board.marks WHERE n < $1";
    let use_it = async |sql: &eventfabric::sandbox::PluginSql| {
        let mut tx = Tx::begin(&pool, Duration::from_secs(10)).await.unwrap();
        let done = sql.execute(&mut tx, insert, vec![Value::Int32(100)]).await;
        tx.commit().await.unwrap();
        done
    };
    assert_eq!(use_it(&*sandbox.version("ledger", "v1").await.unwrap()).await, Ok(1));
    for keep_old in [true, false, true] {
        let shadow = sandbox.prepare_shadow(&ledger, "v1", &Made::ByTheSame).await.unwrap();
        assert_eq!(use_it(&shadow).await, Ok(1));
        let mut swap = Tx::begin(&pool, Duration::from_secs(10)).await.unwrap();
        sandbox
            .replace(swap.conn(), "ledger", &Made::ByTheSame, keep_old, Duration::from_secs(1))
            .await
            .unwrap();
        swap.commit().await.unwrap();
        let sql = sandbox.version("ledger", "v1").await.unwrap();
        let mut tx = Tx::begin(&pool, Duration::from_secs(10)).await.unwrap();
        assert_eq!(sql.execute(&mut tx, "DELETE FROM accounts", vec![]).await, Ok(1));
        tx.commit().await.unwrap();
        let mut reading = sandbox.read("ledger", "SELECT count(*) FROM accounts").await.unwrap();
        assert_eq!(reading.page(1).await.unwrap(), [[Some("0".to_owned())]]);
    }
    for _ in 0..2 {
        let scratch = sandbox.prepare_scratch(&ledger).await.unwrap();
        assert_eq!(use_it(&scratch).await, Ok(1));
        sandbox.drop_scratch("ledger").await.unwrap();
    }
    let steps = [TABLES, "ALTER TABLE accounts ADD x int"];
    sandbox.prepare(&description("ledger", &steps)).await.unwrap();
    assert_eq!(use_it(&*sandbox.version("ledger", "v1").await.unwrap()).await, Ok(1));
    assert_eq!(wrong(&pool).await, []);
    pool.close().await;
    sandbox.close().await;
}

//! What an operator lets plugins use beyond their own tables, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use eventfabric::db::Tx;
use eventfabric::sandbox::{
    Grant, Made, PluginSql, Sandbox, SandboxConfig, SandboxError, SqlError, SqlErrorKind, Value,
};
use eventfabric_tests::{TestDb, database, description};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgPool};

use crate::cli::run;

const CARRIERS: &str = "CREATE TABLE carriers (code text PRIMARY KEY, name text, fleet int);
                        CREATE VIEW big AS SELECT code FROM carriers WHERE fleet > 100";
const READ: &str = "SELECT name FROM public.airports WHERE code = $1";
const JOIN: &str = "SELECT c.name FROM carriers.carriers c WHERE c.code = $1";

/// A plugin that lends, one that borrows, and an operator's tables and functions.
struct World {
    db: TestDb,
    pool: PgPool,
    sandbox: Sandbox,
    sql: Arc<PluginSql>,
}

impl World {
    async fn new() -> Self {
        let db = database().await;
        let pool = eventfabric::db::pool(db.options(), 4);
        let sandbox =
            Sandbox::new(eventfabric::db::pool(db.options(), 3), SandboxConfig::default());
        sandbox.prepare(&description("carriers", &[CARRIERS])).await.unwrap();
        sandbox
            .prepare(&description("owners", &["CREATE TABLE owners (name text)"]))
            .await
            .unwrap();
        let world = Self { sql: sandbox.version("owners", "v1").await.unwrap(), db, pool, sandbox };
        world
            .run(
                "CREATE TABLE public.airports (code text PRIMARY KEY, name text);
                 CREATE TABLE public.secrets (s text);
                 INSERT INTO public.airports VALUES ('OSL', 'Gardermoen');
                 INSERT INTO carriers.carriers VALUES ('DY', 'Norwegian', 90);
                 CREATE FUNCTION public.distance(float8, float8) RETURNS float8
                     LANGUAGE sql IMMUTABLE RETURN abs($1 - $2);
                 CREATE FUNCTION public.distance(int, int) RETURNS int
                     LANGUAGE sql IMMUTABLE RETURN abs($1 - $2);
                 CREATE FUNCTION public.all_events() RETURNS bigint LANGUAGE sql SECURITY DEFINER
                     STABLE RETURN (SELECT count(*) FROM eventfabric.events)",
            )
            .await;
        world
    }

    async fn run(&self, sql: &str) {
        self.pool.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
    }

    async fn superuser(&self, sql: &str) {
        let mut conn = sqlx::PgConnection::connect_with(&self.db.superuser()).await.unwrap();
        conn.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
    }

    async fn add(&self, grants: &[&str]) -> Result<Vec<String>, SandboxError> {
        self.sandbox.change_grants("owners", &parse(grants), &[], Some("ada")).await
    }

    async fn remove(&self, grants: &[&str]) -> Result<Vec<String>, SandboxError> {
        self.sandbox.change_grants("owners", &[], &parse(grants), Some("ada")).await
    }

    /// Another host.
    async fn other(&self) -> Arc<PluginSql> {
        self.sandbox.version("owners", "v1").await.unwrap()
    }

    /// The rights of the borrower's roles on what is not in its schema.
    async fn rights(&self) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT right(g.rolname, 1) || ' ' || a.privilege_type || ' ' || o.name
             FROM (SELECT oid::regclass::text, relacl, relnamespace FROM pg_class
                   UNION ALL SELECT oid::regprocedure::text, proacl, pronamespace FROM pg_proc
                   UNION ALL SELECT nspname, nspacl, oid FROM pg_namespace) AS o (name, acl, home),
                  aclexplode(o.acl) a JOIN pg_roles g ON g.oid = a.grantee
             WHERE g.rolname LIKE 'ef\\_%\\_owners%'
               AND o.home::regnamespace::text NOT LIKE 'owners%'
               AND o.home <> 'eventfabric_calls'::regnamespace
             ORDER BY 1",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// The active version of the borrower.
    async fn activate(&self, version: &str) {
        self.run(&format!(
            "INSERT INTO eventfabric.plugin_versions (sha256, plugin_name, bytes, description)
             VALUES ('{version}', 'owners', '', '{{}}');
             INSERT INTO eventfabric.projections (projection_name, mode, active_sha256)
             VALUES ('owners', 'catch-up', '{version}')"
        ))
        .await;
    }
}

fn parse(grants: &[&str]) -> Vec<Grant> {
    grants.iter().map(|grant| grant.parse().unwrap()).collect()
}

/// Runs a statement with a text as its parameter, where it takes one.
async fn ask(pool: &PgPool, sql: &PluginSql, text: &str, param: &str) -> Result<Value, SqlError> {
    let mut tx = Tx::begin(pool, Duration::from_secs(10)).await.unwrap();
    let params = if text.contains("$1") { vec![Value::Text(param.into())] } else { vec![] };
    let rows = sql.query(&mut tx, text, params).await;
    tx.rollback().await.unwrap();
    Ok(rows?.rows.remove(0).remove(0))
}

#[expect(clippy::result_large_err, reason = "it is compared with what a call answers")]
fn text(text: &str) -> Result<Value, SqlError> {
    Ok(Value::Text(text.to_owned()))
}

fn kind(answer: Result<Value, SqlError>) -> SqlErrorKind {
    answer.expect_err("it is refused").kind
}

#[tokio::test]
async fn a_granted_table_is_read_until_the_grant_is_gone_and_then_no_host_reads_it() {
    let w = World::new().await;
    let refused = ask(&w.pool, &w.sql, READ, "OSL").await.unwrap_err();
    assert_eq!(refused.kind, SqlErrorKind::Denied);
    assert!(refused.message.contains("public.airports"), "{refused}");
    assert!(refused.message.contains("eventfabric plugin grants"), "{refused}");
    assert_eq!(w.add(&["read:public.airports"]).await.unwrap(), [""; 0]);
    assert_eq!(ask(&w.pool, &w.sql, READ, "OSL").await, text("Gardermoen"));
    assert_eq!(
        kind(ask(&w.pool, &w.sql, "SELECT s FROM public.secrets", "").await),
        SqlErrorKind::Denied
    );
    let rights = [
        "r SELECT public.airports",
        "r USAGE public",
        "x SELECT public.airports",
        "x USAGE public",
    ];
    assert_eq!(w.rights().await, rights);
    let known = w.sql.manifest();
    assert_eq!(known[0].reads, ["public.airports"]);
    assert_eq!(known[0].grants, ["read public.airports"]);
    // An operator's query of the plugin's tables has the same.
    let mut reading = w.sandbox.read("owners", "SELECT name FROM public.airports").await.unwrap();
    assert_eq!(reading.page(1).await.unwrap(), [[Some("Gardermoen".to_owned())]]);
    drop(reading);
    let other = w.other().await;
    assert_eq!(ask(&w.pool, &other, READ, "OSL").await, text("Gardermoen"));

    assert_eq!(w.remove(&["read:public.airports"]).await.unwrap(), [""; 0]);
    assert_eq!(w.rights().await, [""; 0]);
    for sql in [&w.sql, &other] {
        // Its function is gone; what would make it again refuses.
        assert_eq!(kind(ask(&w.pool, sql, READ, "OSL").await), SqlErrorKind::Retryable);
        assert_eq!(kind(ask(&w.pool, sql, READ, "OSL").await), SqlErrorKind::Denied);
    }
    let gone = w.remove(&["read:public.airports"]).await.unwrap_err();
    assert!(matches!(gone, SandboxError::NotGranted { .. }), "{gone}");
}

#[tokio::test]
async fn a_granted_function_is_called_and_neither_its_namesake_nor_a_definer() {
    let w = World::new().await;
    let call = "SELECT public.distance(1.5::float8, 4)";
    let namesake = "SELECT public.distance(1, 4)";
    let definer = "SELECT public.all_events()";
    for statement in [call, namesake, definer] {
        assert_eq!(kind(ask(&w.pool, &w.sql, statement, "").await), SqlErrorKind::Denied);
    }
    w.add(&["call:public.distance(float8, float8)"]).await.unwrap();
    let given = w.sandbox.grants("owners").await.unwrap();
    let target = "public.distance(double precision, double precision)";
    assert_eq!(
        (given[0].grant.target.as_str(), given[0].granted_by.as_deref()),
        (target, Some("ada"))
    );
    assert_eq!(ask(&w.pool, &w.sql, call, "").await, Ok(Value::Float64(2.5)));
    for statement in [namesake, definer] {
        assert_eq!(kind(ask(&w.pool, &w.sql, statement, "").await), SqlErrorKind::Denied);
    }
    let plain = w.add(&["call:public.all_events()"]).await.unwrap_err();
    assert!(plain.to_string().contains("call-definer:"), "{plain}");
    w.add(&["call-definer:public.all_events()"]).await.unwrap();
    assert_eq!(ask(&w.pool, &w.sql, definer, "").await, Ok(Value::Int64(0)));
    // Everybody may execute a function, so here it is the first wall that follows.
    let other = w.other().await;
    w.remove(&["call:public.distance(double precision,double precision)"]).await.unwrap();
    assert_eq!(kind(ask(&w.pool, &other, call, "").await), SqlErrorKind::Retryable);
    assert_eq!(kind(ask(&w.pool, &other, call, "").await), SqlErrorKind::Denied);
    assert_eq!(ask(&w.pool, &other, definer, "").await, Ok(Value::Int64(0)));
}

#[tokio::test]
async fn what_is_nobodys_to_give_is_refused_with_a_reason() {
    let w = World::new().await;
    w.run(
        "CREATE PROCEDURE public.work() LANGUAGE sql AS 'SELECT 1'; CREATE SEQUENCE public.turns",
    )
    .await;
    w.sandbox
        .prepare_shadow(&description("carriers", &[CARRIERS]), "v1", &Made::ByTheSame)
        .await
        .unwrap();
    for (grant, words) in [
        ("read:eventfabric.events", "the host's"),
        ("read:eventfabric.plugin_grants", "the host's"),
        ("call:eventfabric.guard_events()", "the host's"),
        ("read:eventfabric.*", "the host's"),
        ("read:pg_catalog.pg_roles", "server's own"),
        ("read:pg_roles", "server's own"),
        ("read:information_schema.tables", "server's own"),
        ("call:pg_catalog.pg_sleep(float8)", "harmless"),
        ("call:random()", "harmless"),
        ("read:owners.owners", "the plugin's own"),
        ("read:owners.*", "the plugin's own"),
        ("read:carriers__rebuild.carriers", "of a rebuild"),
        ("read:carriers__rebuild.*", "of a rebuild"),
        ("read:public.*", "only a plugin's schema"),
        ("read:public.nothing", "no such table"),
        ("read:nobody.*", "no such table, view or schema"),
        ("read:airports", "no such table"),
        ("read:public.turns", "no table and no view"),
        ("call:public.distance(numeric)", "no such function"),
        ("call:public.distance", "parenthes"),
        ("call:public.work()", "procedure"),
        ("read:a.b.c.d", "improper"),
    ] {
        let error = w.add(&["read:public.airports", grant]).await.unwrap_err();
        assert!(matches!(error, SandboxError::Grant { .. }), "{grant}: {error}");
        assert!(error.to_string().contains(words), "{grant}: {error}");
    }
    assert_eq!(w.sandbox.grants("owners").await.unwrap(), []);
}

#[tokio::test]
async fn a_whole_schema_of_a_plugin_has_its_later_tables_too() {
    let w = World::new().await;
    w.add(&["read:carriers.*"]).await.unwrap();
    assert_eq!(ask(&w.pool, &w.sql, JOIN, "DY").await, text("Norwegian"));
    let big = "SELECT count(*) FROM carriers.big";
    assert_eq!(ask(&w.pool, &w.sql, big, "").await, Ok(Value::Int64(0)));
    let steps = [CARRIERS, "CREATE TABLE routes (code text)"];
    w.sandbox.prepare(&description("carriers", &steps)).await.unwrap();
    let later = "SELECT count(*) FROM carriers.routes";
    assert_eq!(ask(&w.pool, &w.sql, later, "").await, Ok(Value::Int64(0)));
    w.remove(&["read:carriers.*"]).await.unwrap();
    assert_eq!(w.rights().await, [""; 0]);
}

#[tokio::test]
async fn a_grant_can_be_given_before_its_plugin_is_deployed() {
    let w = World::new().await;
    let grants = parse(&["read:public.airports"]);
    w.sandbox.change_grants("early", &grants, &[], None).await.unwrap();
    w.sandbox.prepare(&description("early", &["CREATE TABLE t ()"])).await.unwrap();
    let sql = w.sandbox.plugin("early").await.unwrap();
    assert_eq!(ask(&w.pool, &sql, READ, "OSL").await, text("Gardermoen"));
}

#[tokio::test]
async fn a_host_passes_on_what_it_has_and_names_what_it_lacks() {
    let w = World::new().await;
    w.superuser(
        "CREATE SCHEMA bank; CREATE TABLE bank.rates AS SELECT 7 AS rate;
         GRANT USAGE ON SCHEMA bank TO eventfabric WITH GRANT OPTION;
         GRANT SELECT ON bank.rates TO eventfabric",
    )
    .await;
    for plugin in ["owners", "early"] {
        let grants = parse(&["read:bank.rates"]);
        let error = w.sandbox.change_grants(plugin, &grants, &[], None).await.unwrap_err();
        let lacks = "GRANT SELECT ON TABLE bank.rates TO eventfabric WITH GRANT OPTION";
        assert!(error.to_string().ends_with(lacks), "{error}");
        assert_eq!(w.sandbox.grants(plugin).await.unwrap(), []);
    }
    w.superuser("GRANT SELECT ON TABLE bank.rates TO eventfabric WITH GRANT OPTION").await;
    w.add(&["read:bank.rates"]).await.unwrap();
    let rate = "SELECT rate FROM bank.rates";
    assert_eq!(ask(&w.pool, &w.sql, rate, "").await, Ok(Value::Int32(7)));
    // What an administrator gives by himself, he takes away himself, and is told so.
    let role = w.rights().await;
    assert!(role.contains(&"x SELECT bank.rates".to_owned()), "{role:?}");
    w.superuser(
        "DO $$ BEGIN EXECUTE (SELECT format('GRANT SELECT ON bank.rates TO %I', exec_role)
         FROM eventfabric.plugin_schemas WHERE schema_name = 'owners'); END $$",
    )
    .await;
    let left = w.remove(&["read:bank.rates"]).await.unwrap();
    assert!(
        matches!(&left[..], [one] if one.starts_with("REVOKE SELECT ON TABLE bank.rates FROM")),
        "{left:?}"
    );
    assert_eq!(kind(ask(&w.pool, &w.sql, rate, "").await), SqlErrorKind::Retryable);
    assert_eq!(kind(ask(&w.pool, &w.sql, rate, "").await), SqlErrorKind::Denied);
}

#[tokio::test]
async fn a_granted_table_that_was_dropped_and_made_again_is_read_again() {
    let w = World::new().await;
    w.add(&["read:public.airports"]).await.unwrap();
    assert_eq!(ask(&w.pool, &w.sql, READ, "OSL").await, text("Gardermoen"));
    w.run(
        "DROP TABLE public.airports CASCADE;
         CREATE TABLE public.airports (code text, name text);
         INSERT INTO public.airports VALUES ('OSL', 'Fornebu')",
    )
    .await;
    assert_eq!(kind(ask(&w.pool, &w.sql, READ, "OSL").await), SqlErrorKind::Retryable);
    assert_eq!(ask(&w.pool, &w.sql, READ, "OSL").await, text("Fornebu"));
}

#[tokio::test]
async fn a_lender_that_adds_columns_costs_its_borrower_nothing() {
    let w = World::new().await;
    w.add(&["read:carriers.carriers"]).await.unwrap();
    assert_eq!(ask(&w.pool, &w.sql, JOIN, "DY").await, text("Norwegian"));
    w.activate("v1").await;
    let steps = [CARRIERS, "ALTER TABLE carriers ADD COLUMN country text"];
    w.sandbox.prepare(&description("carriers", &steps)).await.unwrap();
    assert_eq!(ask(&w.pool, &w.sql, JOIN, "DY").await, text("Norwegian"));
}

#[tokio::test]
async fn a_lender_does_not_take_away_what_the_active_version_of_a_borrower_reads() {
    let w = World::new().await;
    w.add(&["read:carriers.carriers"]).await.unwrap();
    assert_eq!(ask(&w.pool, &w.sql, JOIN, "DY").await, text("Norwegian"));
    let steps = [CARRIERS, "ALTER TABLE carriers RENAME COLUMN name TO title"];
    let rename = description("carriers", &steps);
    w.activate("v1").await;
    let error = w.sandbox.prepare(&rename).await.unwrap_err();
    assert!(matches!(error, SandboxError::BreaksBorrower { .. }), "{error}");
    assert!(error.to_string().contains("`owners` reads the tables of `carriers`"), "{error}");
    assert_eq!(ask(&w.pool, &w.sql, JOIN, "DY").await, text("Norwegian"));
    // Without the grant nothing holds it up.
    w.remove(&["read:carriers.carriers"]).await.unwrap();
    w.sandbox.prepare(&rename).await.unwrap();
}

#[tokio::test]
async fn a_rebuilt_lender_is_read_in_its_new_tables_even_by_who_waits_for_them() {
    let w = World::new().await;
    w.add(&["read:carriers.*"]).await.unwrap();
    assert_eq!(ask(&w.pool, &w.sql, JOIN, "DY").await, text("Norwegian"));
    w.activate("v1").await;
    for keep_old in [true, false] {
        let carriers = description("carriers", &[CARRIERS]);
        w.sandbox.prepare_shadow(&carriers, "c1", &Made::ByTheSame).await.unwrap();
        w.run("INSERT INTO carriers__rebuild.carriers VALUES ('DY', 'Norwegian Air', 1)").await;
        let mut swap = Tx::begin(&w.pool, Duration::from_secs(10)).await.unwrap();
        w.sandbox
            .replace(swap.conn(), "carriers", &Made::ByTheSame, keep_old, Duration::from_secs(1))
            .await
            .unwrap();
        // In the middle of its batch, and has to wait for the tables.
        let (pool, sql) = (w.pool.clone(), w.sql.clone());
        let waits = tokio::spawn(async move { ask(&pool, &sql, JOIN, "DY").await });
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IS NOT NULL
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let mut seen = 0;
        while seen == 0 {
            seen = sqlx::query_scalar::<_, i64>(waiting).fetch_one(&w.pool).await.unwrap();
        }
        swap.commit().await.unwrap();
        let was = if keep_old { "Norwegian" } else { "Norwegian Air" };
        match waits.await.unwrap() {
            Err(error) => assert_eq!(error.kind, SqlErrorKind::Retryable, "{error}"),
            answer => assert_eq!(answer, text(was)),
        }
        assert_eq!(ask(&w.pool, &w.sql, JOIN, "DY").await, text("Norwegian Air"));
        // Who waited has come to the end; now nobody reads what was replaced.
        w.add(&[]).await.unwrap();
        let rights = w.rights().await;
        for right in ["x SELECT carriers.carriers", "x SELECT carriers.big", "x USAGE carriers"] {
            assert!(rights.contains(&right.to_owned()), "{rights:?}");
        }
        assert!(!rights.iter().any(|right| right.contains("__old")), "{rights:?}");
    }
}

#[tokio::test]
async fn a_borrower_is_rebuilt_with_its_grants() {
    let w = World::new().await;
    let (owners, grants) =
        (description("owners", &["CREATE TABLE owners (name text)"]), ["read:public.airports"]);
    w.add(&grants).await.unwrap();
    let insert = "INSERT INTO owners SELECT name FROM public.airports RETURNING name";
    assert_eq!(ask(&w.pool, &w.sql, insert, "").await, text("Gardermoen"));
    let before = w.rights().await;
    let shadow = w.sandbox.prepare_shadow(&owners, "v1", &Made::ByTheSame).await.unwrap();
    assert_eq!(ask(&w.pool, &shadow, insert, "").await, text("Gardermoen"));
    // What is taken away meanwhile is taken away from both.
    w.remove(&grants).await.unwrap();
    assert_eq!(w.rights().await, [""; 0]);
    assert_eq!(kind(ask(&w.pool, &shadow, insert, "").await), SqlErrorKind::Retryable);
    assert_eq!(kind(ask(&w.pool, &shadow, insert, "").await), SqlErrorKind::Denied);
    w.add(&grants).await.unwrap();
    // A session that has just looked for the function in vain may need a new transaction to see it.
    let answer = match ask(&w.pool, &shadow, insert, "").await {
        Err(error) if error.kind == SqlErrorKind::Retryable => {
            ask(&w.pool, &shadow, insert, "").await
        }
        answer => answer,
    };
    assert_eq!(answer, text("Gardermoen"));
    let mut swap = Tx::begin(&w.pool, Duration::from_secs(10)).await.unwrap();
    w.sandbox
        .replace(swap.conn(), "owners", &Made::ByTheSame, true, Duration::from_secs(1))
        .await
        .unwrap();
    swap.commit().await.unwrap();
    let other = w.other().await;
    assert_eq!(ask(&w.pool, &other, insert, "").await, text("Gardermoen"));
    assert_eq!(w.rights().await, before);
}

#[tokio::test]
async fn the_command_gives_takes_and_shows() {
    let w = World::new().await;
    fn grants<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&["plugin", "grants", "owners"], more].concat()
    }
    let given = run(
        &w.db,
        &grants(&[
            "--add",
            "read:public.airports",
            "--add",
            "call:public.distance(int, int)",
            "--by",
            "ada",
            "--json",
        ]),
    )
    .await
    .well()
    .json();
    assert_eq!(given[0]["kind"], "call");
    assert_eq!(given[0]["target"], "public.distance(integer, integer)");
    assert_eq!(
        (&given[1]["target"], &given[1]["granted_by"]),
        (&"public.airports".into(), &"ada".into())
    );
    assert_eq!(ask(&w.pool, &w.sql, READ, "OSL").await, text("Gardermoen"));
    let update = "UPDATE owners SET name = a.name FROM public.airports a RETURNING a.name";
    let mut tx = Tx::begin(&w.pool, Duration::from_secs(10)).await.unwrap();
    w.sql.execute(&mut tx, update, vec![]).await.unwrap();
    tx.rollback().await.unwrap();
    w.activate("v1").await;
    let shown = run(&w.db, &["plugin", "show", "owners", "--json"]).await.well().json();
    let statement = &shown["statements"][1];
    assert_eq!(statement["text"], update);
    assert_eq!(statement["reads"], serde_json::json!(["public.airports"]));
    assert_eq!(statement["writes"], serde_json::json!(["owners"]));
    assert_eq!(statement["grants"], serde_json::json!(["read public.airports"]));
    let text = run(&w.db, &["plugin", "show", "owners"]).await.well().out;
    assert!(text.contains("read:public.airports"), "{text}");
    let left = run(&w.db, &grants(&["--remove", "read:public.airports"])).await.well().out;
    assert!(!left.contains("airports") && left.contains("call:public.distance"), "{left}");
    run(&w.db, &grants(&["--add", "event-store:all"])).await.failed(2, &["`event-store`"]);
    run(&w.db, &grants(&["--add", "read:eventfabric.events"])).await.failed(4, &["the host's"]);
    run(&w.db, &grants(&["--remove", "read:public.x"])).await.failed(4, &["no grant"]);
}

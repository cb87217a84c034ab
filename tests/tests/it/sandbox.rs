//! What a plugin's SQL can do and what it cannot.

use std::sync::Arc;
use std::time::Duration;

use eventfabric::db::Tx;
use eventfabric::sandbox::{
    Call, PluginSql, Sandbox, SandboxConfig, SandboxError, SqlErrorKind, Value,
};
use eventfabric_tests::{TestDb, database, description};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgPool};

pub const TABLES: &str = "
    CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE TABLE accounts (
        id bigint PRIMARY KEY, owner text, balance bigint NOT NULL DEFAULT 0, mood mood,
        double bigint GENERATED ALWAYS AS (balance * 2) STORED, opened timestamptz, data jsonb);
    CREATE TABLE lines (
        n bigserial PRIMARY KEY, account bigint REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
        amount bigint CHECK (amount <> 13));
    CREATE INDEX lines_account ON lines (account) WHERE amount > 0;
    CREATE VIEW rich AS SELECT id FROM accounts WHERE balance > 100;";

pub struct Fixture {
    pub db: TestDb,
    pub pool: PgPool,
    pub sandbox: Sandbox,
    pub sql: Arc<PluginSql>,
}

pub async fn fixture() -> Fixture {
    let db = database().await;
    let sandbox = Sandbox::new(eventfabric::db::pool(db.options(), 2), SandboxConfig::default());
    sandbox.prepare(&description("ledger", &[TABLES])).await.unwrap();
    sandbox.prepare(&description("other", &["CREATE TABLE secrets (s text)"])).await.unwrap();
    let sql = sandbox.plugin("ledger").await.unwrap();
    Fixture { pool: eventfabric::db::pool(db.options(), 4), db, sandbox, sql }
}

impl Fixture {
    pub async fn begin(&self) -> Tx {
        Tx::begin(&self.pool, Duration::from_secs(10)).await.unwrap()
    }
}

fn int(n: i64) -> Value {
    Value::Int64(n)
}

fn call(statement: u32, params: Vec<Value>) -> Call {
    Call { statement, params }
}

const ATTACKS: &[(&str, &str)] = &[
    ("RESET ROLE", "RESET ROLE"),
    ("SET ROLE", "SET ROLE postgres"),
    ("SET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION postgres"),
    ("role by set_config", "SELECT set_config('role', 'postgres', true)"),
    ("search path by set_config", "SELECT set_config('search_path', 'eventfabric', false)"),
    ("time-out by set_config", "SELECT set_config('statement_timeout', '0', false)"),
    ("current_setting", "SELECT current_setting('data_directory')"),
    ("COMMIT", "COMMIT"),
    ("ROLLBACK", "ROLLBACK"),
    ("SAVEPOINT", "SAVEPOINT s"),
    ("second statement", "SELECT 1; DELETE FROM eventfabric.events"),
    ("second statement after END", "SELECT 1; END; DELETE FROM eventfabric.events; --"),
    ("END alone", "END"),
    ("END in a comment's shadow", "SELECT 1 /* */; END /*"),
    ("empty", " -- nothing"),
    ("RETURN", "RETURN 1"),
    ("the log", "SELECT payload FROM eventfabric.events"),
    ("writing the log", "DELETE FROM eventfabric.events"),
    ("checkpoints", "UPDATE eventfabric.projection_checkpoints SET last_global_position = 0"),
    ("another plugin", "SELECT s FROM other.secrets"),
    (
        "data-modifying CTE",
        "WITH d AS (DELETE FROM eventfabric.outbox RETURNING id) SELECT id FROM d",
    ),
    (
        "MERGE into the log",
        "MERGE INTO eventfabric.outbox o USING accounts a ON a.id = o.id WHEN MATCHED THEN DELETE",
    ),
    ("catalogue", "SELECT rolname FROM pg_roles"),
    (
        "catalogue in a subquery",
        "SELECT id FROM accounts WHERE owner IN (SELECT usename FROM pg_user)",
    ),
    ("query_to_xml", "SELECT query_to_xml('select 1', true, true, '')"),
    (
        "regtype in a row of the catalogue",
        "SELECT to_jsonb(jsonb_populate_record(NULL::pg_catalog.pg_sequences,
                                               '{\"data_type\":\"1260\"}'))",
    ),
    (
        "a row of the catalogue inside a record",
        "SELECT q.a FROM jsonb_to_record('{\"a\":{}}') AS q(a pg_catalog.pg_sequences)",
    ),
    ("a relation by its id", "SELECT satisfies_hash_partition(1260::oid, 4, 0, 1)"),
    ("a role by its id", "SELECT acldefault('r', 10::oid)::text"),
    ("a role by its name", "SELECT 'nosuch=r/postgres'::aclitem::text"),
    ("the clock by text", "SELECT 'now'::timestamptz"),
    ("the day by text", "SELECT ' Tomorrow '::date"),
    ("ts_stat", "SELECT word FROM ts_stat('select to_tsvector(s) from other.secrets')"),
    ("pg_read_file", "SELECT pg_read_file('/etc/passwd')"),
    ("pg_sleep", "SELECT pg_sleep(10)"),
    ("pg_sleep in RETURNING", "INSERT INTO accounts (id) VALUES (1) RETURNING pg_sleep(10)::text"),
    ("COPY", "COPY accounts TO PROGRAM 'id'"),
    ("temporary table", "CREATE TEMPORARY TABLE events (a int)"),
    ("SELECT INTO", "SELECT 1 AS a INTO TEMPORARY x"),
    ("DO", "DO $$ BEGIN RESET ROLE; END $$"),
    ("EXPLAIN ANALYZE", "EXPLAIN ANALYZE DELETE FROM accounts"),
    ("LISTEN", "LISTEN eventfabric"),
    ("NOTIFY", "NOTIFY eventfabric, 'x'"),
    ("pg_notify", "SELECT pg_notify('eventfabric', 'x')::text"),
    ("advisory lock", "SELECT pg_advisory_lock(1)::text"),
    ("advisory lock in ORDER BY", "SELECT id FROM accounts ORDER BY pg_try_advisory_lock(id)"),
    ("LOCK", "LOCK TABLE accounts"),
    ("TRUNCATE", "TRUNCATE accounts"),
    ("lo_import", "SELECT lo_import('/etc/passwd')"),
    ("lo_create", "SELECT lo_create(0)"),
    ("cursor WITH HOLD", "DECLARE c CURSOR WITH HOLD FOR SELECT 1"),
    ("DEALLOCATE", "DEALLOCATE ALL"),
    ("now", "SELECT now()"),
    ("CURRENT_TIMESTAMP", "SELECT CURRENT_TIMESTAMP"),
    ("CURRENT_USER", "SELECT CURRENT_USER"),
    ("random", "SELECT random()"),
    ("gen_random_uuid", "SELECT gen_random_uuid()"),
    ("nextval", "SELECT nextval('lines_n_seq')"),
    ("regclass", "SELECT 'eventfabric.events'::regclass::oid"),
    ("regclass in JSON", "SELECT x FROM jsonb_to_record('{}') AS t (x regclass)"),
    ("TABLESAMPLE", "SELECT id FROM accounts TABLESAMPLE system (10)"),
    ("xmin", "SELECT id FROM accounts WHERE xmin::text = '1'"),
    ("age", "SELECT age(opened)::text FROM accounts"),
    ("XMLTABLE", "SELECT a FROM XMLTABLE('/x' PASSING '<x/>' COLUMNS a text PATH '.')"),
    ("our functions", "SELECT eventfabric.guard_events()"),
    ("GRANT", "GRANT ALL ON accounts TO PUBLIC"),
    ("ALTER TABLE", "ALTER TABLE accounts ADD COLUMN x int"),
    ("CALL", "CALL p()"),
    ("PREPARE", "PREPARE p AS SELECT 1"),
];

#[tokio::test]
async fn attacks_are_refused_and_doom_the_transaction() {
    let f = fixture().await;
    let mut failures = Vec::new();
    for (name, text) in ATTACKS {
        let mut tx = f.begin().await;
        match f.sql.query(&mut tx, text, vec![]).await {
            Ok(_) => failures.push(format!("{name}: allowed")),
            Err(error) => {
                if !matches!(error.kind, SqlErrorKind::Denied | SqlErrorKind::Invalid) {
                    failures.push(format!("{name}: {error:?}"));
                }
                println!("{name}: {error}");
                assert!(tx.is_doomed(), "{name}");
                let after = f.sql.execute(&mut tx, "SELECT 1", vec![]).await.unwrap_err();
                assert_eq!(after.kind, SqlErrorKind::Aborted, "{name}");
            }
        }
        tx.rollback().await.unwrap();
    }
    assert!(failures.is_empty(), "{failures:#?}");
    // None of them is known now.
    assert!(f.sandbox.plugin("ledger").await.unwrap().manifest().is_empty());
}

#[tokio::test]
async fn the_role_alone_keeps_out_of_everything_that_is_not_the_plugins() {
    let f = fixture().await;
    let mut conn = f.pool.acquire().await.unwrap();
    let role: String = sqlx::query_scalar(
        "SELECT exec_role FROM eventfabric.plugin_schemas WHERE plugin_name = 'ledger'",
    )
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    for (text, allowed) in [
        ("INSERT INTO ledger.accounts (id) VALUES (7)", true),
        ("INSERT INTO ledger.lines (account, amount) VALUES (NULL, 1)", true),
        ("SELECT * FROM eventfabric.events", false),
        ("DELETE FROM eventfabric.events", false),
        ("UPDATE eventfabric.projection_checkpoints SET last_global_position = 0", false),
        ("INSERT INTO eventfabric.outbox (global_position) VALUES (1)", false),
        ("SELECT * FROM eventfabric.plugin_statements", false),
        ("SELECT * FROM other.secrets", false),
        ("CREATE TABLE ledger.x (a int)", false),
        ("CREATE TABLE public.x (a int)", false),
        ("CREATE FUNCTION eventfabric_calls.x() RETURNS int LANGUAGE sql AS 'SELECT 1'", false),
        ("ALTER TABLE ledger.accounts ADD COLUMN x int", false),
        ("DROP TABLE ledger.accounts", false),
        ("TRUNCATE ledger.accounts", false),
        ("CREATE ROLE x", false),
        ("SELECT pg_read_file('/etc/passwd')", false),
        ("COPY ledger.accounts TO PROGRAM 'id'", false),
    ] {
        let mut tx = conn.begin().await.unwrap();
        tx.execute(AssertSqlSafe(format!("SET LOCAL ROLE \"{role}\""))).await.unwrap();
        let done = tx.execute(text).await;
        assert_eq!(done.is_ok(), allowed, "{text}: {done:?}");
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn ordinary_statements_are_allowed() {
    let f = fixture().await;
    let mut tx = f.begin().await;
    let none = Vec::<Value>::new;
    for (text, params, expected) in [
        (
            "INSERT INTO accounts AS a (id, owner, balance, mood, opened, data)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (id) DO UPDATE SET balance = a.balance + excluded.balance
             RETURNING balance, (xmax = 0) AS inserted",
            vec![
                int(1),
                Value::Text("ann".into()),
                int(50),
                Value::Text("calm".into()),
                Value::Timestamptz(0),
                Value::Json("{\"a\":[1,2]}".into()),
            ],
            1,
        ),
        ("INSERT INTO accounts (id, balance) SELECT g, g FROM generate_series(2, 4) g;", none(), 3),
        ("UPDATE accounts SET balance = balance + $1 -- all\n", vec![int(1)], 4),
        (
            "WITH gone AS (DELETE FROM accounts WHERE id = 4 RETURNING id)
             INSERT INTO accounts (id) SELECT id + 10 FROM gone",
            none(),
            1,
        ),
        ("SELECT id, sum(balance) OVER (ORDER BY id), rank() OVER w FROM accounts WINDOW w AS (ORDER BY balance)", none(), 4),
        ("SELECT x.value FROM accounts, jsonb_array_elements(data->'a') x WHERE data ? 'a'", none(), 2),
        ("SELECT u FROM unnest($1::text[]) u", vec![Value::TextArray(vec![Some("a".into()), None])], 2),
        (
            "MERGE INTO accounts a USING (SELECT unnest($1::bigint[]) AS id) s ON s.id = a.id
             WHEN MATCHED THEN UPDATE SET balance = 0 WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
            vec![Value::Int64Array(vec![Some(1), Some(2), Some(77)])],
            3,
        ),
        ("SELECT a.id, l.n FROM accounts a LEFT JOIN LATERAL (SELECT n FROM lines WHERE account = a.id LIMIT 1) l ON true", none(), 5),
        ("WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n FROM r", none(), 5),
        ("SELECT id FROM accounts WHERE mood = 'calm' AND double = balance * 2", none(), 1),
        (
            "SELECT date_trunc('day', opened + interval '1 day'), to_char(opened, 'YYYY-MM'), extract(year FROM opened)
             FROM accounts WHERE opened < $1",
            vec![Value::Timestamptz(1)],
            1,
        ),
        ("SELECT id FROM rich", none(), 0),
        ("SELECT id FROM accounts WHERE id = $1 FOR UPDATE", vec![int(1)], 1),
        ("VALUES (1), (2)", none(), 2),
        ("SELECT format('%s-%s', id, owner), concat(id, owner), jsonb_build_object('id', id) FROM accounts LIMIT 1", none(), 1),
        ("DELETE FROM accounts", none(), 5),
    ] {
        let done = f.sql.execute(&mut tx, text, params).await;
        assert_eq!(done, Ok(expected), "{text}");
    }
    tx.rollback().await.unwrap();
    let other = f.sandbox.plugin("ledger").await.unwrap();
    assert_eq!(other.manifest(), f.sql.manifest());
}

#[tokio::test]
async fn a_batch_keeps_the_order_and_tells_exact_counts() {
    let f = fixture().await;
    let mut tx = f.begin().await;
    let statements = [
        "INSERT INTO accounts (id, balance) VALUES ($1, $2)".to_owned(),
        "UPDATE accounts SET balance = balance * 2".to_owned(),
        "UPDATE accounts SET balance = balance + $1 WHERE id = $2".to_owned(),
        "MERGE INTO accounts a USING (SELECT $1::bigint AS id) s ON s.id = a.id WHEN MATCHED THEN DELETE".to_owned(),
        "SELECT id FROM accounts WHERE mood IS NULL AND $1::int[] @> ARRAY[1]".to_owned(),
    ];
    let calls = vec![
        call(0, vec![int(1), Value::Int16(10)]),
        call(1, vec![]),
        call(0, vec![int(2), int(1)]),
        call(1, vec![]),
        call(1, vec![]),
        call(2, vec![int(3), int(1)]),
        call(2, vec![int(3), int(9)]),
        call(4, vec![Value::Int32Array(vec![Some(1), None])]),
        call(3, vec![int(2)]),
        call(3, vec![int(2)]),
    ];
    let counts = f.sql.execute_batch(&mut tx, &statements, calls).await.unwrap();
    assert_eq!(counts, [1, 1, 1, 2, 2, 1, 0, 2, 1, 0]);
    let rows = f.sql.query(&mut tx, "SELECT id, balance FROM accounts", vec![]).await.unwrap();
    assert_eq!(rows.rows, [[int(1), int(83)]]);
    assert!(f.sql.execute_batch(&mut tx, &statements, vec![]).await.unwrap().is_empty());
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn what_an_insert_wrote_is_counted_alone_and_in_a_batch() {
    let f = fixture().await;
    for (statement, expected) in [
        ("INSERT INTO accounts (id) VALUES (1)", 1),
        ("INSERT INTO accounts (id) VALUES (0) ON CONFLICT DO NOTHING", 0),
        ("INSERT INTO accounts (id) VALUES (0) ON CONFLICT (id) DO UPDATE SET balance = 2", 1),
        (
            "INSERT INTO accounts AS a (id) VALUES (0)
             ON CONFLICT (id) DO UPDATE SET balance = 2 WHERE a.balance > 1000",
            0,
        ),
        ("INSERT INTO lines DEFAULT VALUES", 1),
        ("INSERT INTO accounts (id) VALUES (1), (2)", 2),
        ("INSERT INTO accounts (id) VALUES (generate_series(1, 3))", 3),
        ("INSERT INTO accounts (id) VALUES ((SELECT max(id) + 1 FROM accounts))", 1),
        ("INSERT INTO accounts (id) SELECT 1 WHERE false", 0),
        ("INSERT INTO accounts (id) SELECT unnest(ARRAY[1, 2])", 2),
        ("INSERT INTO accounts (id) SELECT id + 1 FROM accounts", 1),
    ] {
        let mut tx = f.begin().await;
        f.sql.execute(&mut tx, "INSERT INTO accounts (id) VALUES (0)", vec![]).await.unwrap();
        tx.savepoint("before").await.unwrap();
        let alone = f.sql.execute(&mut tx, statement, vec![]).await;
        assert_eq!(alone, Ok(expected), "{statement}");
        tx.rollback_to("before").await.unwrap();
        let batch = [statement.to_owned()];
        let together = f.sql.execute_batch(&mut tx, &batch, vec![call(0, vec![])]).await;
        assert_eq!(together, Ok(vec![expected]), "{statement}");
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_failing_batch_names_the_call_and_keeps_nothing() {
    let f = fixture().await;
    let mut tx = f.begin().await;
    let statements = ["INSERT INTO accounts (id) VALUES ($1)".to_owned()];
    let calls = [1, 2, 1, 3].map(|id| call(0, vec![int(id)])).to_vec();
    let error = f.sql.execute_batch(&mut tx, &statements, calls).await.unwrap_err();
    assert_eq!((error.call, error.error.kind), (2, SqlErrorKind::Constraint));
    assert_eq!(error.error.constraint.as_deref(), Some("accounts_pkey"));
    assert!(tx.is_doomed());
    tx.rollback().await.unwrap();

    let mut tx = f.begin().await;
    let calls = vec![call(0, vec![int(1)]), call(0, vec![Value::Text("x".into())])];
    let error = f.sql.execute_batch(&mut tx, &statements, calls).await.unwrap_err();
    assert_eq!((error.call, error.error.kind), (1, SqlErrorKind::Invalid));
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn values_come_back_as_they_went() {
    let f = fixture().await;
    let mut tx = f.begin().await;
    let text = |s: &str| s.to_owned();
    for (type_name, value) in [
        ("boolean", Value::Bool(true)),
        ("smallint", Value::Int16(-7)),
        ("integer", Value::Int32(7)),
        ("bigint", int(9_007_199_254_740_993)),
        ("real", Value::Float32(0.5)),
        ("double precision", Value::Float64(0.1)),
        ("numeric", Value::Numeric(text("12345678901234567890.10"))),
        ("numeric", Value::Numeric(text("NaN"))),
        ("text", Value::Text(text("h\u{e9}\\\"{}"))),
        ("bpchar", Value::Text(text("a "))),
        ("bytea", Value::Bytes(vec![0, 255])),
        ("uuid", Value::Uuid(text("0190a1b2-0000-7000-8000-000000000001"))),
        ("timestamptz", Value::Timestamptz(1_700_000_000_123_456)),
        ("date", Value::Date(-1)),
        ("json", Value::Json(text("{\"a\": 1}"))),
        ("jsonb", Value::Json(text("{\"a\": 1}"))),
        ("bigint", Value::Null),
        ("boolean[]", Value::BoolArray(vec![Some(true), None])),
        ("smallint[]", Value::Int16Array(vec![Some(1)])),
        ("integer[]", Value::Int32Array(vec![])),
        ("bigint[]", Value::Int64Array(vec![Some(i64::MAX), None])),
        ("real[]", Value::Float32Array(vec![Some(1.5)])),
        ("double precision[]", Value::Float64Array(vec![Some(1.5)])),
        ("numeric[]", Value::NumericArray(vec![Some(text("1.50")), None])),
        ("text[]", Value::TextArray(vec![Some(text("a\"b\\,{}")), Some(text("")), None])),
        ("bytea[]", Value::BytesArray(vec![Some(vec![1])])),
        ("uuid[]", Value::UuidArray(vec![Some(text("0190a1b2-0000-7000-8000-000000000001"))])),
        ("timestamptz[]", Value::TimestamptzArray(vec![Some(-1), None])),
        ("date[]", Value::DateArray(vec![Some(20_000)])),
        ("jsonb[]", Value::JsonArray(vec![Some(text("[1]")), None])),
        ("mood", Value::Other { type_name: text("ledger.mood"), text: text("cross") }),
        ("interval", Value::Other { type_name: text("interval"), text: text("1 day") }),
    ] {
        let sql = format!("SELECT $1::{type_name} AS v");
        let rows = f.sql.query(&mut tx, &sql, vec![value.clone()]).await;
        let rows = rows.unwrap_or_else(|e| panic!("{type_name}: {e}"));
        assert_eq!(rows.columns, ["v"]);
        assert_eq!(rows.rows, [[value.clone()]], "{type_name}");
        if type_name == "bpchar" {
            // The cast to text, below, drops its blanks.
            continue;
        }
        // In a batch the value takes another way.
        let same = format!("SELECT 1 WHERE $1::{type_name}::text IS NOT DISTINCT FROM ($2::text)");
        if let Value::Other { text, .. } | Value::Text(text) | Value::Numeric(text) = &value {
            let calls = vec![call(0, vec![value.clone(), Value::Text(text.clone())]); 2];
            let counts = f.sql.execute_batch(&mut tx, &[same], calls).await;
            assert_eq!(counts, Ok(vec![1, 1]), "{type_name}");
        } else {
            let counts = f.sql.execute_batch(&mut tx, &[sql], vec![call(0, vec![value])]).await;
            assert_eq!(counts, Ok(vec![1]), "{type_name}");
        }
    }
    tx.rollback().await.unwrap();
    for (sql, value, part) in [
        ("SELECT $1::smallint", int(40_000), "$1 is of the type smallint: 40000 is out of"),
        ("SELECT $1::bigint", Value::Text("1".into()), "$1 is of the type bigint: got text"),
        ("SELECT $1::uuid", Value::Text("x".into()), "no UUID"),
        ("SELECT $1::timestamptz", Value::Timestamptz(i64::MIN), "out of its range"),
        ("SELECT 'infinity'::timestamptz AS v WHERE $1", Value::Bool(true), "infinite time"),
    ] {
        let mut tx = f.begin().await;
        let error = f.sql.query(&mut tx, sql, vec![value]).await.unwrap_err();
        assert_eq!(error.kind, SqlErrorKind::Invalid, "{error}");
        assert!(error.message.contains(part), "{error}");
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_batch_that_runs_out_of_time_is_not_run_again_call_by_call() {
    let f = fixture().await;
    let statements = ["UPDATE accounts SET balance = balance + 1 WHERE id = $1".to_owned()];
    let insert = "INSERT INTO accounts (id) VALUES ($1)";
    let mut tx = f.begin().await;
    f.sql.execute(&mut tx, insert, vec![int(1)]).await.unwrap();
    tx.commit().await.unwrap();
    let mut holder = f.begin().await;
    f.sql.execute(&mut holder, &statements[0], vec![int(1)]).await.unwrap();
    let mut tx = Tx::begin(&f.pool, Duration::from_millis(200)).await.unwrap();
    let calls = vec![call(0, vec![int(1)]); 50];
    let start = std::time::Instant::now();
    let error = f.sql.execute_batch(&mut tx, &statements, calls).await.unwrap_err();
    assert_eq!(error.error.kind, SqlErrorKind::Retryable);
    // Fifty calls by themselves would take 200 ms each.
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(tx.is_doomed());
    tx.rollback().await.unwrap();
    holder.rollback().await.unwrap();
}

#[tokio::test]
async fn a_deferred_constraint_is_checked_before_the_host_goes_on() {
    let f = fixture().await;
    let mut tx = f.begin().await;
    let insert = "INSERT INTO lines (account, amount) VALUES ($1, 1)";
    assert_eq!(f.sql.execute(&mut tx, insert, vec![int(404)]).await, Ok(1));
    let error = f.sql.settle(&mut tx).await.unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Constraint);
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn migrations_that_do_more_than_make_tables_are_rolled_back() {
    let f = fixture().await;
    for (sql, part) in [
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "a migration may"),
        ("GRANT ALL ON accounts TO PUBLIC", "a migration may"),
        ("CREATE TRIGGER t AFTER INSERT ON accounts EXECUTE FUNCTION x()", "a migration may"),
        ("DO $$ BEGIN NULL; END $$", "a migration may"),
        ("COMMIT", "a migration may"),
        ("CREATE TEMPORARY TABLE x (a int)", "a migration may"),
        ("CREATE TABLE pg_temp.x (a int)", "outside of the schema"),
        ("CREATE TABLE x AS SELECT 1", "runs a query"),
        ("ALTER TABLE accounts OWNER TO postgres", "42501"),
        ("DROP TABLE eventfabric.events", "denied"),
        ("CREATE TABLE public.x (a int)", "denied"),
        ("CREATE VIEW v AS SELECT s FROM other.secrets", "denied"),
        ("CREATE VIEW v AS SELECT rolname FROM pg_roles", "the view v"),
        ("CREATE TABLE x (a timestamptz DEFAULT now())", "clock is not available"),
        ("CREATE TABLE x (a uuid DEFAULT gen_random_uuid())", "chance is not available"),
        ("CREATE TABLE x (a text CHECK (a <> current_setting('x')))", "current_setting"),
        ("CREATE TABLE x (a regclass)", "the column of type regclass"),
        ("CREATE TABLE x (a regtype[])", "the column of type _regtype"),
        ("CREATE TABLE x (a information_schema.time_stamp)", "the column of type time_stamp"),
        ("CREATE TABLE x (a pg_catalog.pg_class)", "the column of type pg_class"),
        ("CREATE TABLE x (a text DEFAULT (1260::oid::regclass)::text)", "regclass stands"),
        ("CREATE TABLE x (a bigint DEFAULT nextval(1260::oid::regclass))", "regclass stands"),
        (
            "CREATE TABLE x (a text) PARTITION BY LIST (a);
             CREATE TABLE y PARTITION OF x FOR VALUES IN (set_config('statement_timeout','0',true))",
            "the bounds of a partition",
        ),
        (
            "CREATE TABLE x (a text) PARTITION BY LIST (a);
             CREATE TABLE y PARTITION OF x FOR VALUES IN (\"pg_sleep\"(900)::text)",
            "the bounds of a partition",
        ),
        ("ALTER TABLE accounts ALTER mood TYPE text USING pg_sleep(900)::text", "USING"),
        ("ALTER TABLE accounts ADD x text DEFAULT pg_sleep(900)::text", "DEFAULT"),
        ("CREATE TABLE x (a int); CREATE TABLE x (a int)", "already exists"),
        ("CREATE TABLE x (a int", "syntax error"),
    ] {
        let error = f.sandbox.prepare(&description("ledger", &[TABLES, sql])).await.unwrap_err();
        let SandboxError::Migration { number: 2, .. } = &error else { panic!("{sql}: {error:?}") };
        assert!(error.to_string().contains(part), "{sql}: {error}");
    }
    let report = f.sandbox.prepare(&description("ledger", &[TABLES])).await.unwrap();
    assert_eq!(report, []);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relname = 'x'")
        .fetch_one(&f.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn hosts_of_two_versions_leave_each_others_functions_alone() {
    let f = fixture().await;
    let insert = "INSERT INTO accounts (id) VALUES ($1)";
    let mut tx = f.begin().await;
    f.sql.execute(&mut tx, insert, vec![int(1)]).await.unwrap();
    tx.commit().await.unwrap();
    // As if this one had been made by a host whose rules have another number.
    let (ours, other): (String, i32) = sqlx::query_as(
        "UPDATE eventfabric.plugin_statements SET policy = policy - 1
         RETURNING function_name, policy",
    )
    .fetch_one(&f.pool)
    .await
    .unwrap();
    let name = ours.rsplit(['.', '"']).nth(1).unwrap();
    let (stem, _) = name.rsplit_once('_').unwrap();
    let name = format!("{stem}_{other}");
    f.pool.execute(AssertSqlSafe(format!("ALTER FUNCTION {ours} RENAME TO {name}"))).await.unwrap();
    let functions = "SELECT count(*) FROM pg_proc WHERE proname ~ '^s_.*_[0-9]+$'";
    let other = f.sandbox.plugin("ledger").await.unwrap();
    let mut tx = f.begin().await;
    other.execute(&mut tx, insert, vec![int(2)]).await.unwrap();
    tx.commit().await.unwrap();
    let count: i64 = sqlx::query_scalar(functions).fetch_one(&f.pool).await.unwrap();
    assert_eq!(count, 2);
    // Both hold on to the tables, so both must go.
    let change = "ALTER TABLE accounts DROP COLUMN owner";
    f.sandbox.prepare(&description("ledger", &[TABLES, change])).await.unwrap();
    let count: i64 = sqlx::query_scalar(functions).fetch_one(&f.pool).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn a_migration_drops_the_functions_and_the_next_use_makes_them_again() {
    let f = fixture().await;
    let insert = "INSERT INTO accounts (id) VALUES ($1)";
    let mut tx = f.begin().await;
    f.sql.execute(&mut tx, insert, vec![int(1)]).await.unwrap();
    tx.commit().await.unwrap();
    let two = ["CREATE TABLE t ()", "ALTER TABLE accounts DROP COLUMN owner"];
    let report =
        f.sandbox.prepare(&description("ledger", &[TABLES, two[0], two[1]])).await.unwrap();
    assert_eq!(report.len(), 2);
    let mut tx = f.begin().await;
    let error = f.sql.execute(&mut tx, insert, vec![int(2)]).await.unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Retryable, "{error}");
    tx.rollback().await.unwrap();
    let mut tx = f.begin().await;
    assert_eq!(f.sql.execute(&mut tx, insert, vec![int(2)]).await, Ok(1));
    tx.commit().await.unwrap();
    let ahead = f.sandbox.prepare(&description("ledger", &[TABLES])).await;
    assert!(matches!(ahead, Err(SandboxError::Ahead { applied: 3, known: 1, .. })), "{ahead:?}");
    let changed =
        f.sandbox.prepare(&description("ledger", &["CREATE TABLE q ()", two[0], two[1]])).await;
    assert!(matches!(changed, Err(SandboxError::Changed { number: 1, .. })), "{changed:?}");
}

#[tokio::test]
async fn a_schema_that_the_host_did_not_make_is_left_alone() {
    let f = fixture().await;
    f.pool.execute("CREATE SCHEMA theirs").await.unwrap();
    let refused = f.sandbox.prepare(&description("theirs", &[])).await;
    assert!(matches!(refused, Err(SandboxError::ForeignSchema(_))), "{refused:?}");
    let reserved = f.sandbox.prepare(&description("eventfabric", &[])).await;
    assert!(matches!(reserved, Err(SandboxError::Name(..))), "{reserved:?}");
}

#[tokio::test]
async fn limits_are_kept() {
    let f = fixture().await;
    let config = SandboxConfig { max_rows: 5, max_statements: 2, ..SandboxConfig::default() };
    let sql = Sandbox::new(eventfabric::db::pool(f.db.options(), 2), config)
        .plugin("ledger")
        .await
        .unwrap();
    let mut tx = f.begin().await;
    let error = sql.query(&mut tx, "SELECT generate_series(1, 6)", vec![]).await.unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Limit);
    tx.rollback().await.unwrap();
    let mut tx = f.begin().await;
    sql.query(&mut tx, "SELECT 1", vec![]).await.unwrap();
    let error = sql.query(&mut tx, "SELECT 2", vec![]).await.unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Limit);
    tx.rollback().await.unwrap();
}

/// A single value can have a gigabyte, and the driver takes whole rows.
#[tokio::test]
async fn a_value_beyond_the_limit_is_not_sent_to_the_host() {
    let f = fixture().await;
    let config = SandboxConfig { max_result_bytes: 1 << 20, ..SandboxConfig::default() };
    let sandbox = Sandbox::new(eventfabric::db::pool(f.db.options(), 2), config);
    let sql = sandbox.plugin("ledger").await.unwrap();
    for query in [
        "SELECT repeat('x', 30000000)",
        "SELECT decode(repeat('00', 3000000), 'hex')",
        "SELECT to_jsonb(repeat('x', 3000000))",
        "SELECT array_agg(g) FROM generate_series(1, 300000) g",
        "SELECT 1, array_fill('xxxx'::text, ARRAY[300000])",
        "SELECT (repeat('1', 100000) || '.5')::numeric, repeat('x', 1100000)",
    ] {
        let mut tx = f.begin().await;
        let error = sql.query(&mut tx, query, vec![]).await.unwrap_err();
        assert_eq!(error.kind, SqlErrorKind::Limit, "{query}: {error}");
        tx.rollback().await.unwrap();
    }
    let mut tx = f.begin().await;
    let rows = sql.query(&mut tx, "SELECT repeat('x', 1000000)", vec![]).await.unwrap();
    assert_eq!(rows.rows, [[Value::Text("x".repeat(1_000_000))]]);
    // Stored values are small when they are compressed.
    let insert = "INSERT INTO accounts (id, owner, data)
                  VALUES (1, repeat('x', 3000000), to_jsonb(repeat('x', 3000000)))";
    sql.execute(&mut tx, insert, vec![]).await.unwrap();
    tx.commit().await.unwrap();
    for query in ["SELECT owner FROM accounts", "SELECT data FROM accounts"] {
        let mut tx = f.begin().await;
        let error = sql.query(&mut tx, query, vec![]).await.unwrap_err();
        assert_eq!(error.kind, SqlErrorKind::Limit, "{query}: {error}");
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_host_that_is_no_superuser_can_do_it_all() {
    let db = database().await;
    let options = db.options();
    let pool = eventfabric::db::pool(options.clone(), 2);
    let superuser: String = sqlx::query_scalar("SELECT pg_catalog.current_setting('is_superuser')")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(superuser, "off");
    let sandbox = Sandbox::new(eventfabric::db::pool(options, 2), SandboxConfig::default());
    sandbox.prepare(&description("ledger", &[TABLES])).await.unwrap();
    sandbox
        .prepare(&description("ledger", &[TABLES, "ALTER TABLE accounts ADD x int"]))
        .await
        .unwrap();
    let sql = sandbox.plugin("ledger").await.unwrap();
    let mut tx = Tx::begin(&pool, Duration::from_secs(10)).await.unwrap();
    let insert = "INSERT INTO accounts (id, mood) VALUES ($1, $2)";
    let params = vec![int(1), Value::Text("calm".into())];
    assert_eq!(sql.execute(&mut tx, insert, params).await, Ok(1));
    let lines = "INSERT INTO lines (account, amount) VALUES ($1, 5) RETURNING n";
    let rows = sql.query(&mut tx, lines, vec![int(1)]).await.unwrap();
    assert_eq!(rows.rows, [[int(1)]]);
    tx.commit().await.unwrap();
    let steps = [TABLES, "ALTER TABLE accounts ADD x int", "DROP TABLE eventfabric.events"];
    assert!(sandbox.prepare(&description("ledger", &steps)).await.is_err());
}

#[tokio::test]
async fn two_hosts_that_meet_the_same_statement_share_one_function() {
    let f = fixture().await;
    let other = f.sandbox.plugin("ledger").await.unwrap();
    let insert = "INSERT INTO accounts (id) VALUES ($1)";
    let (mut a, mut b) = (f.begin().await, f.begin().await);
    let (x, y) = tokio::join!(
        f.sql.execute(&mut a, insert, vec![int(1)]),
        other.execute(&mut b, insert, vec![int(2)]),
    );
    assert_eq!((x, y), (Ok(1), Ok(1)));
    a.commit().await.unwrap();
    b.commit().await.unwrap();
    let functions: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'eventfabric_calls'::regnamespace
             AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'sql')",
    )
    .fetch_one(&f.pool)
    .await
    .unwrap();
    assert_eq!(functions, 1);
}

/// Not a test of anything: prints what a call costs. `cargo test --release … -- --ignored`.
#[tokio::test]
#[ignore = "a measurement"]
async fn what_a_call_of_a_batch_costs() {
    let f = fixture().await;
    let statements = [
        "INSERT INTO accounts AS a (id, balance) VALUES ($1, $2)
         ON CONFLICT (id) DO UPDATE SET balance = a.balance + excluded.balance"
            .to_owned(),
        "UPDATE accounts SET balance = balance + $2 WHERE id = $1".to_owned(),
    ];
    for (name, kinds) in [("upsert", 1), ("upsert and update, mixed", 2)] {
        let mut best = Duration::MAX;
        for _ in 0..20 {
            let calls: Vec<_> =
                (0..500).map(|n| call((n % kinds) as u32, vec![int(n), int(1)])).collect();
            let mut tx = f.begin().await;
            let start = std::time::Instant::now();
            f.sql.execute_batch(&mut tx, &statements, calls).await.unwrap();
            best = best.min(start.elapsed());
            tx.rollback().await.unwrap();
        }
        println!("{name}: {:.2} µs a call", best.as_secs_f64() * 1e6 / 500.0);
    }
    let mut tx = f.begin().await;
    f.sql.execute(&mut tx, &statements[0], vec![int(1), int(1)]).await.unwrap();
    let start = std::time::Instant::now();
    for n in 0..500 {
        f.sql.execute(&mut tx, &statements[0], vec![int(n), int(1)]).await.unwrap();
    }
    println!("one by one: {:.2} µs a call", start.elapsed().as_secs_f64() * 1e6 / 500.0);
    let start = std::time::Instant::now();
    f.sql.query(&mut tx, "SELECT id FROM accounts WHERE id = 4", vec![]).await.unwrap();
    println!("a new statement: {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
    tx.rollback().await.unwrap();
}

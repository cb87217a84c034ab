//! The schema as the server tells it, compared with a file that is read in reviews.

use eventfabric_tests::{TestDb, database};
use sqlx::{PgConnection, Row as _};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/schema.sql");

#[tokio::test]
async fn the_schema_is_the_golden_one() {
    let db = database().await;
    let found = dump(&db).await;
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &found).unwrap();
    }
    compare(&found);
}

/// Fails with the lines in which a schema is not the golden one.
pub(super) fn compare(found: &str) {
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    let lacks = |text: &str, other: &str, sign: &str| -> Vec<String> {
        let missing = text.lines().filter(|line| !other.lines().any(|there| there == *line));
        missing.map(|line| format!("{sign} {line}")).collect()
    };
    let differences = [lacks(&golden, found, "-"), lacks(found, &golden, "+")].concat();
    assert!(
        found == golden,
        "the migrations make another schema than tests/golden/schema.sql:\n{}\nIf they are right, \
         UPDATE_GOLDEN=1 cargo nextest run -p eventfabric-tests golden",
        differences.join("\n")
    );
}

/// The tables, indexes, triggers and functions of the schema `eventfabric`, as SQL in an order of
/// their names. (NOT NULL is told with the columns; PostgreSQL 18 has constraints for it, too.)
pub(super) async fn dump(db: &TestDb) -> String {
    let mut conn = db.connect().await;
    // So that every name is printed with its schema.
    sqlx::query("SET search_path = ''").execute(&mut conn).await.unwrap();
    let mut text = String::from(
        "-- The schema that the migrations make, as PostgreSQL tells it. Written by a test:\n\
         -- UPDATE_GOLDEN=1 cargo nextest run -p eventfabric-tests golden\n",
    );
    let tables = strings(
        &mut conn,
        "SELECT c.relname::text FROM pg_class c
         WHERE c.relnamespace = 'eventfabric'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
         ORDER BY 1",
    )
    .await;
    for table in tables {
        text.push_str(&format!("\nCREATE TABLE eventfabric.{table} (\n"));
        let mut lines = of_table(
            &mut conn,
            &table,
            "SELECT format('%I %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                           CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
                           ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid))
             FROM pg_attribute a
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
             WHERE a.attrelid = ('eventfabric.' || $1)::regclass AND a.attnum > 0
               AND NOT a.attisdropped
             ORDER BY a.attnum",
        )
        .await;
        lines.extend(
            of_table(
                &mut conn,
                &table,
                "SELECT format('CONSTRAINT %I %s', conname, pg_get_constraintdef(oid))
                 FROM pg_constraint
                 WHERE conrelid = ('eventfabric.' || $1)::regclass AND contype <> 'n'
                 ORDER BY conname",
            )
            .await,
        );
        text.push_str(&format!("    {}\n);\n", lines.join(",\n    ")));
        for sql in [
            "SELECT pg_get_indexdef(i.indexrelid)
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             WHERE i.indrelid = ('eventfabric.' || $1)::regclass
               AND NOT EXISTS (SELECT FROM pg_constraint k
                               WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
             ORDER BY c.relname",
            "SELECT pg_get_triggerdef(oid) FROM pg_trigger
             WHERE tgrelid = ('eventfabric.' || $1)::regclass AND NOT tgisinternal
             ORDER BY tgname",
        ] {
            for line in of_table(&mut conn, &table, sql).await {
                text.push_str(&format!("{line};\n"));
            }
        }
    }
    let functions = strings(
        &mut conn,
        "SELECT pg_get_functiondef(oid) FROM pg_proc
         WHERE pronamespace = 'eventfabric'::regnamespace AND prokind IN ('f', 'p')
         ORDER BY proname, pg_get_function_identity_arguments(oid)",
    )
    .await;
    for function in functions {
        text.push_str(&format!("\n{};\n", function.trim_end()));
    }
    text
}

async fn strings(conn: &mut PgConnection, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(conn).await.unwrap()
}

async fn of_table(conn: &mut PgConnection, table: &str, sql: &'static str) -> Vec<String> {
    let rows = sqlx::query(sql).bind(table).fetch_all(conn).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

//! A database that the TypeScript library has made and used.

use eventfabric::store::migrate::{MIGRATIONS, migrate};
use eventfabric_tests::{TestDb, bare_database};
use sqlx::{Executor as _, PgConnection};

use super::golden;

const LIBRARY: &str = include_str!("../../../fixtures/library_schema.sql");

/// The tables of the library whose rows are nobody's to change.
const TABLES: [&str; 7] = [
    "events",
    "stream_versions",
    "outbox",
    "outbox_dead_letters",
    "projection_checkpoints",
    "snapshots",
    "schema_migrations",
];

async fn library_database() -> (TestDb, PgConnection) {
    let db = bare_database().await;
    let mut conn = db.connect().await;
    conn.execute(sqlx::raw_sql(LIBRARY)).await.unwrap();
    (db, conn)
}

/// Every row of the table as JSON, without the columns that are ours.
async fn rows(conn: &mut PgConnection, table: &str) -> Vec<String> {
    let ours = match table {
        "outbox_dead_letters" => {
            "projection_name,plugin_version,first_failed_at,aggregate_name,aggregate_id,error_class,\
             sqlstate,failed_sql"
        }
        "projection_checkpoints" => "plugin_version,shards,owner",
        "snapshots" => "rebuild_requested_at",
        _ => "",
    };
    let sql = format!(
        "SELECT (to_jsonb(t) - '{{{ours}}}'::text[])::text FROM eventfabric.{table} t ORDER BY 1"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(conn).await.unwrap()
}

#[tokio::test]
async fn a_database_of_the_library_gets_what_is_missing_and_keeps_every_row() {
    let (db, mut conn) = library_database().await;
    let mut before = Vec::new();
    for table in TABLES {
        before.push(rows(&mut conn, table).await);
    }

    let report = migrate(&db.pool(1).await).await.unwrap();
    assert_eq!(report.already, 8);
    let applied: Vec<_> = report.applied.iter().map(|(name, _)| name.as_str()).collect();
    let ours: Vec<_> = MIGRATIONS.iter().map(|m| m.name).filter(|name| *name >= "010").collect();
    assert_eq!(applied, ours);

    for (table, before) in TABLES.iter().zip(before) {
        let after = rows(&mut conn, table).await;
        if *table == "schema_migrations" {
            assert!(before.iter().all(|row| after.contains(row)), "{table}");
        } else {
            assert_eq!(after, before, "{table}");
        }
    }
}

#[tokio::test]
async fn a_database_of_the_library_ends_with_the_schema_of_a_new_one() {
    let (db, _) = library_database().await;
    migrate(&db.pool(1).await).await.unwrap();
    golden::compare(&golden::dump(&db).await);
}

#[tokio::test]
async fn a_database_of_the_library_that_stopped_halfway_is_completed() {
    // As an older release of the library left it: only the first two migrations.
    let db = bare_database().await;
    let mut conn = db.connect().await;
    conn.execute(
        "CREATE SCHEMA eventfabric;
         CREATE TABLE eventfabric.schema_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
    )
    .await
    .unwrap();
    for migration in &MIGRATIONS[..2] {
        conn.execute(sqlx::raw_sql(migration.sql)).await.unwrap();
        sqlx::query("INSERT INTO eventfabric.schema_migrations (name) VALUES ($1)")
            .bind(migration.name)
            .execute(&mut conn)
            .await
            .unwrap();
    }
    conn.execute(
        "INSERT INTO eventfabric.events
             (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
         SELECT gen_random_uuid(), 'Account', 'a1', n, 'T', 1, '{\"type\": \"T\", \"version\": 1}'
         FROM generate_series(1, 3) n",
    )
    .await
    .unwrap();

    assert_eq!(migrate(&db.pool(1).await).await.unwrap().already, 2);
    let version: i32 = sqlx::query_scalar(
        "SELECT current_version FROM eventfabric.stream_versions
         WHERE (tenant_id, aggregate_name, aggregate_id) = ('default', 'Account', 'a1')",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(version, 3);
}

#[tokio::test]
async fn a_partitioned_log_of_the_library_is_guarded_like_any_other() {
    let (db, mut conn) = library_database().await;
    // What the library's 007_partitioning leaves: no unique constraints, the old rows in events_p0.
    conn.execute(
        "ALTER TABLE eventfabric.events DROP CONSTRAINT events_tenant_aggregate_version_key;
         ALTER TABLE eventfabric.events DROP CONSTRAINT events_event_id_key;
         ALTER TABLE eventfabric.events RENAME TO events_p0;
         CREATE TABLE eventfabric.events (LIKE eventfabric.events_p0 INCLUDING DEFAULTS)
             PARTITION BY RANGE (global_position);
         ALTER TABLE eventfabric.events ATTACH PARTITION eventfabric.events_p0
             FOR VALUES FROM (MINVALUE) TO (1000);
         CREATE TABLE eventfabric.events_p1 PARTITION OF eventfabric.events
             FOR VALUES FROM (1000) TO (2000);
         INSERT INTO eventfabric.schema_migrations (name) VALUES ('007_partitioning')",
    )
    .await
    .unwrap();
    migrate(&db.pool(1).await).await.unwrap();
    for sql in [
        "UPDATE eventfabric.events SET type = 'X' WHERE global_position = 1",
        "DELETE FROM eventfabric.events_p0",
        "TRUNCATE eventfabric.events",
    ] {
        let error = conn.execute(sql).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
    conn.execute("UPDATE eventfabric.events SET dismissed_at = now() WHERE global_position = 1")
        .await
        .unwrap();
}

//! One database, two programs: the TypeScript library's steps, in SQL written from the facts that both
//! sides agree on, and ours.

mod statements;
mod takeover;
mod worker;

use eventfabric::event::StreamId;
use eventfabric::store::EventStore;
use eventfabric::store::migrate::migrate;
use eventfabric_tests::{TestDb, bare_database};
use sqlx::{Connection as _, Executor as _, PgConnection};

const LIBRARY: &str = include_str!("../../../fixtures/library_schema.sql");

/// A database that the library has made and used, after our migration.
async fn taken_over() -> (TestDb, EventStore) {
    let db = bare_database().await;
    db.connect().await.execute(sqlx::raw_sql(LIBRARY)).await.unwrap();
    let pool = db.pool(4).await;
    migrate(&pool).await.unwrap();
    (db, EventStore::new(pool))
}

/// Why the library did not append.
#[derive(Debug, PartialEq)]
enum Refused {
    /// A duplicate key in `stream_versions`: the stream exists.
    Exists,
    /// No row updated: another writer was first.
    Concurrency,
}

/// An append as the library does it: guard, one INSERT of all events, an outbox row for each.
async fn library_append(
    conn: &mut PgConnection,
    stream: &StreamId,
    expected: i32,
    count: i32,
) -> Result<(), Refused> {
    let mut tx = conn.begin().await.unwrap();
    let guard = if expected == 0 {
        "INSERT INTO eventfabric.stream_versions
             (tenant_id, aggregate_name, aggregate_id, current_version)
         VALUES ($1, $2, $3, $4 + $5)"
    } else {
        "UPDATE eventfabric.stream_versions SET current_version = $4 + $5, updated_at = now()
         WHERE tenant_id = $1 AND aggregate_name = $2 AND aggregate_id = $3
           AND current_version = $4"
    };
    let guarded = sqlx::query(guard)
        .bind(&stream.tenant)
        .bind(&stream.aggregate)
        .bind(&stream.id)
        .bind(expected)
        .bind(count)
        .execute(&mut *tx)
        .await;
    match guarded {
        Ok(done) if done.rows_affected() == 1 => {}
        Ok(_) => return Err(Refused::Concurrency),
        Err(error) => {
            assert!(error.as_database_error().unwrap().is_unique_violation(), "{error}");
            return Err(Refused::Exists);
        }
    }
    sqlx::query(
        "WITH inserted AS (
             INSERT INTO eventfabric.events
                 (event_id, tenant_id, aggregate_name, aggregate_id, aggregate_version, type,
                  version, payload)
             SELECT gen_random_uuid(), $1, $2, $3, $4 + n, 'Library', 1,
                    '{\"type\": \"Library\", \"version\": 1}'
             FROM generate_series(1, $5) n
             RETURNING global_position
         )
         INSERT INTO eventfabric.outbox (global_position, topic, tenant_id)
         SELECT global_position, NULL, $1 FROM inserted",
    )
    .bind(&stream.tenant)
    .bind(&stream.aggregate)
    .bind(&stream.id)
    .bind(expected)
    .bind(count)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    Ok(())
}

//! Databases that the TypeScript library has partitioned, and ours under the library.

use eventfabric::event::{ExpectedVersion, StreamId};
use eventfabric::store::migrate::migrate;
use eventfabric::store::partition::enable;
use eventfabric::store::{EventStore, StoreError};
use eventfabric_tests::{TestDb, bare_database};
use sqlx::Executor as _;
use uuid::Uuid;

use super::{bounds, partitioned, rows_of, texts};
use crate::store::{all, number, with_ids};

const LIBRARY: &str = include_str!("../../../fixtures/library_schema.sql");

/// What the library's 007_partitioning leaves: no unique constraints, the old rows in events_p0.
const PARTITIONED: &str = "
    ALTER TABLE eventfabric.events DROP CONSTRAINT events_tenant_aggregate_version_key;
    ALTER TABLE eventfabric.events DROP CONSTRAINT events_event_id_key;
    ALTER TABLE eventfabric.events RENAME TO events_p0;
    CREATE TABLE eventfabric.events (LIKE eventfabric.events_p0 INCLUDING DEFAULTS)
        PARTITION BY RANGE (global_position);
    ALTER TABLE eventfabric.events ATTACH PARTITION eventfabric.events_p0
        FOR VALUES FROM (MINVALUE) TO (1000);
    CREATE TABLE eventfabric.events_p1 PARTITION OF eventfabric.events FOR VALUES FROM (1000) TO (2000);
    INSERT INTO eventfabric.schema_migrations (name) VALUES ('007_partitioning')";

async fn taken_over(before: &'static str) -> (TestDb, EventStore) {
    let db = bare_database().await;
    let mut conn = db.connect().await;
    conn.execute(LIBRARY).await.unwrap();
    conn.execute(PARTITIONED).await.unwrap();
    conn.execute(before).await.unwrap();
    migrate(&db.pool(1).await).await.unwrap();
    let store = EventStore::new(db.pool(4).await);
    (db, store)
}

#[tokio::test]
async fn a_log_that_the_library_has_partitioned_gets_its_promises_back() {
    let (db, store) = taken_over("").await;
    let mut conn = db.connect().await;
    let events = number(&mut conn, "SELECT count(*) FROM eventfabric.events").await;
    assert!(events > 0);
    assert_eq!(number(&mut conn, "SELECT count(*) FROM eventfabric.event_keys").await, events);
    let ids = texts(&mut conn, "SELECT event_id::text FROM eventfabric.events LIMIT 1").await;
    let id: Uuid = ids[0].parse().unwrap();
    let stream = StreamId::new("Account", "another");
    let taken = store.append(stream.clone(), ExpectedVersion::Any, with_ids(&[id])).await;
    assert!(matches!(taken, Err(StoreError::DuplicateEvent { .. })), "{taken:?}");

    let enabled = enable(store.pool(), None, 2, |_| {}).await.unwrap();
    assert!(enabled.already);
    assert_eq!((enabled.size, enabled.doubles), (1000, 0), "the size is that of the library's");
    assert_eq!(bounds(&store).await.last().unwrap().0, "events_p_2000_3000");
    conn.execute("SELECT setval('eventfabric.events_global_position_seq', 1998)").await.unwrap();
    store.append(stream.clone(), ExpectedVersion::NoStream, crate::store::events(5)).await.unwrap();
    assert_eq!(all(&store, &stream).await.len(), 5);
    let last = rows_of(&db).await.pop().unwrap();
    assert!(last.0 == "events_p_2000_3000", "{last:?}");
}

#[tokio::test]
async fn doubles_that_the_library_let_in_are_kept_and_counted() {
    let (db, store) = taken_over(
        "INSERT INTO eventfabric.events
             (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
         SELECT event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload
         FROM eventfabric.events LIMIT 1",
    )
    .await;
    let mut conn = db.connect().await;
    let events = number(&mut conn, "SELECT count(*) FROM eventfabric.events").await;
    assert_eq!(number(&mut conn, "SELECT count(*) FROM eventfabric.event_keys").await, events - 1);
    // Idempotent: the first of the two is the one that has the key.
    let first = "SELECT count(*) FROM eventfabric.event_keys k JOIN eventfabric.events e
                 USING (event_id) WHERE e.global_position < k.global_position";
    assert_eq!(number(&mut conn, first).await, 0);
    drop(store);
}

#[tokio::test]
async fn the_librarys_append_works_on_a_log_that_we_have_partitioned() {
    let (db, store) = partitioned(10, 1).await;
    let mut conn = db.connect().await;
    // Its transaction, for an expected version of 0 and then of 3.
    for (guard, first) in [
        (
            "INSERT INTO eventfabric.stream_versions
                 (aggregate_name, aggregate_id, current_version, tenant_id)
             VALUES ('Account', 'lib', 3, 'default')",
            1,
        ),
        (
            "UPDATE eventfabric.stream_versions SET current_version = 6, updated_at = now()
             WHERE tenant_id = 'default' AND aggregate_name = 'Account' AND aggregate_id = 'lib'
               AND current_version = 3",
            4,
        ),
    ] {
        conn.execute("BEGIN").await.unwrap();
        assert_eq!(conn.execute(guard).await.unwrap().rows_affected(), 1);
        let inserted: Vec<i64> = sqlx::query_scalar(
            "INSERT INTO eventfabric.events
                 (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload,
                  tenant_id)
             SELECT gen_random_uuid(), 'Account', 'lib', $1 + n, 'T', 1,
                    '{\"type\": \"T\", \"version\": 1}', 'default'
             FROM generate_series(0, 2) n
             RETURNING global_position",
        )
        .bind(first)
        .fetch_all(&mut conn)
        .await
        .unwrap();
        assert_eq!(inserted.len(), 3);
        conn.execute("COMMIT").await.unwrap();
    }
    let stream = StreamId::new("Account", "lib");
    store.append(stream.clone(), ExpectedVersion::Exact(6), crate::store::events(5)).await.unwrap();
    let versions: Vec<i32> = all(&store, &stream).await.iter().map(|e| e.version).collect();
    assert_eq!(versions, (1..=11).collect::<Vec<_>>());
}

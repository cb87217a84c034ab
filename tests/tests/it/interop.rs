//! One database, two programs: the TypeScript library's steps in SQL, and ours.

use std::time::Duration;

use chrono::{DateTime, Utc};
use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::migrate::migrate;
use eventfabric::store::{
    Append, Checkpoint, EventStore, Look, SafeHead, StoreError, checkpoints, claim, foreign_worker,
};
use eventfabric_tests::{TestDb, bare_database, database};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::cli::run;
use crate::store::{all, event, events, versions};

const LIBRARY: &str = include_str!("../../fixtures/library_schema.sql");

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

/// What the library's loader asks of each row of a stream: payloads with a `type` that is a string
/// and a `version` that is a number, versions without holes, and the stream's row at the last one.
async fn loads_in_the_library(conn: &mut PgConnection, stream: &StreamId) -> i32 {
    let rows: Vec<(i32, Option<String>, Option<String>, bool)> = sqlx::query_as(
        "SELECT aggregate_version, jsonb_typeof(payload->'type'), jsonb_typeof(payload->'version'),
                payload->>'type' = type AND (payload->>'version')::int = version
         FROM eventfabric.events
         WHERE tenant_id = $1 AND aggregate_name = $2 AND aggregate_id = $3
         ORDER BY aggregate_version",
    )
    .bind(&stream.tenant)
    .bind(&stream.aggregate)
    .bind(&stream.id)
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    for ((version, of_type, of_version, agree), wanted) in rows.iter().zip(1..) {
        assert_eq!(*version, wanted);
        assert_eq!(of_type.as_deref(), Some("string"), "{stream} at {version}");
        assert_eq!(of_version.as_deref(), Some("number"), "{stream} at {version}");
        assert!(agree, "{stream} at {version}");
    }
    let current: i32 = sqlx::query_scalar(
        "SELECT current_version FROM eventfabric.stream_versions
         WHERE tenant_id = $1 AND aggregate_name = $2 AND aggregate_id = $3",
    )
    .bind(&stream.tenant)
    .bind(&stream.aggregate)
    .bind(&stream.id)
    .fetch_one(conn)
    .await
    .unwrap();
    assert_eq!(current as usize, rows.len());
    current
}

#[tokio::test]
async fn the_events_of_the_library_are_read_by_our_program() {
    let db = bare_database().await;
    db.connect().await.execute(sqlx::raw_sql(LIBRARY)).await.unwrap();
    run(&db, &["events"]).await.well();
    let said = run(&db, &["migrate", "--json"]).await.well();
    assert_eq!(said.json()["already"], 8);

    let log = run(&db, &["events", "--json"]).await.well();
    let positions: Vec<i64> = log.lines().iter().map(|e| e["position"].as_i64().unwrap()).collect();
    assert_eq!(positions, [1, 2, 3, 5], "a hole at 4, and 6 was dismissed");
    assert!(log.out.contains("9007199254740993") && log.out.contains("Ümit"), "{}", log.out);
    let said = run(&db, &["events", "Account/a1", "--tenant", "acme", "--json"]).await.well();
    assert_eq!(said.lines().len(), 1);
    let letters = run(&db, &["dlq", "list", "--json"]).await.well().json();
    assert_eq!(letters[0]["position"], 1);
    assert_eq!(letters[0]["projection"], json!(null), "a letter of the library stands for all");
}

#[tokio::test]
async fn the_place_where_the_library_stopped_is_where_we_begin() {
    let (db, store) = taken_over().await;
    let pool = store.pool();
    let mut found = checkpoints(pool, "balances").await.unwrap();
    found.sort_by_key(|checkpoint| checkpoint.position);
    let checkpoint = |tenant: &str, position| Checkpoint { tenant: tenant.to_owned(), position };
    assert_eq!(found, [checkpoint("acme", 0), checkpoint("default", 3)]);

    let mut head = SafeHead::from(0);
    while head.look(pool).await.unwrap() != Look::AtEnd {}
    assert_eq!(head.position(), 6);
    let snapshot: (i32, String) =
        sqlx::query_as("SELECT aggregate_version, state->>'cents' FROM eventfabric.snapshots")
            .fetch_one(&mut db.connect().await)
            .await
            .unwrap();
    assert_eq!(snapshot, (2, "9007199254740993".to_owned()));
}

#[tokio::test]
async fn claims_of_a_dead_worker_of_the_library_are_taken_over_and_fresh_ones_respected() {
    let (db, store) = taken_over().await;
    let lease = Duration::from_secs(60);
    let mut conn = db.connect().await;
    assert!(foreign_worker(store.pool(), lease).await.unwrap().is_none());
    let mut tx = conn.begin().await.unwrap();
    let claimed = claim(&mut tx, 10, lease, 0).await.unwrap().rows;
    let positions: Vec<i64> = claimed.iter().map(|row| row.event.position).collect();
    assert_eq!(positions, [2, 3, 5], "the stranded row is between the others");
    tx.rollback().await.unwrap();

    conn.execute("UPDATE eventfabric.outbox SET locked_at = now() WHERE global_position = 3")
        .await
        .unwrap();
    let worker = foreign_worker(store.pool(), lease).await.unwrap().expect("it lives");
    assert_eq!(worker.worker.as_deref(), Some("worker-of-the-library"));
    let mut tx = conn.begin().await.unwrap();
    assert!(
        claim(&mut tx, 10, lease, 0).await.unwrap().rows.is_empty(),
        "the queue is the library's"
    );
}

#[tokio::test]
async fn what_we_append_is_what_the_library_expects() {
    let (db, store) = taken_over().await;
    let mut conn = db.connect().await;
    let at = |tenant: &str, id: &str| StreamId::new("Account", id).in_tenant(tenant);
    let given: DateTime<Utc> = "2024-02-01T00:00:00Z".parse().unwrap();
    for (stream, before) in [(at("default", "a1"), 2), (at("acme", "a1"), 1), (at("acme", "n"), 0)]
    {
        let own = NewEvent { occurred_at: Some(given), ..event("MoneyDeposited", 1) };
        let plain = NewEvent { schema_version: 3, ..event("Quoted \"type\"\\", 2) };
        let append = Append {
            stream: stream.clone(),
            expected: ExpectedVersion::Exact(before),
            topic: Some("accounts".to_owned()),
            events: vec![own, plain],
        };
        let appended = store.append_all(vec![append]).await.unwrap();
        assert_eq!(loads_in_the_library(&mut conn, &stream).await, before + 2);
        let queued: Vec<(i64, Option<String>, String)> = sqlx::query_as(
            "SELECT global_position, topic, tenant_id FROM eventfabric.outbox
             ORDER BY id DESC LIMIT 2",
        )
        .fetch_all(&mut conn)
        .await
        .unwrap();
        let wanted: Vec<_> = appended
            .events
            .iter()
            .rev()
            .map(|e| (e.position, Some("accounts".to_owned()), stream.tenant.clone()))
            .collect();
        assert_eq!(queued, wanted);
    }
}

#[tokio::test]
async fn appends_of_both_keep_one_sequence_of_versions() {
    let (db, store) = taken_over().await;
    let mut conn = db.connect().await;
    let (old, new) = (StreamId::new("Account", "a1"), StreamId::new("Account", "new"));
    // Beginning with the library, and beginning with us.
    library_append(&mut conn, &old, 2, 2).await.unwrap();
    store.append(new.clone(), ExpectedVersion::NoStream, events(4)).await.unwrap();
    for stream in [&old, &new] {
        store.append(stream.clone(), ExpectedVersion::Exact(4), events(3)).await.unwrap();
        library_append(&mut conn, stream, 7, 1).await.unwrap();
        store.append(stream.clone(), ExpectedVersion::StreamExists, events(1)).await.unwrap();
        store.append(stream.clone(), ExpectedVersion::Any, events(1)).await.unwrap();
        library_append(&mut conn, stream, 10, 2).await.unwrap();
        assert_eq!(versions(&store, stream).await, (1..=12).collect::<Vec<_>>());
        assert_eq!(loads_in_the_library(&mut conn, stream).await, 12);

        // Each tells the other's stale writers.
        assert_eq!(library_append(&mut conn, stream, 0, 1).await, Err(Refused::Exists));
        assert_eq!(library_append(&mut conn, stream, 9, 1).await, Err(Refused::Concurrency));
        for stale in [ExpectedVersion::NoStream, ExpectedVersion::Exact(10)] {
            let error = store.append(stream.clone(), stale, events(1)).await.unwrap_err();
            assert!(matches!(error, StoreError::Conflict { actual: 12, .. }), "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_append_to_one_stream_at_once_and_no_version_is_lost_or_taken_twice() {
    const ROUNDS: usize = 25;
    let db = database().await;
    let store = EventStore::new(db.pool(4).await);
    let stream = StreamId::new("Account", "hot");
    let current = "SELECT current_version FROM eventfabric.stream_versions";
    let mut writers = Vec::new();
    for _ in 0..2 {
        let (mut conn, theirs) = (db.connect().await, stream.clone());
        writers.push(tokio::spawn(async move {
            for _ in 0..ROUNDS {
                loop {
                    let seen: Option<i32> =
                        sqlx::query_scalar(current).fetch_optional(&mut conn).await.unwrap();
                    let seen = seen.unwrap_or(0);
                    if library_append(&mut conn, &theirs, seen, 1).await.is_ok() {
                        break;
                    }
                }
            }
        }));
        let (store, stream) = (store.clone(), stream.clone());
        writers.push(tokio::spawn(async move {
            let mut expected = 0;
            for _ in 0..ROUNDS {
                let id = Uuid::now_v7();
                loop {
                    let one = vec![NewEvent { id: Some(id), ..event("Ours", 1) }];
                    match store.append(stream.clone(), ExpectedVersion::Exact(expected), one).await
                    {
                        Ok(appended) => {
                            assert!(!appended.repeated);
                            expected = appended.events[0].version;
                            break;
                        }
                        Err(StoreError::Conflict { actual, .. }) => expected = actual,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }));
    }
    let all_writers = futures::future::try_join_all(writers);
    tokio::time::timeout(Duration::from_secs(60), all_writers).await.expect("no dead end").unwrap();
    let found = all(&store, &stream).await;
    assert_eq!(found.len(), 4 * ROUNDS);
    assert_eq!(found.iter().filter(|event| event.event_type == "Ours").count(), 2 * ROUNDS);
    let mut conn = db.connect().await;
    assert_eq!(loads_in_the_library(&mut conn, &stream).await as usize, 4 * ROUNDS);
}

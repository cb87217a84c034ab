//! What each side writes is what the other one expects: appends, loads, snapshots, checkpoints.

use std::time::Duration;

use chrono::{DateTime, Utc};
use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::{Append, EventStore, NewSnapshot, StoreError, save_snapshots};
use eventfabric_tests::database;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Refused, library_append, taken_over};
use crate::store::{all, event, events, store, versions};

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

/// The names that the library's `migrate()` looks for; it applies those that are not recorded.
const LOOKED_FOR: [&str; 8] = [
    "001_init",
    "002_projection_checkpoints",
    "003_outbox_and_dlq",
    "004_snapshots",
    "005_stream_versions",
    "006_performance",
    "008_tenant_id",
    "009_per_tenant_projection_checkpoints",
];

#[tokio::test]
async fn the_librarys_migrate_would_find_nothing_to_do() {
    let ours = database().await;
    let (theirs, _) = taken_over().await;
    for db in [ours, theirs] {
        let missing: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM unnest($1::text[]) AS wanted (name)
             EXCEPT SELECT name FROM eventfabric.schema_migrations",
        )
        .bind(&LOOKED_FOR[..])
        .fetch_all(&mut db.connect().await)
        .await
        .unwrap();
        assert_eq!(missing, [""; 0]);
    }
}

/// A snapshot as the library writes it: the latest only.
const LIBRARY_SNAPSHOT: &str = "INSERT INTO eventfabric.snapshots
        (tenant_id, aggregate_name, aggregate_id, aggregate_version, snapshot_schema_version, state)
    VALUES ('default', 'Account', '1', $1, 1, '{\"cents\": 9007199254740993}')
    ON CONFLICT (tenant_id, aggregate_name, aggregate_id) DO UPDATE
    SET aggregate_version = excluded.aggregate_version, state = excluded.state,
        snapshot_schema_version = excluded.snapshot_schema_version, created_at = now()";

#[tokio::test]
async fn snapshots_of_each_side_are_the_others_too() {
    let (db, store) = store().await;
    let mut conn = db.connect().await;
    let stream = StreamId::new("Account", "1");
    store.append(stream.clone(), ExpectedVersion::NoStream, events(6)).await.unwrap();
    sqlx::query(LIBRARY_SNAPSHOT).bind(2).execute(&mut conn).await.unwrap();
    let read = store.stream_head(&stream, true).await.unwrap().expect("a stream");
    let snapshot = read.snapshot.expect("its snapshot");
    assert_eq!((read.version, snapshot.version, snapshot.schema_version), (6, 2, 1));
    assert_eq!(snapshot.state, r#"{"cents": 9007199254740993}"#);

    let ours = NewSnapshot {
        stream: stream.clone(),
        version: 4,
        schema_version: 2,
        state: r#"{"cents": 7}"#.to_owned(),
        whole: true,
    };
    save_snapshots(&mut conn, &[ours]).await.unwrap();
    let loaded: (i32, i32, String) = sqlx::query_as(
        "SELECT aggregate_version, snapshot_schema_version, state->>'cents'
         FROM eventfabric.snapshots
         WHERE tenant_id = 'default' AND aggregate_name = 'Account' AND aggregate_id = '1'",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(loaded, (4, 2, "7".to_owned()));
    sqlx::query(LIBRARY_SNAPSHOT).bind(6).execute(&mut conn).await.unwrap();
    let again = store.stream_head(&stream, true).await.unwrap().and_then(|head| head.snapshot);
    assert_eq!(again.map(|snapshot| snapshot.version), Some(6));
}

#[tokio::test]
async fn checkpoints_of_the_library_are_kept_beside_ours_in_one_table() {
    let (db, store) = store().await;
    let mut conn = db.connect().await;
    // As the library moves a checkpoint: the key is the projection and the tenant.
    for (tenant, position) in [("default", 1_i64), ("acme", 2), ("default", 3)] {
        sqlx::query(
            "INSERT INTO eventfabric.projection_checkpoints
                 (projection_name, tenant_id, last_global_position, updated_at)
             VALUES ('balances', $1, $2, now())
             ON CONFLICT (projection_name, tenant_id) DO UPDATE
             SET last_global_position = excluded.last_global_position, updated_at = now()",
        )
        .bind(tenant)
        .bind(position)
        .execute(&mut conn)
        .await
        .unwrap();
    }
    let mut found = eventfabric::store::checkpoints(store.pool(), "balances").await.unwrap();
    found.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    let said: Vec<_> = found.iter().map(|c| (c.tenant.as_str(), c.position)).collect();
    assert_eq!(said, [("acme", 2), ("default", 3)]);
}

#[tokio::test]
async fn an_event_that_the_library_dismisses_by_its_id_is_left_out_of_our_reads() {
    let (db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    let id = Uuid::now_v7();
    let dismissed = NewEvent { id: Some(id), ..event("Opened", 1) };
    store.append(stream.clone(), ExpectedVersion::NoStream, vec![dismissed]).await.unwrap();
    store.append(stream.clone(), ExpectedVersion::Exact(1), events(1)).await.unwrap();
    let given: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    sqlx::query(
        "UPDATE eventfabric.events
         SET dismissed_at = $2, dismissed_reason = 'erasure', dismissed_by = 'admin'
         WHERE event_id = $1",
    )
    .bind(id)
    .bind(given)
    .execute(&mut db.connect().await)
    .await
    .unwrap();
    assert_eq!(versions(&store, &stream).await, [2]);
    let found = store.dismissals(&Default::default(), 10).await.unwrap();
    assert_eq!((found[0].event_id, found[0].dismissed_at), (Some(id), given));
}

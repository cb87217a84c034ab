//! Partitions that leave the log, and come back.

use eventfabric::event::{ExpectedVersion, StreamId};
use eventfabric::store::partition::{
    PartitionError, State, attach, create_ahead, detach, partitions,
};
use eventfabric::store::{Direction, EventStore, Look, SafeHead, StoreError};
use futures::TryStreamExt as _;
use sqlx::Executor as _;

use super::{filled, log, stream_of};
use crate::store::{all, events, versions, with_ids};

async fn state_of(store: &EventStore, name: &str) -> Option<State> {
    let partitions = partitions(store.pool()).await.unwrap();
    partitions.into_iter().find(|partition| partition.name == name).map(|p| p.state)
}

async fn read(store: &EventStore, stream: &StreamId, from: i32) -> Result<Vec<i32>, StoreError> {
    let events = store.read_stream(stream.clone(), Direction::Forward, Some(from));
    events.map_ok(|event| event.version).try_collect().await
}

#[tokio::test]
async fn its_events_leave_the_log_and_come_back() {
    let (_db, store) = filled(10, 45).await;
    let before = format!("{:?}", log(&store).await);
    detach(store.pool(), "events_p_20_30", true).await.unwrap();
    let positions: Vec<i64> = log(&store).await.iter().map(|event| event.position).collect();
    assert_eq!(positions, (1..20).chain(30..=45).collect::<Vec<_>>());
    assert_eq!(state_of(&store, "events_p_20_30").await, Some(State::Detached));
    attach(store.pool(), "events_p_20_30").await.unwrap();
    assert_eq!(before, format!("{:?}", log(&store).await));
    assert_eq!(state_of(&store, "events_p_20_30").await, Some(State::Attached));
    // And once more, the first one, which has no lower bound.
    detach(store.pool(), "events_p0", true).await.unwrap();
    attach(store.pool(), "events_p0").await.unwrap();
    assert_eq!(before, format!("{:?}", log(&store).await));
    // It makes nothing anew where a partition was.
    detach(store.pool(), "events_p_30_40", true).await.unwrap();
    let made = create_ahead(store.pool(), 2).await.unwrap();
    assert!(made.iter().all(|name| !name.contains("30_40")), "{made:?}");
}

#[tokio::test]
async fn a_stream_that_needs_them_is_not_taken_for_a_shorter_one() {
    let (_db, store) = filled(10, 0).await;
    // Three partitions: 1 to 9, 10 to 19, 20 to 27.
    let long = stream_of(1000);
    for version in 0..9 {
        let expected = ExpectedVersion::Exact(version * 3);
        store.append(long.clone(), expected, events(3)).await.unwrap();
    }
    let young = stream_of(2000);
    store.append(young.clone(), ExpectedVersion::NoStream, events(2)).await.unwrap();
    detach(store.pool(), "events_p1", true).await.unwrap();
    for direction in [Direction::Forward, Direction::Backward] {
        let stream = store.read_stream(long.clone(), direction, None);
        let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
        assert!(error.is_detached());
        let text = error.to_string();
        for word in ["version 1 of Account/a1000", "events_p1", "partitions attach events_p1"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    // What lies behind it, and who is not concerned, is read.
    assert_eq!(read(&store, &long, 10).await.unwrap(), (10..=27).collect::<Vec<_>>());
    assert_eq!(versions(&store, &young).await, [1, 2]);
    // Appends need the version alone.
    store.append(long.clone(), ExpectedVersion::Exact(27), events(1)).await.unwrap();
    attach(store.pool(), "events_p1").await.unwrap();
    assert_eq!(all(&store, &long).await.len(), 28);
}

#[tokio::test]
async fn ids_and_versions_of_detached_events_stay_taken() {
    let (db, store) = filled(10, 0).await;
    let ids: Vec<uuid::Uuid> = (0..3).map(|_| uuid::Uuid::now_v7()).collect();
    store.append(stream_of(0), ExpectedVersion::NoStream, with_ids(&ids)).await.unwrap();
    for n in 1..8 {
        store.append(stream_of(n), ExpectedVersion::NoStream, events(3)).await.unwrap();
    }
    detach(store.pool(), "events_p1", true).await.unwrap();
    let again = store.append(stream_of(0), ExpectedVersion::Any, with_ids(&ids)).await;
    assert!(matches!(again, Err(StoreError::DuplicateEvent { .. })), "{again:?}");
    assert_eq!(store.known_ids(&ids).await.unwrap().len(), 3);
    let version = "INSERT INTO eventfabric.events
        (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
        VALUES (gen_random_uuid(), 'Account', 'a0', 1, 'T', 1, '{}')";
    let refused = db.connect().await.execute(version).await.unwrap_err().to_string();
    assert!(refused.contains("event_keys_version_key"), "{refused}");
}

#[tokio::test]
async fn the_safe_head_passes_a_hole_that_a_partition_left() {
    let (db, store) = filled(10, 45).await;
    detach(store.pool(), "events_p1", true).await.unwrap();
    detach(store.pool(), "events_p_20_30", true).await.unwrap();
    let mut head = SafeHead::from(0);
    crate::runners::until("the head is at the end", async || {
        assert_ne!(head.look(store.pool()).await.unwrap(), Look::Shorter);
        head.position() == 45
    })
    .await;
    // One that is open does not keep the head from passing it, once it has begun later.
    let mut writer = db.connect().await;
    writer.execute("BEGIN; SELECT count(*) FROM eventfabric.events").await.unwrap();
    let mut head = SafeHead::from(0);
    crate::runners::until("the head is at the end", async || {
        head.look(store.pool()).await.unwrap();
        head.position() == 45
    })
    .await;
}

#[tokio::test]
async fn a_partition_into_which_events_are_still_to_come_stays() {
    let (_db, store) = filled(10, 25).await;
    for name in ["events_p_20_30", "events_p_30_40"] {
        let error = detach(store.pool(), name, true).await.unwrap_err();
        assert!(matches!(error, PartitionError::InUse(_)), "{error}");
    }
    let error = detach(store.pool(), "events_p9", true).await.unwrap_err();
    assert!(matches!(error, PartitionError::Invalid(_)), "{error}");
    let error = attach(store.pool(), "events_p1").await.unwrap_err();
    assert!(error.to_string().contains("was not detached"), "{error}");
}

#[tokio::test]
async fn a_partition_that_a_projection_has_not_read_stays_unless_told_otherwise() {
    let (db, store) = filled(10, 25).await;
    let mut conn = db.connect().await;
    conn.execute("TRUNCATE eventfabric.outbox").await.unwrap();
    let at = "INSERT INTO eventfabric.projection_checkpoints
                  (projection_name, last_global_position, tenant_id) VALUES ('owners', $1, $2)
              ON CONFLICT (projection_name, tenant_id) DO UPDATE SET last_global_position = $1";
    for (position, tenant, free) in
        [(15, "default", false), (19, "default", true), (3, "another", true)]
    {
        sqlx::query(at).bind(position).bind(tenant).execute(&mut conn).await.unwrap();
        match detach(store.pool(), "events_p_10_20", false).await {
            Ok(()) => {
                assert!(free);
                attach(store.pool(), "events_p_10_20").await.unwrap();
            }
            Err(PartitionError::NotRead { who, .. }) => {
                assert_eq!((free, &*who[0]), (false, "owners"))
            }
            Err(error) => panic!("{error}"),
        }
    }
    conn.execute("INSERT INTO eventfabric.outbox (global_position) VALUES (12)").await.unwrap();
    let error = detach(store.pool(), "events_p_10_20", false).await.unwrap_err();
    assert!(error.to_string().contains("the outbox"), "{error}");
    detach(store.pool(), "events_p_10_20", true).await.unwrap();
}

#[tokio::test]
async fn detached_events_stay_append_only() {
    let (db, store) = filled(10, 25).await;
    detach(store.pool(), "events_p1", true).await.unwrap();
    let mut conn = db.connect().await;
    for sql in [
        "DELETE FROM eventfabric.events_p1",
        "UPDATE eventfabric.events_p1 SET type = 'X'",
        "TRUNCATE eventfabric.events_p1",
    ] {
        let error = conn.execute(sql).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn appends_and_reads_go_on_while_a_partition_leaves() {
    let (db, store) = filled(10, 45).await;
    // A reader of the partition keeps it; nobody waits for that but the detach itself.
    let mut reader = db.connect().await;
    reader.execute("BEGIN; SELECT count(*) FROM eventfabric.events").await.unwrap();
    let pool = store.pool().clone();
    let leaving = tokio::spawn(async move { detach(&pool, "events_p1", true).await });
    crate::runners::until("it is on its way", async || {
        state_of(&store, "events_p1").await == Some(State::Detaching)
    })
    .await;
    store.append(stream_of(500), ExpectedVersion::NoStream, events(3)).await.unwrap();
    assert_eq!(log(&store).await.len(), 45 + 3 - 9);
    assert!(!leaving.is_finished());
    reader.execute("COMMIT").await.unwrap();
    leaving.await.unwrap().unwrap();
    assert_eq!(state_of(&store, "events_p1").await, Some(State::Detached));
}

#[tokio::test]
async fn a_detach_that_was_interrupted_is_finished_by_the_next_one() {
    let (db, store) = filled(10, 45).await;
    let mut reader = db.connect().await;
    reader.execute("BEGIN; SELECT count(*) FROM eventfabric.events").await.unwrap();
    let pool = store.pool().clone();
    let leaving = tokio::spawn(async move { detach(&pool, "events_p1", true).await });
    crate::runners::until("it is on its way", async || {
        state_of(&store, "events_p1").await == Some(State::Detaching)
    })
    .await;
    let cancel = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND query LIKE 'ALTER TABLE%CONCURRENTLY'";
    db.connect().await.execute(cancel).await.unwrap();
    assert!(leaving.await.unwrap().is_err());
    reader.execute("COMMIT").await.unwrap();
    detach(store.pool(), "events_p1", true).await.unwrap();
    assert_eq!(state_of(&store, "events_p1").await, Some(State::Detached));
    attach(store.pool(), "events_p1").await.unwrap();
    assert_eq!(log(&store).await.len(), 45);
}

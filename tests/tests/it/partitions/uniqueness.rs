//! What the partitioned table itself can't promise any more.

use eventfabric::event::{ExpectedVersion, StreamId};
use eventfabric::store::StoreError;
use sqlx::{Executor as _, PgConnection};
use uuid::Uuid;

use super::{filled, stream_of};
use crate::store::{number, with_ids};

const ID: &str = "0192f4a6-0000-7000-8000-000000000001";

/// Inserts an event by plain SQL, as another program may: an id, a stream, a version.
async fn insert(
    conn: &mut PgConnection,
    table: &str,
    id: &str,
    stream: &str,
    version: i32,
) -> Result<(), String> {
    let sql = format!(
        "INSERT INTO eventfabric.{table}
             (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
         VALUES ('{id}', 'Account', '{stream}', {version}, 'T', 1, '{{}}')"
    );
    let done = conn.execute(sqlx::AssertSqlSafe(sql)).await;
    done.map(drop).map_err(|error| {
        let db = error.as_database_error().unwrap();
        format!("{} {}", db.code().unwrap(), db.constraint().unwrap_or_default())
    })
}

#[tokio::test]
async fn an_id_of_an_older_partition_is_taken_whoever_writes() {
    let (db, store) = filled(10, 0).await;
    let id: Uuid = ID.parse().unwrap();
    store.append(stream_of(0), ExpectedVersion::Any, with_ids(&[id])).await.unwrap();
    super::fill(&store, 0).await;
    let mut conn = db.connect().await;
    conn.execute("SELECT setval('eventfabric.events_global_position_seq', 15)").await.unwrap();
    let refused = insert(&mut conn, "events", ID, "other", 1).await.unwrap_err();
    assert_eq!(refused, "23505 event_keys_pkey");
    let taken = store.append(stream_of(5), ExpectedVersion::Any, with_ids(&[id])).await;
    assert!(matches!(taken, Err(StoreError::DuplicateEvent { .. })), "{taken:?}");
    assert_eq!(number(&mut conn, "SELECT count(*) FROM eventfabric.events").await, 1);
}

#[tokio::test]
async fn a_version_of_a_stream_is_taken_even_for_who_passes_by_the_stream_versions() {
    let (db, _store) = filled(10, 25).await;
    let mut conn = db.connect().await;
    let id = Uuid::now_v7().to_string();
    let refused = insert(&mut conn, "events", &id, "a0", 2).await.unwrap_err();
    assert_eq!(refused, "23505 event_keys_version_key");
    insert(&mut conn, "events", &id, "a0", 4).await.unwrap();
}

#[tokio::test]
async fn two_writers_of_one_id_in_two_partitions_at_the_same_time_are_not_both_let_in() {
    let (db, _store) = filled(10, 8).await;
    let (mut first, mut second) = (db.connect().await, db.connect().await);
    first.execute("BEGIN").await.unwrap();
    insert(&mut first, "events", ID, "x", 1).await.unwrap();
    second.execute("SELECT setval('eventfabric.events_global_position_seq', 12)").await.unwrap();
    let other = tokio::spawn(async move { insert(&mut second, "events", ID, "y", 1).await });
    // It waits for the first one, which the server shows.
    let mut eyes = db.connect().await;
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while number(&mut eyes, waits).await == 0 {
        tokio::task::yield_now().await;
    }
    first.execute("COMMIT").await.unwrap();
    assert_eq!(other.await.unwrap().unwrap_err(), "23505 event_keys_pkey");
}

#[tokio::test]
async fn the_name_of_a_partition_is_no_way_around() {
    let (db, _store) = filled(10, 12).await;
    let mut conn = db.connect().await;
    let id = Uuid::now_v7().to_string();
    let refused = insert(&mut conn, "events_p_10_20", &id, "a0", 1).await.unwrap_err();
    assert_eq!(refused, "23505 event_keys_version_key");
    insert(&mut conn, "events_p_10_20", &id, "new", 1).await.unwrap();
    assert_eq!(
        insert(&mut conn, "events", &id, "newer", 1).await.unwrap_err(),
        "23505 event_keys_pkey"
    );
}

#[tokio::test]
async fn an_append_that_is_made_again_answers_as_the_first_time_from_another_partition() {
    let (_db, store) = filled(10, 0).await;
    let ids: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
    let first =
        store.append(stream_of(0), ExpectedVersion::NoStream, with_ids(&ids)).await.unwrap();
    for n in 1..9 {
        store.append(stream_of(n), ExpectedVersion::Any, crate::store::events(5)).await.unwrap();
    }
    for expected in [ExpectedVersion::NoStream, ExpectedVersion::Any] {
        let again = store.append(stream_of(0), expected, with_ids(&ids)).await.unwrap();
        assert!(again.repeated);
        assert_eq!(again.events, first.events);
    }
    assert_eq!(store.known_ids(&ids).await.unwrap().len(), 4);
    // Half of them is not this append.
    let other = StreamId::new("Account", "other");
    let half = store.append(other, ExpectedVersion::Any, with_ids(&ids[2..])).await;
    assert!(matches!(half, Err(StoreError::DuplicateEvent { .. })), "{half:?}");
}

//! The store against a real database: what an append promises, and what a read gives back.

mod append;
mod claiming;
mod concurrent;
mod connections;
mod dismissal;
mod group;
mod guard;
mod invalid;
mod lookup;
mod plans;
mod query;
mod read;
mod repeat;
mod schemas;

use eventfabric::event::{Event, NewEvent, StreamId};
use eventfabric::store::{Direction, EventStore};
use eventfabric_tests::{TestDb, database};
use futures::TryStreamExt as _;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

/// A fresh database with a store on it.
pub async fn store() -> (TestDb, EventStore) {
    let db = database().await;
    let store = EventStore::new(db.pool(8).await);
    (db, store)
}

/// An event with a number in its payload.
pub fn event(event_type: &str, n: i64) -> NewEvent {
    NewEvent::new(event_type, &json!({ "n": n })).unwrap()
}

/// `count` events of the type `Counted`, numbered from 1.
pub fn events(count: i64) -> Vec<NewEvent> {
    (1..=count).map(|n| event("Counted", n)).collect()
}

/// The same with the ids given.
pub fn with_ids(ids: &[Uuid]) -> Vec<NewEvent> {
    ids.iter()
        .zip(events(ids.len() as i64))
        .map(|(id, event)| NewEvent { id: Some(*id), ..event })
        .collect()
}

/// A whole stream, oldest first.
pub async fn all(store: &EventStore, stream: &StreamId) -> Vec<Event> {
    store.read_stream(stream.clone(), Direction::Forward, None).try_collect().await.unwrap()
}

/// The versions of a whole stream.
pub async fn versions(store: &EventStore, stream: &StreamId) -> Vec<i32> {
    all(store, stream).await.iter().map(|event| event.version).collect()
}

/// One number that a statement answers.
pub async fn number(conn: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

/// How many events, streams and outbox rows there are: what an append that failed must not change.
pub async fn rows(db: &TestDb) -> (i64, i64, i64) {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM eventfabric.events),
                (SELECT coalesce(sum(current_version), 0) FROM eventfabric.stream_versions),
                (SELECT count(*) FROM eventfabric.outbox)",
    )
    .fetch_one(&mut db.connect().await)
    .await
    .unwrap()
}

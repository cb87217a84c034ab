//! A log in partitions: how it gets them, and that it promises what it promised before.

mod absent;
mod ahead;
mod borders;
mod detach;
mod enable;
mod library;
mod plans;
mod uniqueness;

use eventfabric::event::{Event, ExpectedVersion, StreamId};
use eventfabric::store::partition::{Partition, enable, partitions};
use eventfabric::store::{EventStore, LogFilter};
use eventfabric_tests::{TestDb, database};
use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::store::events;

/// A database whose log has partitions of this size.
pub async fn partitioned(size: i64, ahead: i32) -> (TestDb, EventStore) {
    let db = database().await;
    let store = EventStore::new(db.pool(8).await);
    enable(store.pool(), Some(size), ahead, |_| {}).await.unwrap();
    (db, store)
}

/// The same with `n` events in streams of three, and room for more: no position is used up by an
/// append that has to make its partition first.
pub async fn filled(size: i64, n: i64) -> (TestDb, EventStore) {
    let (db, store) = partitioned(size, 10).await;
    fill(&store, n).await;
    (db, store)
}

/// Appends `n` events to streams of three: `a0`, `a1`…
pub async fn fill(store: &EventStore, n: i64) {
    fill_from(store, 0, n).await;
}

/// The same with another first stream.
pub async fn fill_from(store: &EventStore, first: i64, n: i64) {
    for stream in first..first + n / 3 {
        let appended = store.append(stream_of(stream), ExpectedVersion::NoStream, events(3)).await;
        assert_eq!(appended.unwrap().events.len(), 3);
    }
    let left = n % 3;
    if left > 0 {
        let stream = stream_of(first + n / 3);
        store.append(stream, ExpectedVersion::NoStream, events(left)).await.unwrap();
    }
}

pub fn stream_of(n: i64) -> StreamId {
    StreamId::new("Account", format!("a{n}"))
}

/// The whole log.
pub async fn log(store: &EventStore) -> Vec<Event> {
    store.read_log(LogFilter::default()).try_collect().await.unwrap()
}

/// Name and bounds of the partitions.
pub async fn bounds(store: &EventStore) -> Vec<(String, Option<i64>, Option<i64>)> {
    let partitions: Vec<Partition> = partitions(store.pool()).await.unwrap();
    partitions.into_iter().map(|p| (p.name, p.from, p.to)).collect()
}

/// The first column of a query, as text.
pub async fn texts(conn: &mut PgConnection, sql: &str) -> Vec<String> {
    let rows = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(conn).await;
    rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// How many events each partition holds.
pub async fn rows_of(db: &TestDb) -> Vec<(String, i64)> {
    sqlx::query_as(
        "SELECT c.relname::text, count(*)
         FROM eventfabric.events e JOIN pg_class c ON c.oid = e.tableoid
         GROUP BY 1 ORDER BY min(global_position)",
    )
    .fetch_all(&mut db.connect().await)
    .await
    .unwrap()
}

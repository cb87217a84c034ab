//! Appends that cross from one partition into the next.

use std::collections::HashMap;
use std::time::Duration;

use eventfabric::event::{Event, ExpectedVersion};
use eventfabric::store::{EventStore, LogFilter, Look, SafeHead, log_page};
use sqlx::Executor as _;

use super::{partitioned, rows_of, stream_of};
use crate::store::{all, events};

const WRITERS: i64 = 16;
const APPENDS: i32 = 25;

/// Reads the log up to the safe head, until so many events have been seen.
async fn follow(store: EventStore, wanted: usize) -> Vec<Event> {
    let (mut head, mut seen) = (SafeHead::from(0), Vec::new());
    while seen.len() < wanted {
        let before = head.position();
        let look = head.look(store.pool()).await.unwrap();
        assert_ne!(look, Look::Shorter);
        let filter =
            LogFilter { after: before, until: Some(head.position()), ..LogFilter::default() };
        seen.extend(log_page(store.pool(), &filter, 100_000).await.unwrap().events);
        if let Look::AtHole(wait) = look {
            tokio::time::sleep(wait).await;
        } else if look == Look::AtEnd {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_over_many_borders_lose_nothing_and_a_reader_sees_all_in_order() {
    for group in [false, true] {
        // Nobody makes partitions ahead: the appends do, while they are under way.
        let (db, store) = partitioned(150, 1).await;
        let store = if group { store.with_group_commit() } else { store };
        let total = (1..=APPENDS).map(|n| n as usize % 4 + 1).sum::<usize>() * WRITERS as usize;
        let reader = tokio::spawn(follow(EventStore::new(db.pool(2).await), total));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut version = 0;
                    for n in 1..=APPENDS {
                        let (count, expected) = (n % 4 + 1, ExpectedVersion::Exact(version));
                        let appended =
                            store.append(stream_of(writer), expected, events(count.into())).await;
                        version = appended.unwrap().events.last().unwrap().version;
                    }
                    version
                })
            })
            .collect();
        for (writer, task) in writers.into_iter().enumerate() {
            let version = task.await.unwrap();
            let versions: Vec<i32> =
                all(&store, &stream_of(writer as i64)).await.iter().map(|e| e.version).collect();
            assert_eq!(versions, (1..=version).collect::<Vec<_>>());
        }
        let seen = reader.await.unwrap();
        assert_eq!(seen.len(), total);
        assert!(seen.is_sorted_by(|a, b| a.position < b.position));
        let mut versions: HashMap<String, i32> = HashMap::new();
        for event in &seen {
            let version = versions.entry(event.stream.id.clone()).or_default();
            assert_eq!(event.version, *version + 1, "{}", event.stream);
            *version = event.version;
        }
        let rows = rows_of(&db).await;
        assert!(rows.len() >= 5, "five partitions were in use: {rows:?}");
    }
}

#[tokio::test]
async fn a_writer_without_a_host_is_told_what_to_do_when_it_may_make_no_table() {
    let (db, store) = partitioned(10, 1).await;
    let mut conn = db.connect().await;
    // As if the next partition could not be made: its name is taken.
    conn.execute("CREATE TABLE eventfabric.events_p_20_30 ()").await.unwrap();
    let error = store.append(stream_of(0), ExpectedVersion::Any, events(40)).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("no partition") && error.contains("partitions create"), "{error}");
    conn.execute("DROP TABLE eventfabric.events_p_20_30").await.unwrap();
    store.append(stream_of(0), ExpectedVersion::NoStream, events(40)).await.unwrap();
}

#[tokio::test]
async fn the_safe_head_waits_for_a_writer_of_an_older_partition_by_either_name() {
    for table in ["events", "events_p1"] {
        let (db, store) = partitioned(10, 2).await;
        let mut head = SafeHead::from(0);
        let (mut early, mut late) = (db.connect().await, db.connect().await);
        let insert = |table: &str| {
            sqlx::AssertSqlSafe(format!(
                "INSERT INTO eventfabric.{table}
                     (event_id, aggregate_name, aggregate_id, aggregate_version, type, version,
                      payload)
                 VALUES (gen_random_uuid(), 'A', gen_random_uuid()::text, 1, 'T', 1, '{{}}')"
            ))
        };
        early.execute("BEGIN").await.unwrap();
        early.execute(insert(table)).await.unwrap();
        late.execute("SELECT setval('eventfabric.events_global_position_seq', 12)").await.unwrap();
        late.execute(insert("events")).await.unwrap();
        for _ in 0..8 {
            let look = head.look(store.pool()).await.unwrap();
            assert_eq!(head.position(), 0, "position 1 is on its way in {table}");
            if let Look::AtHole(wait) = look {
                tokio::time::sleep(wait).await;
            }
        }
        early.execute("COMMIT").await.unwrap();
        crate::runners::until("the head is at the end", async || {
            head.look(store.pool()).await.unwrap();
            head.position() == 13
        })
        .await;
    }
}

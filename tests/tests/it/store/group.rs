//! Group commit: appends share transactions, and nothing else.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventfabric::db::Tx;
use eventfabric::event::{Event, ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::{
    Append, Appended, Deadline, Epoch, EventStore, Inline, InlineFailure, StoreError,
};
use eventfabric_tests::{TestDb, database};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use sqlx::Connection as _;
use uuid::Uuid;

use super::{all, event, events, number, rows, versions, with_ids};

async fn grouping() -> (TestDb, EventStore) {
    let db = database().await;
    let store = EventStore::new(db.pool(8).await).with_group_commit();
    (db, store)
}

fn stream(n: impl std::fmt::Display) -> StreamId {
    StreamId::new("Account", n.to_string())
}

/// As many appends are at work at a time where inline plugins run in them.
const LANES: usize = 4;

/// Makes all of them at once. With one thread the first (with inline plugins the first four) is under way
/// before the next is looked at, and all others wait: one group, whatever the machine is doing.
async fn at_once(
    store: &EventStore,
    appends: impl IntoIterator<Item = (StreamId, ExpectedVersion, Vec<NewEvent>)>,
) -> Vec<Result<Appended, StoreError>> {
    join_all(appends.into_iter().map(|(stream, expected, events)| {
        let store = store.clone();
        async move { store.append(stream, expected, events).await }
    }))
    .await
}

/// How many transactions wrote the events.
async fn transactions(db: &TestDb) -> i64 {
    let sql = "SELECT count(DISTINCT xmin::text) FROM eventfabric.events";
    number(&mut db.connect().await, sql).await
}

#[tokio::test]
async fn appends_that_arrive_together_share_a_transaction() {
    let (db, store) = grouping().await;
    let appends = (0..101).map(|n| (stream(n), ExpectedVersion::NoStream, events(2)));
    let mut positions = HashSet::new();
    for (n, appended) in at_once(&store, appends).await.into_iter().enumerate() {
        let appended = appended.unwrap();
        assert!(!appended.repeated);
        assert_eq!(appended.events.iter().map(|e| e.version).collect::<Vec<_>>(), [1, 2]);
        let read = all(&store, &stream(n)).await;
        for (told, read) in appended.events.iter().zip(&read) {
            assert_eq!((told.id, told.position), (read.id, read.position));
            assert!(positions.insert(read.position));
        }
    }
    assert_eq!(rows(&db).await, (202, 202, 202));
    assert_eq!(transactions(&db).await, 2, "the first alone, the others together");
}

#[tokio::test]
async fn without_it_each_append_is_a_transaction() {
    let (db, _) = grouping().await;
    let store = EventStore::new(db.pool(8).await);
    let appends = (0..20).map(|n| (stream(n), ExpectedVersion::NoStream, events(1)));
    assert!(at_once(&store, appends).await.iter().all(Result::is_ok));
    assert_eq!(transactions(&db).await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_that_expect_one_version_exactly_one_wins_it() {
    const WRITERS: i64 = 200;
    const VERSIONS: i32 = 5;
    let (db, store) = grouping().await;
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut won = Vec::new();
            for version in 0..VERSIONS {
                let expected = ExpectedVersion::Exact(version);
                match store.append(stream(1), expected, vec![event("Won", writer)]).await {
                    Ok(appended) => won.push(appended.events[0].version),
                    Err(StoreError::Conflict { actual, .. }) => assert!(actual > version),
                    Err(error) => panic!("{error}"),
                }
            }
            won
        })
    });
    let mut won: Vec<i32> =
        join_all(writers).await.into_iter().flat_map(|writer| writer.unwrap()).collect();
    won.sort_unstable();
    assert_eq!(won, [1, 2, 3, 4, 5]);
    assert_eq!(rows(&db).await, (5, 5, 5));
}

#[tokio::test]
async fn a_conflict_is_the_answer_of_one_alone() {
    let (db, store) = grouping().await;
    store.append(stream(3), ExpectedVersion::Any, events(4)).await.unwrap();
    let expected = |n| match n {
        3 => ExpectedVersion::Exact(2),
        5 => ExpectedVersion::StreamExists,
        _ => ExpectedVersion::NoStream,
    };
    let appends = (0..10).map(|n| (stream(n), expected(n), events(1)));
    for (n, answer) in at_once(&store, appends).await.into_iter().enumerate() {
        match (n, answer) {
            (3, Err(StoreError::Conflict { stream, expected, actual })) => {
                assert_eq!(stream.id, "3");
                assert_eq!((expected, actual), (ExpectedVersion::Exact(2), 4));
            }
            (5, Err(StoreError::Conflict { actual, .. })) => assert_eq!(actual, 0),
            (n, answer) => assert_eq!(answer.unwrap().events.len(), 1, "{n}"),
        }
    }
    assert_eq!(rows(&db).await, (12, 12, 12));
    assert_eq!(transactions(&db).await, 1 + 2);
}

#[tokio::test]
async fn what_postgresql_cannot_store_is_the_error_of_one_alone() {
    let (db, store) = grouping().await;
    let huge = || {
        // Deeper than the server's stack.
        let payload = format!(r#"{{"n": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let mut event = event("Huge", 1);
        event.payload = serde_json::value::RawValue::from_string(payload).unwrap();
        vec![event]
    };
    let appends =
        (0..10).map(|n| (stream(n), ExpectedVersion::Any, if n == 4 { huge() } else { events(1) }));
    for (n, answer) in at_once(&store, appends).await.into_iter().enumerate() {
        match answer {
            Err(error) => assert!(n == 4 && error.is_bad_data(), "{n}: {error}"),
            Ok(_) => assert_ne!(n, 4),
        }
    }
    assert_eq!(rows(&db).await, (9, 9, 9));
}

#[tokio::test]
async fn an_id_that_is_taken_is_the_error_of_one_alone_and_a_repeat_is_recognised() {
    let (db, store) = grouping().await;
    let ids: Vec<Uuid> = (0..3).map(|_| Uuid::now_v7()).collect();
    let first = store.append(stream(0), ExpectedVersion::Any, with_ids(&ids)).await.unwrap();
    let appends = (0..8).map(|n| {
        let events = if n == 2 || n == 6 { with_ids(&ids) } else { events(1) };
        // The stream of 6 is where these ids are.
        (stream(if n == 6 { 0 } else { 10 + n }), ExpectedVersion::Any, events)
    });
    for (n, answer) in at_once(&store, appends).await.into_iter().enumerate() {
        match (n, answer) {
            (2, answer) => {
                assert!(matches!(answer, Err(StoreError::DuplicateEvent { .. })), "{answer:?}");
            }
            (6, answer) => {
                let repeated = answer.unwrap();
                assert!(repeated.repeated);
                assert_eq!(repeated.events, first.events);
            }
            (_, answer) => assert!(!answer.unwrap().repeated),
        }
    }
    assert_eq!(rows(&db).await, (9, 9, 9));
}

/// Another program's transaction, open on a stream.
async fn holding(db: &TestDb, sql: &'static str) -> sqlx::PgConnection {
    let mut other = db.connect().await;
    sqlx::raw_sql("BEGIN").execute(&mut other).await.unwrap();
    sqlx::query(sql).execute(&mut other).await.unwrap();
    other
}

#[tokio::test]
async fn a_stream_that_somebody_holds_keeps_nobody_else_waiting() {
    const HELD: usize = LANES + 2;
    let (db, store) = grouping().await;
    for n in 0..HELD {
        store.append(stream(n), ExpectedVersion::Any, events(1)).await.unwrap();
    }
    let sql = "UPDATE eventfabric.stream_versions SET updated_at = now()";
    let mut other = holding(&db, sql).await;
    // One is under way when the others come, the rest are in their group.
    let held = (0..HELD).map(|n| {
        let store = store.clone();
        async move { store.append(stream(n), ExpectedVersion::Exact(1), events(1)).await }
    });
    let mut held = Box::pin(join_all(held));
    assert!(held.as_mut().now_or_never().is_none());
    let appends = (HELD..HELD + 10).map(|n| (stream(n), ExpectedVersion::NoStream, events(1)));
    tokio::select! {
        _ = &mut held => panic!("the streams are held"),
        free = at_once(&store, appends) => assert!(free.iter().all(Result::is_ok), "{free:?}"),
    }
    assert!(held.as_mut().now_or_never().is_none(), "these wait");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert!(held.await.iter().all(Result::is_ok));
    other.close().await.unwrap();
    assert_eq!(rows(&db).await, (22, 22, 22));
}

#[tokio::test]
async fn a_stream_that_somebody_is_starting_keeps_nobody_else_waiting() {
    let (db, store) = grouping().await;
    let sql = "INSERT INTO eventfabric.stream_versions (aggregate_name, aggregate_id)
               VALUES ('Account', '5')";
    let mut other = holding(&db, sql).await;
    let appends = (0..10).filter(|n| *n != 5).map(|n| (n, ExpectedVersion::NoStream)).collect();
    let mut appends: Vec<(i32, ExpectedVersion)> = appends;
    appends.insert(LANES + 2, (5, ExpectedVersion::NoStream));
    let answers = appends.into_iter().map(|(n, expected)| {
        let store = store.clone();
        tokio::spawn(async move { (n, store.append(stream(n), expected, events(1)).await) })
    });
    let (held, free): (Vec<_>, Vec<_>) = answers.enumerate().partition(|(at, _)| *at == LANES + 2);
    for (_, task) in free {
        task.await.unwrap().1.unwrap();
    }
    assert!(!held[0].1.is_finished());
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    for (_, task) in held {
        let (n, answer) = task.await.unwrap();
        assert_eq!((n, answer.unwrap().events[0].version), (5, 1));
    }
    assert_eq!(rows(&db).await, (10, 10, 10));
}

#[tokio::test]
async fn callers_that_go_away_cost_the_others_nothing() {
    let (db, store) = grouping().await;
    let mut tasks: Vec<_> = (0..60)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(
                async move { store.append(stream(n), ExpectedVersion::Any, events(1)).await },
            )
        })
        .collect();
    // All are under way: the first at work, the others waiting for it.
    tokio::task::yield_now().await;
    for task in tasks.iter().step_by(3) {
        task.abort();
    }
    for (n, task) in tasks.drain(..).enumerate() {
        match task.await {
            Ok(answer) => assert_eq!(answer.unwrap().events.len(), 1),
            Err(error) => assert!(error.is_cancelled() && n % 3 == 0),
        }
    }
    let (events, streams, queued) = rows(&db).await;
    assert!((40..=60).contains(&events) && events == streams && events == queued, "{events}");
    store.append(stream(100), ExpectedVersion::NoStream, vec![event("Last", 1)]).await.unwrap();
}

/// An inline projection that notes what it is handed, and refuses events of the type `Refused`.
#[derive(Default)]
struct Notes {
    handed: Mutex<Vec<Vec<Event>>>,
    /// How much of the append's time was left.
    left: Mutex<Vec<Duration>>,
}

impl Inline for Notes {
    fn epoch(&self) -> Epoch {
        Epoch { number: 0, is_empty: false }
    }

    fn refresh(&self) -> BoxFuture<'_, anyhow::Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn run<'a>(
        &'a self,
        _: &'a mut Tx,
        _epoch: i64,
        events: &'a [Event],
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<(), InlineFailure>> {
        async move {
            self.left.lock().unwrap().push(deadline.left());
            self.handed.lock().unwrap().push(events.to_vec());
            if events.iter().all(|event| event.event_type != "Refused") {
                return Ok(());
            }
            Err(InlineFailure {
                plugin: "notes".to_owned(),
                version: String::new(),
                event: None,
                message: "no".to_owned(),
                retryable: false,
                outdated: false,
            })
        }
        .boxed()
    }
}

#[tokio::test]
async fn inline_projections_see_the_events_of_one_append_at_a_time() {
    let db = database().await;
    let notes = Arc::new(Notes::default());
    let store = EventStore::new(db.pool(8).await).with_inline(notes.clone()).with_group_commit();
    let appends = (0..21).map(|n| (stream(n), ExpectedVersion::NoStream, events(3)));
    assert!(at_once(&store, appends).await.iter().all(Result::is_ok));
    assert_eq!(transactions(&db).await, LANES as i64 + 1);
    let handed = notes.handed.lock().unwrap();
    assert_eq!(handed.len(), 21);
    let mut seen = HashSet::new();
    for events in handed.iter() {
        let versions: Vec<i32> = events.iter().map(|event| event.version).collect();
        assert_eq!(versions, [1, 2, 3]);
        assert!(events.iter().all(|event| event.stream == events[0].stream));
        assert!(seen.insert(events[0].stream.clone()));
    }
}

#[tokio::test]
async fn a_group_takes_no_more_than_a_part_of_the_time_that_its_appends_have() {
    let db = database().await;
    let notes = Arc::new(Notes::default());
    let store = EventStore::new(db.pool(8).await)
        .with_inline(notes.clone())
        .with_append_timeout(Duration::from_secs(400))
        .with_group_commit();
    let appends = (0..21).map(|n| (stream(n), ExpectedVersion::NoStream, events(1)));
    assert!(at_once(&store, appends).await.iter().all(Result::is_ok));
    let left = notes.left.lock().unwrap().clone();
    let (alone, grouped): (Vec<Duration>, Vec<Duration>) =
        left.into_iter().partition(|left| *left > Duration::from_secs(100));
    // So the others can be made alone when one of them is slow.
    assert_eq!((alone.len(), grouped.len()), (LANES, 21 - LANES), "{alone:?} {grouped:?}");
}

#[tokio::test]
async fn appends_that_wait_for_their_group_are_answered_in_their_time() {
    let db = database().await;
    let pool = db.pool(1).await;
    let store = EventStore::new(pool.clone())
        .with_append_timeout(Duration::from_millis(300))
        .with_group_commit();
    let only = pool.acquire().await.unwrap();
    let appends = (0..12).map(|n| (stream(n), ExpectedVersion::NoStream, events(1)));
    for answer in at_once(&store, appends).await {
        let error = answer.unwrap_err();
        assert!(matches!(error, StoreError::AppendTimedOut { .. }), "{error}");
        assert!(error.to_string().contains("within 300ms"), "{error}");
    }
    drop(only);
    assert_eq!(rows(&db).await, (0, 0, 0));
    let store = store.with_append_timeout(Duration::from_secs(60));
    store.append(stream(1), ExpectedVersion::NoStream, events(1)).await.unwrap();
}

#[tokio::test]
async fn what_an_inline_projection_refuses_is_the_error_of_one_alone() {
    let db = database().await;
    let store = EventStore::new(db.pool(8).await)
        .with_inline(Arc::new(Notes::default()))
        .with_group_commit();
    let appends = (0..12).map(|n| {
        let event = event(if n == 7 { "Refused" } else { "Counted" }, n);
        (stream(n), ExpectedVersion::NoStream, vec![event])
    });
    for (n, answer) in at_once(&store, appends).await.into_iter().enumerate() {
        match answer {
            Err(StoreError::Inline(failure)) => assert_eq!((n, &*failure.message), (7, "no")),
            answer => assert!(n != 7 && answer.is_ok(), "{n}: {answer:?}"),
        }
    }
    assert_eq!(rows(&db).await, (11, 11, 11));
}

#[tokio::test]
async fn a_database_with_inline_plugins_refuses_a_group_of_a_writer_without_them() {
    let (db, store) = grouping().await;
    let sql = "WITH v AS (
            INSERT INTO eventfabric.plugin_versions (plugin_name, sha256, bytes, description)
            VALUES ('search', 'a', '', '{}'))
        INSERT INTO eventfabric.projections (projection_name, mode, active_sha256)
        VALUES ('search', 'inline', 'a')";
    sqlx::query(sql).execute(&mut db.connect().await).await.unwrap();
    let appends = (0..6).map(|n| (stream(n), ExpectedVersion::Any, events(1)));
    for answer in at_once(&store, appends).await {
        assert!(matches!(answer, Err(StoreError::InlineMissing)), "{answer:?}");
    }
    assert_eq!(rows(&db).await, (0, 0, 0));
}

#[tokio::test]
async fn an_append_to_several_streams_is_all_or_nothing_beside_groups() {
    let (db, store) = grouping().await;
    let both = |expected| {
        [1, 2].map(|n| Append { stream: stream(n), expected, topic: None, events: events(1) })
    };
    let appends = (10..20).map(|n| (stream(n), ExpectedVersion::NoStream, events(1)));
    let (singles, first, second) = tokio::join!(
        at_once(&store, appends),
        store.append_all(both(ExpectedVersion::NoStream).to_vec()),
        store.append_all(both(ExpectedVersion::Exact(1)).to_vec()),
    );
    assert!(singles.iter().all(Result::is_ok));
    first.unwrap();
    let of_both = 1 + i32::from(second.is_ok());
    for n in [1, 2] {
        assert_eq!(versions(&store, &stream(n)).await.len() as i32, of_both);
    }
    assert_eq!(rows(&db).await.0, 10 + 2 * i64::from(of_both));
}

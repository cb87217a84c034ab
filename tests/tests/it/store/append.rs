//! What an append writes, and when it refuses.

use std::time::Duration;

use chrono::{DateTime, Utc};
use eventfabric::event::{Event, ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::{Append, InTransaction, StoreError};
use futures::future::BoxFuture;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{all, event, events, rows, store, versions};

/// Appends an event to a stream of this many events, and says what became of it.
async fn outcome(already: i64, expected: ExpectedVersion) -> Result<i32, (String, i32)> {
    let (db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    if already > 0 {
        store.append(stream.clone(), ExpectedVersion::Any, events(already)).await.unwrap();
    }
    match store.append(stream.clone(), expected, events(1)).await {
        Ok(appended) => {
            assert!(!appended.repeated);
            assert_eq!(versions(&store, &stream).await.len() as i64, already + 1);
            Ok(appended.events[0].version)
        }
        Err(error) => {
            assert_eq!(rows(&db).await, (already, already, already), "a conflict writes nothing");
            let text = error.to_string();
            let StoreError::Conflict { stream: of, expected: told, actual } = error else {
                panic!("{error:?}")
            };
            assert_eq!((of, told), (stream, expected));
            Err((text, actual))
        }
    }
}

#[tokio::test]
async fn any_version_is_never_a_conflict() {
    assert_eq!(outcome(0, ExpectedVersion::Any).await, Ok(1));
    assert_eq!(outcome(3, ExpectedVersion::Any).await, Ok(4));
}

#[tokio::test]
async fn no_stream_holds_only_for_a_stream_without_events() {
    for expected in [ExpectedVersion::NoStream, ExpectedVersion::Exact(0)] {
        assert_eq!(outcome(0, expected).await, Ok(1));
        let (text, actual) = outcome(3, expected).await.unwrap_err();
        assert_eq!(actual, 3);
        assert_eq!(text, "Account/1: expected no stream, but the stream is at version 3");
    }
}

#[tokio::test]
async fn stream_exists_holds_only_for_a_stream_with_events() {
    assert_eq!(outcome(3, ExpectedVersion::StreamExists).await, Ok(4));
    let (text, actual) = outcome(0, ExpectedVersion::StreamExists).await.unwrap_err();
    assert_eq!(actual, 0);
    assert_eq!(text, "Account/1: expected an existing stream, but the stream has no event");
}

#[tokio::test]
async fn an_exact_version_holds_only_for_that_version() {
    assert_eq!(outcome(3, ExpectedVersion::Exact(3)).await, Ok(4));
    for (already, expected) in [(3, 2), (3, 4), (0, 1), (0, i32::MAX)] {
        let (text, actual) = outcome(already, ExpectedVersion::Exact(expected)).await.unwrap_err();
        assert_eq!(i64::from(actual), already);
        assert!(text.contains(&format!("expected version {expected}")), "{text}");
    }
}

#[tokio::test]
async fn events_of_one_append_get_versions_without_holes_and_ascending_positions() {
    let (_db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    for (first, count) in [(1, 250), (251, 3)] {
        let appended =
            store.append(stream.clone(), ExpectedVersion::Any, events(count)).await.unwrap();
        let versions: Vec<i32> = appended.events.iter().map(|event| event.version).collect();
        let wanted: Vec<i32> = (first..first + count as i32).collect();
        assert_eq!(versions, wanted);
        assert!(appended.events.is_sorted_by(|a, b| a.position < b.position));
    }
    // In the order in which they were given.
    let given: Vec<i64> = all(&store, &stream)
        .await
        .iter()
        .map(|event| serde_json::from_str::<Value>(event.payload.get()).unwrap()["n"].as_i64())
        .map(Option::unwrap)
        .collect();
    assert_eq!(given, (1..=250).chain(1..=3).collect::<Vec<i64>>());
}

#[tokio::test]
async fn what_a_writer_gives_is_what_a_reader_gets() {
    let (_db, store) = store().await;
    let stream = StreamId::new("Konto/ü", "a b/c'\"").in_tenant("acme");
    let occurred_at: DateTime<Utc> = "2013-01-01T10:17:00.123456Z".parse().unwrap();
    let given = NewEvent {
        id: Some(Uuid::now_v7()),
        event_type: "Opened".to_owned(),
        schema_version: 7,
        payload: RawValue::from_string(r#"{"owner":"Ünal","n":1}"#.to_owned()).unwrap(),
        occurred_at: Some(occurred_at),
        correlation_id: Some("order 4711".to_owned()),
        causation_id: Some("command 12".to_owned()),
        trace: None,
    };
    let appended =
        store.append(stream.clone(), ExpectedVersion::NoStream, vec![given.clone()]).await.unwrap();
    let read = all(&store, &stream).await.remove(0);
    assert_eq!(read.stream, stream);
    assert_eq!((Some(read.id), read.id), (given.id, appended.events[0].id));
    assert_eq!((read.version, read.position), (1, appended.events[0].position));
    assert_eq!((read.event_type.as_str(), read.schema_version), ("Opened", 7));
    assert_eq!((read.occurred_at, appended.events[0].occurred_at), (occurred_at, occurred_at));
    assert_eq!(read.correlation_id, given.correlation_id);
    assert_eq!(read.causation_id, given.causation_id);
    let payload: Value = serde_json::from_str(read.payload.get()).unwrap();
    assert_eq!(payload, json!({"type": "Opened", "version": 7, "owner": "Ünal", "n": 1}));
}

#[tokio::test]
async fn what_a_writer_leaves_out_is_made_by_the_store() {
    let (_db, store) = store().await;
    let before = Utc::now();
    let stream = StreamId::new("Account", "1");
    let appended = store.append(stream.clone(), ExpectedVersion::Any, events(2)).await.unwrap();
    let ids: Vec<Uuid> = appended.events.iter().map(|event| event.id).collect();
    assert!(ids[0] < ids[1] && ids.iter().all(|id| id.get_version_num() == 7), "{ids:?}");
    for event in all(&store, &stream).await {
        let age = (event.occurred_at - before).num_seconds();
        assert!((-60..60).contains(&age), "the time of the append, not {}", event.occurred_at);
        assert_eq!((event.correlation_id, event.causation_id), (None, None));
    }
}

#[tokio::test]
async fn whole_numbers_of_64_bits_keep_all_their_digits() {
    let (_db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    let payload = r#"{"a":9007199254740993,"b":-9223372036854775808,"c":18446744073709551615}"#;
    let event = NewEvent {
        payload: RawValue::from_string(payload.to_owned()).unwrap(),
        ..event("Counted", 0)
    };
    store.append(stream.clone(), ExpectedVersion::Any, vec![event]).await.unwrap();
    let read = all(&store, &stream).await.remove(0);
    for digits in ["9007199254740993", "-9223372036854775808", "18446744073709551615"] {
        assert!(read.payload.get().contains(digits), "{}", read.payload);
    }
}

#[tokio::test]
async fn each_event_gets_an_outbox_row_with_its_topic_and_tenant() {
    let (db, store) = store().await;
    let append = |id: &str, tenant: &str, topic: Option<&str>| Append {
        stream: StreamId::new("Account", id).in_tenant(tenant),
        expected: ExpectedVersion::Any,
        topic: topic.map(str::to_owned),
        events: events(2),
    };
    store
        .append_all(vec![append("1", "default", Some("accounts")), append("2", "acme", None)])
        .await
        .unwrap();
    let found: Vec<(String, String, i32, Option<String>, i32)> = sqlx::query_as(
        "SELECT o.tenant_id, e.aggregate_id, e.aggregate_version, o.topic, o.attempts
         FROM eventfabric.outbox o
         JOIN eventfabric.events e USING (global_position, tenant_id)
         WHERE o.locked_at IS NULL AND o.dead_lettered_at IS NULL
         ORDER BY o.id",
    )
    .fetch_all(&mut db.connect().await)
    .await
    .unwrap();
    let row = |tenant: &str, id: &str, version, topic: Option<&str>| {
        (tenant.to_owned(), id.to_owned(), version, topic.map(str::to_owned), 0)
    };
    assert_eq!(
        found,
        [
            row("default", "1", 1, Some("accounts")),
            row("default", "1", 2, Some("accounts")),
            row("acme", "2", 1, None),
            row("acme", "2", 2, None),
        ]
    );
}

#[tokio::test]
async fn several_streams_are_appended_in_the_order_given() {
    let (_db, store) = store().await;
    let (a, b) = (StreamId::new("Account", "a"), StreamId::new("Account", "b"));
    let append = |stream: &StreamId, expected| Append {
        stream: stream.clone(),
        expected,
        topic: None,
        events: events(2),
    };
    let appended = store
        .append_all(vec![
            append(&b, ExpectedVersion::NoStream),
            append(&a, ExpectedVersion::NoStream),
            append(&b, ExpectedVersion::Any),
        ])
        .await
        .unwrap();
    let versions: Vec<i32> = appended.events.iter().map(|event| event.version).collect();
    assert_eq!(versions, [1, 2, 1, 2, 3, 4]);
    assert!(appended.events.is_sorted_by(|x, y| x.position < y.position));
    let log: Vec<String> = {
        use futures::TryStreamExt as _;
        store.read_log(Default::default()).map_ok(|e| e.stream.id).try_collect().await.unwrap()
    };
    assert_eq!(log, ["b", "b", "a", "a", "b", "b"]);
}

#[tokio::test]
async fn a_conflict_on_the_second_stream_undoes_the_first() {
    let (db, store) = store().await;
    let (a, b) = (StreamId::new("Account", "a"), StreamId::new("Account", "b"));
    store.append(b.clone(), ExpectedVersion::Any, events(2)).await.unwrap();
    let append = |stream: &StreamId, expected| Append {
        stream: stream.clone(),
        expected,
        topic: None,
        events: events(1),
    };
    for (order, expected) in [
        ([a.clone(), b.clone()], [ExpectedVersion::NoStream, ExpectedVersion::Exact(1)]),
        ([b.clone(), a.clone()], [ExpectedVersion::Exact(2), ExpectedVersion::StreamExists]),
    ] {
        let appends = order.iter().zip(expected).map(|(stream, e)| append(stream, e)).collect();
        let error = store.append_all(appends).await.unwrap_err();
        let StoreError::Conflict { stream, expected: told, actual } = &error else {
            panic!("{error:?}")
        };
        assert_eq!((stream, told), (&order[1], &expected[1]));
        assert_eq!(*actual, if *stream == b { 2 } else { 0 });
        assert_eq!(rows(&db).await, (2, 2, 2), "all or none");
    }
    store.append(a, ExpectedVersion::NoStream, events(1)).await.unwrap();
}

/// Work that holds the transaction open until the append's time is over.
struct Endless;

impl InTransaction for Endless {
    fn run<'a>(
        &'a self,
        _conn: &'a mut PgConnection,
        _events: &'a [Event],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn an_append_is_given_up_when_its_time_is_over_whatever_it_waits_for() {
    let (db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    store.append(stream.clone(), ExpectedVersion::NoStream, events(1)).await.unwrap();
    let hasty = store.clone().with_append_timeout(Duration::from_millis(300));
    let one = || Append {
        stream: stream.clone(),
        expected: ExpectedVersion::Any,
        topic: None,
        events: events(1),
    };

    // A lock on its stream: as one statement, and in a transaction.
    let mut other = db.connect().await;
    let mut locked = other.begin().await.unwrap();
    sqlx::query("SELECT FROM eventfabric.stream_versions FOR UPDATE")
        .execute(&mut *locked)
        .await
        .unwrap();
    let alone = hasty.append_all(vec![one()]).await.unwrap_err();
    let with_work = hasty.append_in_transaction(vec![one()], &Endless).await.unwrap_err();
    for error in [alone, with_work] {
        assert!(matches!(error, StoreError::AppendTimedOut { .. }), "{error}");
        assert!(error.to_string().contains("holds its streams; nothing was appended"), "{error}");
    }
    locked.rollback().await.unwrap();

    // Work of the caller.
    let error = hasty.append_in_transaction(vec![one()], &Endless).await.unwrap_err();
    assert!(error.to_string().contains("the caller's work"), "{error}");

    assert_eq!(rows(&db).await, (1, 1, 1));
    store.append_all(vec![one()]).await.unwrap();
}

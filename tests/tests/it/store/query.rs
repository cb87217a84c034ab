//! The query builder: each condition, and what it says of a query that can't be answered.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use eventfabric::db::Tx;
use eventfabric::event::{Event, ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::{Append, Dismissed, EventStore, Query, StoreError};
use eventfabric_tests::TestDb;
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};
use uuid::Uuid;

use super::{events, store};

fn at(minute: i64) -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
}

/// What one event of [`log`] is like: type, payload, correlation, causation.
type Spec = (&'static str, Value, Option<&'static str>, Option<&'static str>);

/// Eight events, at minutes 1 to 8: Account/1 (3), Account/2 of acme (2), Order/1 (3).
async fn log() -> (TestDb, EventStore) {
    let (db, store) = store().await;
    let streams: [(&str, &str, &str, Vec<Spec>); 3] = [
        (
            "default",
            "Account",
            "1",
            vec![
                ("Opened", json!({"owner": "Ada", "vip": false}), Some("c1"), None),
                ("Deposited", json!({"cents": 9007199254740993_i64}), Some("c1"), Some("x")),
                ("Deposited", json!({"cents": 5, "tags": ["a", "b"]}), None, None),
            ],
        ),
        (
            "acme",
            "Account",
            "2",
            vec![
                ("Opened", json!({"owner": "O'Brien"}), Some("c2"), None),
                ("Closed", json!({"why": {"code": 7}}), Some("c2"), Some("y")),
            ],
        ),
        (
            "default",
            "Order",
            "1",
            vec![
                ("Placed", json!({"lines": [{"sku": "a", "n": 1}]}), Some("c1"), Some("x")),
                ("Placed", json!({"lines": [{"sku": "b", "n": 12}]}), None, None),
                ("Closed", json!({}), None, None),
            ],
        ),
    ];
    let mut minute = 0;
    for (tenant, aggregate, id, specs) in streams {
        let events = specs.into_iter().map(|(event_type, payload, correlation, causation)| {
            minute += 1;
            NewEvent {
                occurred_at: Some(at(minute)),
                correlation_id: correlation.map(str::to_owned),
                causation_id: causation.map(str::to_owned),
                ..NewEvent::new(event_type, &payload).unwrap()
            }
        });
        let append = Append {
            stream: StreamId::new(aggregate, id).in_tenant(tenant),
            expected: ExpectedVersion::NoStream,
            topic: None,
            events: events.collect(),
        };
        store.append_all(vec![append]).await.unwrap();
    }
    (db, store)
}

/// The minutes of the events that a query finds, which are their places in the log.
async fn found(query: Query) -> Vec<i64> {
    minutes(&query.load().await.unwrap())
}

fn minutes(events: &[Event]) -> Vec<i64> {
    events.iter().map(|event| (event.occurred_at - at(0)).num_minutes()).collect()
}

#[tokio::test]
async fn each_condition_narrows_a_query() {
    let (_db, store) = log().await;
    let q = || store.query();
    let positions: Vec<i64> = q().load().await.unwrap().iter().map(|e| e.position).collect();
    let ids: Vec<Uuid> = q().load().await.unwrap().iter().map(|e| e.id).collect();
    let p = |n: usize| positions[n - 1];
    let stream = |id: &str, tenant: &str| StreamId::new("Account", id).in_tenant(tenant);
    for (what, query, wanted) in [
        ("nothing", q(), &[1, 2, 3, 4, 5, 6, 7, 8][..]),
        ("tenant", q().tenant("acme"), &[4, 5]),
        ("a tenant without events", q().tenant("nobody"), &[]),
        ("kind", q().aggregate("Order"), &[6, 7, 8]),
        ("kinds", q().aggregate("Order").aggregate("Account").tenant("acme"), &[4, 5]),
        ("id", q().aggregate_id("1"), &[1, 2, 3, 6, 7, 8]),
        ("stream", q().of_stream(stream("1", "default")), &[1, 2, 3]),
        ("stream of another tenant", q().of_stream(stream("1", "acme")), &[]),
        ("versions", q().of_stream(stream("1", "default")).versions(2..), &[2, 3]),
        ("versions up to", q().versions(..=1), &[1, 4, 6]),
        ("versions before", q().versions(2..3), &[2, 5, 7]),
        ("type", q().event_type("Closed"), &[5, 8]),
        ("types", q().event_type("Closed").event_type("Opened"), &[1, 4, 5, 8]),
        ("type in other letters", q().event_type("closed"), &[]),
        ("positions from", q().positions(p(7)..), &[7, 8]),
        ("positions to", q().positions(..=p(2)), &[1, 2]),
        ("positions between", q().positions(p(2)..p(4)), &[2, 3]),
        ("no positions", q().positions(i64::MAX..), &[]),
        ("times from", q().occurred(at(7)..), &[7, 8]),
        ("times before", q().occurred(..at(3)), &[1, 2]),
        ("times to", q().occurred(at(2)..=at(3)), &[2, 3]),
        ("correlation", q().correlation_id("c1"), &[1, 2, 6]),
        ("causation", q().causation_id("x"), &[2, 6]),
        ("both", q().correlation_id("c2").causation_id("y"), &[5]),
        ("event", q().event_id(ids[3]), &[4]),
        ("events", q().event_id(ids[7]).event_id(ids[0]).event_id(Uuid::nil()), &[1, 8]),
        ("all at once", q().tenant("default").event_type("Placed").correlation_id("c1"), &[6]),
    ] {
        assert_eq!(found(query.clone()).await, wanted, "{what}");
        assert_eq!(query.count().await.unwrap(), wanted.len() as u64, "{what}");
    }
}

#[tokio::test]
async fn payloads_are_found_by_part_and_by_path() {
    let (_db, store) = log().await;
    let q = || store.query();
    let path = |path: &str| q().payload_path(path);
    let with = |text: &str, variables: Value| path(text).path_variables(&variables);
    for (what, query, wanted) in [
        ("a member", q().payload_contains(&json!({"owner": "Ada"})), &[1][..]),
        ("inside", q().payload_contains(&json!({"why": {"code": 7}})), &[5]),
        ("an element", q().payload_contains(&json!({"tags": ["b"]})), &[3]),
        ("by value", q().payload_contains(&json!({"cents": 5.00})), &[3]),
        ("every digit", q().payload_contains(&json!({"cents": 9007199254740993_i64})), &[2]),
        ("one off", q().payload_contains(&json!({"cents": 9007199254740992_i64})), &[]),
        ("a path", path("$.owner"), &[1, 4]),
        ("what the store adds", path(r#"$ ? (@.type == "Closed")"#), &[5, 8]),
        ("a filter", path(r#"$.lines[*] ? (@.sku == "b")"#), &[7]),
        ("a path to false finds something", path("$.vip"), &[1]),
        ("a predicate", path("$.cents > 5"), &[2]),
        ("a predicate that is never true", path("$.cents > 5 && $.cents < 6"), &[]),
        ("exists()", path("exists($.lines[*] ? (@.n > 10))"), &[7]),
        ("a variable", with("$.lines[*] ? (@.n >= $n)", json!({"n": 2})), &[7]),
        ("a predicate of one", with("$.cents == $c", json!({"c": 9007199254740993_i64})), &[2]),
        ("hostile values", with("$.owner == $o", json!({"o": "O'Brien"})), &[4]),
        ("more hostile", with("$.owner == $o", json!({"o": "\" || true || \""})), &[]),
        ("with others", path("$.owner").tenant("acme"), &[4]),
    ] {
        assert_eq!(found(query.clone()).await, wanted, "{what}");
        assert_eq!(query.count().await.unwrap(), wanted.len() as u64, "{what}");
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_said_and_leaves_the_connection_good() {
    let (db, _) = log().await;
    let store = EventStore::new(db.pool(1).await);
    let q = || store.query();
    let path = |path: &str| q().payload_path(path);
    let far: DateTime<Utc> = DateTime::<Utc>::MIN_UTC;
    for (query, words) in [
        (path("$.a >"), &["JSON path $.a >", "syntax error"][..]),
        (path(""), &["JSON path"]),
        (path("'; DROP TABLE eventfabric.events; --"), &["JSON path"]),
        (path("$.a\0"), &["JSON path"]),
        (path(r#"$.owner like_regex "(""#), &["regular expression"]),
        (path("$.cents > $least"), &["\"least\""]),
        (path("$.lines[*] ? (@.n > $least)"), &["\"least\""]),
        (path("$.a").path_variables(&json!([1])), &["vars", "object"]),
        (q().path_variables(&json!({})), &["path"]),
        (q().payload_contains(&json!({"a": "\0"})), &["\\u0000"]),
        (q().tenant("a\0b"), &["0x00"]),
        (q().occurred(far..), &["timestamp"]),
    ] {
        for error in [query.clone().load().await.unwrap_err(), query.count().await.unwrap_err()] {
            assert!(matches!(error, StoreError::InvalidQuery(_)), "{words:?}: {error:?}");
            for word in words {
                assert!(error.to_string().contains(word), "no `{word}` in: {error}");
            }
        }
    }
    assert_eq!(q().count().await.unwrap(), 8);
}

#[tokio::test]
async fn a_query_finds_its_events_in_either_direction_and_within_its_limit() {
    let (_db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    store.append(stream.clone(), ExpectedVersion::Any, events(1203)).await.unwrap();
    let versions = async |query: Query| -> Vec<i32> {
        let events: Vec<Event> = query.stream().try_collect().await.unwrap();
        events.iter().map(|event| event.version).collect()
    };
    let up = |from, to| (from..=to).collect::<Vec<i32>>();
    let down = |from, to| (to..=from).rev().collect::<Vec<i32>>();
    for query in [store.query(), store.query().of_stream(stream)] {
        let q = || query.clone();
        assert_eq!(versions(q()).await, up(1, 1203));
        assert_eq!(versions(q().newest_first()).await, down(1203, 1));
        for limit in [1, 499, 500, 501, 1000, 1203] {
            let to = i32::try_from(limit).unwrap();
            assert_eq!(versions(q().limit(limit)).await, up(1, to), "{limit}");
            let newest = q().newest_first().limit(limit);
            assert_eq!(versions(newest).await, down(1203, 1204 - to), "{limit}");
            assert_eq!(q().limit(limit).count().await.unwrap(), limit as u64);
        }
        assert_eq!(versions(q().limit(0)).await, [0; 0]);
        assert_eq!(versions(q().limit(usize::MAX)).await.len(), 1203);
        assert_eq!(q().limit(0).count().await.unwrap(), 0);
        assert_eq!(q().limit(5000).count().await.unwrap(), 1203);
        assert_eq!(q().versions(700..).first().await.unwrap().unwrap().version, 700);
        assert_eq!(q().newest_first().first().await.unwrap().unwrap().version, 1203);
        assert!(q().tenant("nobody").first().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_page_ends_at_its_bytes_and_the_next_goes_on_from_there() {
    let (_db, store) = store().await;
    let large = "x".repeat(3 << 20);
    let stream = StreamId::new("Account", "1");
    for _ in 0..8 {
        let event = NewEvent::new("Large", &json!({"text": large})).unwrap();
        store.append(stream.clone(), ExpectedVersion::Any, vec![event]).await.unwrap();
    }
    for query in [store.query(), store.query().newest_first(), store.query().limit(8)] {
        let mut found: Vec<i32> = query.load().await.unwrap().iter().map(|e| e.version).collect();
        found.sort();
        assert_eq!(found, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}

#[tokio::test]
async fn dismissed_events_are_found_when_asked_for_and_can_be_told_apart() {
    let (db, store) = log().await;
    let when = at(1000);
    sqlx::query("UPDATE eventfabric.events SET dismissed_at = $1 WHERE aggregate_version = 2")
        .bind(when)
        .execute(&mut db.connect().await)
        .await
        .unwrap();
    let q = || store.query();
    assert_eq!(found(q()).await, [1, 3, 4, 6, 8]);
    assert_eq!(found(q().dismissed(Dismissed::Only)).await, [2, 5, 7]);
    assert_eq!(found(q().dismissed(Dismissed::Only).newest_first()).await, [7, 5, 2]);
    assert_eq!(q().dismissed(Dismissed::Only).count().await.unwrap(), 3);
    let all = q().dismissed(Dismissed::Included).load().await.unwrap();
    assert_eq!(minutes(&all), [1, 2, 3, 4, 5, 6, 7, 8]);
    for event in all {
        assert_eq!(event.dismissed_at, (event.version == 2).then_some(when));
    }
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_stopped() {
    let (db, _) = log().await;
    let store = EventStore::new(db.pool(1).await);
    let mut conn = db.connect().await;
    let mut blocker = conn.begin().await.unwrap();
    blocker.execute("LOCK TABLE eventfabric.events IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let timeout = Duration::from_millis(50);
    let error = store.query().timeout(timeout).load().await.unwrap_err();
    assert!(matches!(error, StoreError::QueryTimedOut(after) if after == timeout), "{error:?}");
    assert!(error.to_string().contains("50ms"), "{error}");
    blocker.rollback().await.unwrap();
    assert_eq!(store.query().timeout(Duration::from_secs(60)).count().await.unwrap(), 8);
}

#[tokio::test]
async fn a_reading_transaction_cannot_write_and_plans_for_its_parameters() {
    let (_db, store) = store().await;
    let mut tx = Tx::begin_reading(store.pool(), Duration::from_secs(60)).await.unwrap();
    let mode: String =
        sqlx::query_scalar("SHOW plan_cache_mode").fetch_one(tx.conn()).await.unwrap();
    assert_eq!(mode, "force_custom_plan");
    let error = tx.conn().execute("DELETE FROM eventfabric.outbox").await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("25006"));
    tx.rollback().await.unwrap();
}

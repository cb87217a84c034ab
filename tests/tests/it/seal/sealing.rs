//! What writes seals, and what has none.

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::partition::{attach, detach, enable};
use eventfabric::store::{Append, EventStore, StoreError};
use futures::future::join_all;
use sqlx::Executor as _;

use super::{found, found_by, key, seal, sealed, sealing, stream};
use crate::store::{event, events, number};

#[tokio::test]
async fn it_is_off_unless_a_key_is_given() {
    let (db, _) = sealing().await;
    let store = EventStore::new(db.pool(2).await);
    store.append(stream(0), ExpectedVersion::NoStream, events(3)).await.unwrap();
    let mut conn = db.connect().await;
    assert_eq!(number(&mut conn, "SELECT count(*) FROM eventfabric.event_seals").await, 0);
    let (found, summary) = found_by(&store, &seal()).await;
    assert_eq!((found.len(), summary.events, summary.unsealed), (0, 3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_in_groups_and_alone_make_whole_chains() {
    let (db, store) = sealing().await;
    for store in [store.clone().with_group_commit(), store.clone()] {
        let writers = (0..60_i64).map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                // Many streams, and some that many want.
                for stream in [stream(n), stream(n % 5)] {
                    store.append(stream, ExpectedVersion::Any, events(2)).await.unwrap();
                }
            })
        });
        for writer in join_all(writers).await {
            writer.unwrap();
        }
    }
    let (found, summary) = found_by(&store, &seal()).await;
    assert_eq!(found, [""; 0]);
    assert_eq!((summary.events, summary.unsealed), (480, 0));
    let mut conn = db.connect().await;
    assert_eq!(number(&mut conn, "SELECT count(*) FROM eventfabric.event_seals").await, 480);
}

#[tokio::test]
async fn an_append_to_several_streams_is_sealed_as_a_whole() {
    let (_db, store) = sealed().await;
    let appends = [2, 9, 0].map(|n| Append {
        stream: stream(n),
        expected: ExpectedVersion::Any,
        topic: None,
        events: events(2),
    });
    store.append_all(appends.to_vec()).await.unwrap();
    let (found, summary) = found_by(&store, &seal()).await;
    assert_eq!((found.len(), summary.events, summary.unsealed), (0, 21, 0));
}

#[tokio::test]
async fn an_append_that_fails_leaves_no_seal_and_one_that_is_made_again_no_second_one() {
    let (db, store) = sealed().await;
    let refused = store.append(stream(0), ExpectedVersion::Exact(1), events(1)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    let ids = [uuid::Uuid::now_v7()];
    for repeated in [false, true] {
        let again = crate::store::with_ids(&ids);
        let appended = store.append(stream(0), ExpectedVersion::Exact(5), again).await.unwrap();
        assert_eq!(appended.repeated, repeated);
    }
    assert_eq!(found(&store).await, [""; 0]);
    let mut conn = db.connect().await;
    assert_eq!(number(&mut conn, "SELECT count(*) FROM eventfabric.event_seals").await, 16);
}

#[tokio::test]
async fn payloads_are_sealed_as_postgresql_stores_them() {
    let (_db, store) = sealing().await;
    for payload in [
        r#"{"z": 1, "a": 1.500, "big": 9007199254740993, "e": 1e3}"#,
        r#"{"twice": 1, "twice": 2, "text": "äöü\u0041 \"\\ \u2028"}"#,
        r#"{"deep": [[[{"x": [null, true, -0.0]}]]], "": ""}"#,
    ] {
        let payload = serde_json::value::RawValue::from_string(payload.to_owned()).unwrap();
        let event = NewEvent { payload, ..event("Odd", 1) };
        store
            .append(StreamId::new("Ödd/", "\u{202e}x\n"), ExpectedVersion::Any, vec![event])
            .await
            .unwrap();
    }
    let (found, summary) = found_by(&store, &seal()).await;
    assert_eq!((found.len(), summary.events, summary.unsealed), (0, 3, 0));
}

#[tokio::test]
async fn events_of_writers_without_a_key_are_counted_and_break_no_chain() {
    let (db, store) = sealed().await;
    let other = EventStore::new(db.pool(2).await);
    other.append(stream(1), ExpectedVersion::Exact(5), events(2)).await.unwrap();
    other.append(stream(7), ExpectedVersion::NoStream, events(1)).await.unwrap();
    store.append(stream(1), ExpectedVersion::Exact(7), events(2)).await.unwrap();
    store.append(stream(7), ExpectedVersion::Exact(1), events(1)).await.unwrap();
    let (found, summary) = found_by(&store, &seal()).await;
    assert_eq!((found.len(), summary.events, summary.unsealed), (0, 21, 3));
}

#[tokio::test]
async fn a_new_key_goes_on_where_the_old_one_stopped() {
    let (db, store) = sealed().await;
    let both = format!("{}\n{}", key("second", 9), key("first", 7)).parse().unwrap();
    let rotated = EventStore::new(db.pool(2).await).with_seal(both);
    rotated.append(stream(1), ExpectedVersion::Exact(5), events(2)).await.unwrap();
    let both = format!("{}\n{}", key("second", 9), key("first", 7)).parse().unwrap();
    assert_eq!(found_by(&store, &both).await.0, [""; 0]);
    let found = found(&store).await;
    assert_eq!(found, ["a1 6 unknown key second", "a1 7 unknown key second"]);
    let forged = key("first", 8).parse().unwrap();
    // Fifteen that do not fit, and two of a key that was not given.
    assert_eq!(found_by(&store, &forged).await.1.findings, 17);
}

#[tokio::test]
async fn a_dismissal_breaks_nothing() {
    let (db, store) = sealed().await;
    let sql = "UPDATE eventfabric.events SET dismissed_at = now(), dismissed_by = 'x',
               dismissed_reason = 'y' WHERE aggregate_version = 2";
    db.connect().await.execute(sql).await.unwrap();
    assert_eq!(found(&store).await, [""; 0]);
}

#[tokio::test]
async fn seals_are_append_only() {
    let (db, _store) = sealed().await;
    let mut conn = db.connect().await;
    for sql in [
        "DELETE FROM eventfabric.event_seals",
        "UPDATE eventfabric.event_seals SET key_id = 'x'",
        "TRUNCATE eventfabric.event_seals",
    ] {
        let error = conn.execute(sql).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn partitions_and_their_leaving_break_nothing() {
    let (_db, store) = sealed().await;
    enable(store.pool(), Some(10), 3, |_| {}).await.unwrap();
    for n in 0..3 {
        store.append(stream(n), ExpectedVersion::Exact(5), events(8)).await.unwrap();
    }
    assert_eq!(found(&store).await, [""; 0]);
    detach(store.pool(), "events_p0", true).await.unwrap();
    let (found_without, summary) = found_by(&store, &seal()).await;
    assert_eq!(found_without, [""; 0]);
    assert_eq!((summary.events, summary.detached), (24, 15));
    attach(store.pool(), "events_p0").await.unwrap();
    assert_eq!(found(&store).await, [""; 0]);
}

//! What a load gives back.

use eventfabric::event::{ExpectedVersion, NewEvent};
use eventfabric::session::{DecodeError, SessionError, SessionFactory, SnapshotPolicy};
use serde_json::json;
use sqlx::Executor as _;

use super::{Account, bank, factory, opened, stream};
use crate::store::all;

#[tokio::test]
async fn the_same_aggregate_twice_is_the_same_object() {
    let (_db, factory) = bank().await;
    opened(&factory, "1", 2).await;
    let mut session = factory.session();
    let first = session.load::<Account>("1").await.unwrap();
    session[first].deposit(40);
    let second = session.load::<Account>("1").await.unwrap();
    assert_eq!(first, second);
    assert_eq!(session[second].cents, 42);
    let started = session.start_stream::<Account>("2").unwrap();
    assert_eq!(session.find::<Account>("2").await.unwrap(), Some(started));
    assert!(matches!(session.start_stream::<Account>("1"), Err(SessionError::InUse { .. })));
    assert_eq!(session.save().await.unwrap().streams[0].version, 4);
}

#[tokio::test]
async fn an_unknown_stream_and_an_empty_one_are_told_apart() {
    let (db, factory) = bank().await;
    let mut session = factory.session();
    assert_eq!(session.find::<Account>("1").await.unwrap(), None);
    let error = session.load::<Account>("1").await.unwrap_err();
    assert!(matches!(&error, SessionError::UnknownStream { stream: s } if *s == stream("1")));

    db.connect()
        .await
        .execute(
            "INSERT INTO eventfabric.stream_versions (aggregate_name, aggregate_id, current_version)
             VALUES ('Account', '1', 0)",
        )
        .await
        .unwrap();
    let empty = session.load::<Account>("1").await.unwrap();
    assert_eq!((session.version(empty), session[empty].cents), (0, 0));
    session[empty].open("Ada");
    assert_eq!(session.save().await.unwrap().streams[0].version, 1);
}

#[tokio::test]
async fn dismissed_events_are_left_out_and_keep_their_versions() {
    let (db, factory) = bank().await;
    opened(&factory, "1", 3).await;
    db.connect()
        .await
        .execute("UPDATE eventfabric.events SET dismissed_at = now() WHERE aggregate_version >= 3")
        .await
        .unwrap();
    let mut session = factory.session();
    let account = session.load::<Account>("1").await.unwrap();
    assert_eq!((session[account].cents, session.version(account)), (1, 4));
    session[account].deposit(1);
    assert_eq!(session.save().await.unwrap().streams[0].version, 5);
}

#[tokio::test]
async fn an_event_that_is_none_of_the_aggregates_own_is_named() {
    let (_db, factory) = bank().await;
    opened(&factory, "1", 0).await;
    let odd = NewEvent::new("Account.Frozen", &json!({})).unwrap();
    factory.store().append(stream("1"), ExpectedVersion::Any, vec![odd]).await.unwrap();
    let error = factory.session().load::<Account>("1").await.unwrap_err();
    assert!(matches!(
        &error,
        SessionError::Decode { version: 2, source: DecodeError::UnknownType { .. }, .. }
    ));
    let text = error.to_string();
    assert!(text.contains("version 2 of Account/1") && text.contains("Account.Frozen"), "{text}");

    let odd = NewEvent::new("Account.Deposited", &json!({"cents": "many"})).unwrap();
    factory.store().append(stream("2"), ExpectedVersion::Any, vec![odd]).await.unwrap();
    let error = factory.session().load::<Account>("2").await.unwrap_err().to_string();
    assert!(error.contains("version 1 of Account/2") && error.contains("invalid type"), "{error}");
}

#[test]
#[should_panic(expected = "of use in the session that made it only")]
fn a_handle_of_another_session_is_refused() {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = eventfabric::store::EventStore::new(eventfabric::db::pool(
            "postgres://localhost/none".parse().unwrap(),
            1,
        ));
        let factory = super::factory(store, |account| account);
        let (mut one, mut other) = (factory.session(), factory.session());
        let handle = one.start_stream::<Account>("1").unwrap();
        other.start_stream::<Account>("1").unwrap();
        other[handle].deposit(1);
    });
}

#[tokio::test]
async fn dismissed_events_are_loaded_where_they_are_asked_for_and_no_snapshot_holds_them() {
    let (db, store) = crate::store::store().await;
    let factory = factory(store.clone(), |account| account.snapshots(SnapshotPolicy::every(1), 1));
    opened(&factory, "1", 3).await;
    let second = all(&store, &stream("1")).await[1].position;
    store.dismiss(&[second.into()], "booked twice", "ada").await.unwrap();
    let cents = async |factory: &SessionFactory| {
        let mut session = factory.session();
        let account = session.load::<Account>("1").await.unwrap();
        session[account].cents
    };
    let with_dismissed = factory.clone().with_dismissed();
    assert_eq!((cents(&factory).await, cents(&with_dismissed).await), (2, 3));
    let (account, version) = with_dismissed.repository::<Account>().load("1").await.unwrap();
    assert_eq!((account.cents, version), (3, 4));
    // Saved from there, with a snapshot due: it must not hold what was dismissed.
    let mut session = with_dismissed.session();
    let account = session.load::<Account>("1").await.unwrap();
    session[account].deposit(10);
    session.snapshot(account);
    assert!(session.save().await.unwrap().snapshots.is_empty());
    let snapshots = "SELECT count(*) FROM eventfabric.snapshots";
    assert_eq!(crate::store::number(&mut db.connect().await, snapshots).await, 0);
    assert_eq!((cents(&factory).await, cents(&with_dismissed).await), (12, 13));
    // And where there is a snapshot, it is not taken for the whole.
    let mut session = factory.session();
    let account = session.load::<Account>("1").await.unwrap();
    session.snapshot(account);
    session.save().await.unwrap();
    assert_eq!(crate::store::number(&mut db.connect().await, snapshots).await, 1);
    assert_eq!((cents(&factory).await, cents(&with_dismissed).await), (12, 13));
}

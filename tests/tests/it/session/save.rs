//! What a save writes, and what a failed one leaves.

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::session::{Pending, SessionError};
use eventfabric::store::StoreError;
use serde_json::json;

use super::{Account, Bank, BankEvent, bank, opened, stream};
use crate::store::{all, rows, versions};

#[tokio::test]
async fn a_save_tells_the_positions_and_versions_of_every_stream() {
    let (db, factory) = bank().await;
    let mut session = factory.session();
    let account = session.start_stream::<Account>("1").unwrap();
    let house = session.start_stream::<Bank>("ef").unwrap();
    session[account].open("Ada");
    session.raise(house, BankEvent::AccountAdded);
    session[account].deposit(500);
    let untouched = session.start_stream::<Account>("2").unwrap();

    let saved = session.save().await.unwrap();
    assert_eq!(saved.streams.len(), 2, "{saved:?}");
    assert_eq!((&saved.streams[0].stream, saved.streams[0].version), (&stream("1"), 2));
    assert_eq!(saved.streams[1].stream, StreamId::new("Bank", "ef"));
    for saved in &saved.streams {
        let log: Vec<_> =
            all(factory.store(), &saved.stream).await.iter().map(|e| (e.position, e.id)).collect();
        let told: Vec<_> = saved.events.iter().map(|e| (e.position, e.id)).collect();
        assert_eq!(told, log);
    }
    assert_eq!(
        saved.position(),
        saved.streams.iter().map(|s| s.events.last().unwrap().position).max()
    );
    assert_eq!(session.version(account), 2);
    assert_eq!(session.version(untouched), 0);
    assert_eq!(rows(&db).await, (3, 3, 3));

    // The session goes on from there.
    session[account].withdraw(200).unwrap();
    assert_eq!(session.save().await.unwrap().streams[0].version, 3);
    assert_eq!(session.save().await.unwrap().streams, [], "nothing is pending");
    let raised = all(factory.store(), &stream("1")).await;
    let payload: serde_json::Value = serde_json::from_str(raised[0].payload.get()).unwrap();
    assert_eq!(payload, json!({"type": "Account.Opened", "version": 1, "ownerName": "Ada"}));
    let types: Vec<_> = raised.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["Account.Opened", "Account.Deposited", "Account.Withdrawn"]);
}

#[tokio::test]
async fn several_aggregates_are_saved_all_or_none() {
    let (db, factory) = bank().await;
    opened(&factory, "from", 10).await;
    opened(&factory, "to", 0).await;
    let before = rows(&db).await;
    let mut session = factory.session();
    let from = session.load::<Account>("from").await.unwrap();
    let to = session.load::<Account>("to").await.unwrap();
    session[from].withdraw(7).unwrap();
    session[to].deposit(7);
    session
        .append(
            "Audit",
            "1",
            ExpectedVersion::NoStream,
            [NewEvent::new("Moved", &json!({})).unwrap()],
        )
        .unwrap();

    // Another writer is first, on the second stream.
    let mut other = factory.session();
    let theirs = other.load::<Account>("to").await.unwrap();
    other[theirs].deposit(1);
    other.save().await.unwrap();

    let error = session.save().await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
    assert_eq!(error.to_string(), "Account/to: expected version 1, but the stream is at version 2");
    let (events, versions, queued) = before;
    assert_eq!(rows(&db).await, (events + 1, versions + 1, queued + 1), "only the other's event");
}

#[tokio::test]
async fn a_failed_save_keeps_everything_and_says_what_is_pending() {
    let (db, factory) = bank().await;
    let mut session = factory.session();
    let account = session.start_stream::<Account>("1").unwrap();
    session[account].open("Ada");
    session[account].deposit(5);
    let raw = NewEvent::new("Moved", &json!({})).unwrap();
    session.append("Audit", "1", ExpectedVersion::Exact(7), [raw]).unwrap();
    let pending = |audit: ExpectedVersion| {
        [
            Pending {
                stream: stream("1"),
                expected: ExpectedVersion::Exact(0),
                events: vec!["Account.Opened".to_owned(), "Account.Deposited".to_owned()],
            },
            Pending {
                stream: StreamId::new("Audit", "1"),
                expected: audit,
                events: vec!["Moved".to_owned()],
            },
        ]
    };
    for _ in 0..2 {
        let error = session.save().await.unwrap_err();
        assert!(
            matches!(&error, SessionError::Store(StoreError::Conflict { actual: 0, .. })),
            "{error}"
        );
        assert_eq!(session.pending(), pending(ExpectedVersion::Exact(7)));
        assert_eq!(session[account].cents, 5);
        assert_eq!(rows(&db).await, (0, 0, 0));
    }
    // Once the stream is as expected, the very same save succeeds.
    let seven = (0..7).map(|n| NewEvent::new("Moved", &json!({"n": n})).unwrap()).collect();
    let audit = StreamId::new("Audit", "1");
    factory.store().append(audit.clone(), ExpectedVersion::NoStream, seven).await.unwrap();
    session.save().await.unwrap();
    assert_eq!(session.pending(), []);
    assert_eq!(versions(factory.store(), &stream("1")).await, [1, 2]);
    assert_eq!(versions(factory.store(), &audit).await.len(), 8);
}

#[tokio::test]
async fn starting_a_stream_that_has_events_is_a_conflict() {
    let (_db, factory) = bank().await;
    opened(&factory, "1", 0).await;
    let mut session = factory.session();
    let account = session.start_stream::<Account>("1").unwrap();
    session[account].open("Grace");
    let error = session.save().await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
    assert!(matches!(
        factory.session().start_stream::<super::aggregates::Unregistered>("1"),
        Err(SessionError::NotRegistered { aggregate: "Unregistered", .. })
    ));
}

#[tokio::test]
async fn raw_events_of_one_stream_follow_on_each_other() {
    let (_db, factory) = bank().await;
    let event = |n: i64| [NewEvent::new("Noted", &json!({ "n": n })).unwrap()];
    let mut session = factory.session();
    session.append("Note", "1", ExpectedVersion::NoStream, event(1)).unwrap();
    session.append("Note", "1", ExpectedVersion::Exact(1), event(2)).unwrap();
    session.append("Note", "1", ExpectedVersion::Any, event(3)).unwrap();
    let wrong = session.append("Note", "1", ExpectedVersion::Exact(1), event(4));
    assert!(matches!(wrong, Err(SessionError::InUse { .. })));
    session.save().await.unwrap();
    assert_eq!(versions(factory.store(), &StreamId::new("Note", "1")).await, [1, 2, 3]);

    // A stream belongs to an aggregate of the session, or to raw events.
    let account = session.start_stream::<Account>("1").unwrap();
    session[account].open("Ada");
    let wrong = session.append("Account", "1", ExpectedVersion::Any, event(1));
    assert!(matches!(wrong, Err(SessionError::InUse { .. })));
    session.append("Account", "2", ExpectedVersion::Any, event(1)).unwrap();
    assert!(matches!(session.start_stream::<Account>("2"), Err(SessionError::InUse { .. })));
    assert!(matches!(session.find::<Account>("2").await, Err(SessionError::InUse { .. })));
}

#[tokio::test]
async fn a_save_whose_answer_was_lost_is_not_made_twice() {
    let (db, factory) = bank().await;
    // Has a connection open, which needs many steps.
    opened(&factory, "0", 0).await;
    let mut session = factory.session();
    let account = session.start_stream::<Account>("1").unwrap();
    session[account].open("Ada");
    // The caller gives up in the middle, at every point that there is; the last try comes through.
    let mut steps = 0;
    let saved = loop {
        steps += 1;
        let mut polls = 0;
        let save = session.save();
        tokio::pin!(save);
        let done = std::future::poll_fn(|cx| {
            polls += 1;
            match save.as_mut().poll(cx) {
                std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
                std::task::Poll::Pending if polls == steps => std::task::Poll::Ready(None),
                std::task::Poll::Pending => std::task::Poll::Pending,
            }
        });
        if let Some(saved) = done.await {
            break saved;
        }
        assert!(steps < 10_000, "a save ends");
    };
    let saved = saved.unwrap();
    assert_eq!((saved.streams[0].version, session.version(account)), (1, 1));
    assert_eq!(rows(&db).await, (2, 2, 2));
    assert_eq!(session.pending(), []);
}

//! Streams that lie in detached partitions, wholly or in part: they are never empty, or shorter, for that.

use eventfabric::event::{ExpectedVersion, StreamId};
use eventfabric::session::{AggregateSetup, SessionError, SnapshotPolicy};
use eventfabric::store::partition::{attach, detach};
use eventfabric::store::{Direction, EventStore, StoreError};
use eventfabric_tests::TestDb;
use futures::TryStreamExt as _;

use super::{fill, partitioned, stream_of};
use crate::session::{Account, factory, opened};
use crate::store::{events, rows};

/// A log whose first partition was detached, and with it the whole of the stream `a1000`; others are
/// there behind it.
async fn wholly_absent() -> (TestDb, EventStore, StreamId) {
    let (db, store) = partitioned(10, 10).await;
    let stream = stream_of(1000);
    store.append(stream.clone(), ExpectedVersion::NoStream, events(3)).await.unwrap();
    fill(&store, 40).await;
    detach(store.pool(), "events_p1", true).await.unwrap();
    (db, store, stream)
}

fn is_absent<T: std::fmt::Debug>(result: Result<T, StoreError>, version: i32) {
    let error = result.unwrap_err();
    assert!(error.is_detached(), "{error}");
    assert!(error.to_string().contains(&format!("version {version} of Account/a1000")), "{error}");
}

#[tokio::test]
async fn a_stream_wholly_in_a_detached_partition_is_not_taken_for_an_empty_one() {
    let (_db, store, stream) = wholly_absent().await;
    // Often enough for the plan of any parameters, which prunes later than that of given ones.
    for _ in 0..8 {
        for direction in [Direction::Forward, Direction::Backward] {
            let read = store.read_stream(stream.clone(), direction, None);
            is_absent(read.try_collect::<Vec<_>>().await, 1);
        }
        let page = store.stream_page(&stream, Direction::Forward, 2, 100, false).await;
        is_absent(page.map(|page| page.events), 2);
        let page = store.stream_page(&stream, Direction::Backward, 2, 1, true).await;
        is_absent(page.map(|page| page.events), 1);
        let query = || store.query().of_stream(stream.clone());
        is_absent(query().load().await, 1);
        is_absent(query().newest_first().limit(1).load().await, 1);
        is_absent(query().event_type("Counted").versions(2..).first().await, 2);
        is_absent(query().count().await, 1);
        is_absent(query().limit(1).count().await, 1);
    }
    // What is not in the partition is not missed: nothing of this stream, and no other one.
    assert!(store.query().of_stream(stream.clone()).versions(4..).load().await.unwrap().is_empty());
    assert_eq!(store.query().of_stream(stream.clone()).versions(4..).count().await.unwrap(), 0);
    assert_eq!(store.query().of_stream(stream_of(9)).count().await.unwrap(), 3);
    assert!(store.query().aggregate("Account").count().await.unwrap() > 30);
    attach(store.pool(), "events_p1").await.unwrap();
    assert_eq!(store.query().of_stream(stream).count().await.unwrap(), 3);
}

#[tokio::test]
async fn an_aggregate_in_a_detached_partition_is_not_loaded_as_its_first_state() {
    let (db, store) = partitioned(10, 10).await;
    let every = |account: AggregateSetup<Account>| account.snapshots(SnapshotPolicy::every(1), 1);
    // No snapshot was written when these events were appended.
    opened(&factory(store.clone(), |account| account), "a1000", 2).await;
    fill(&store, 40).await;
    detach(store.pool(), "events_p1", true).await.unwrap();
    let factory = factory(store.clone(), every);
    let before = rows(&db).await;
    let absent = |error: SessionError| {
        let SessionError::Store(error) = error else { panic!("{error}") };
        is_absent(Err::<(), _>(error), 1);
    };
    absent(factory.session().load::<Account>("a1000").await.unwrap_err());
    let accounts = factory.repository::<Account>();
    let deposit = |account: &mut Account| {
        account.deposit(1);
        Ok::<_, SessionError>(())
    };
    absent(accounts.modify("a1000", deposit).await.unwrap_err());
    // Nor is a snapshot made of what is not there.
    assert_eq!(rows(&db).await, before);
    let count = "SELECT count(*) FROM eventfabric.snapshots";
    assert_eq!(crate::store::number(&mut db.connect().await, count).await, 0);
    attach(store.pool(), "events_p1").await.unwrap();
    accounts.modify("a1000", deposit).await.unwrap();
    let mut session = factory.session();
    let account = session.load::<Account>("a1000").await.unwrap();
    assert_eq!(session[account].cents, 3);
}

#[tokio::test]
async fn the_command_line_does_not_show_an_absent_stream_as_empty() {
    let (db, _store, _stream) = wholly_absent().await;
    let words = &["version 1 of Account/a1000", "partitions attach events_p1"];
    for args in [
        &["events", "Account/a1000"][..],
        &["events", "Account/a1000", "--backward"],
        &["events", "Account/a1000", "--count"],
    ] {
        crate::cli::run(&db, args).await.failed(1, words);
    }
    crate::cli::run(&db, &["events", "Account/a9", "--count"]).await.well();
}

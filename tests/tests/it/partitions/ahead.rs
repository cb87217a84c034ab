//! Partitions for events to come.

use eventfabric::event::ExpectedVersion;
use eventfabric::runner::{Host, HostConfig, PartitionsConfig, RunnerConfig};
use eventfabric::store::partition::create_ahead;
use futures::future::join_all;
use sqlx::Executor as _;
use tokio_util::sync::CancellationToken;

use super::{bounds, partitioned, stream_of};
use crate::runners::until;
use crate::store::events;

#[tokio::test]
async fn there_is_always_room_for_so_many_partitions() {
    let (_db, store) = partitioned(10, 1).await;
    assert_eq!(bounds(&store).await.last().unwrap().2, Some(20));
    assert_eq!(create_ahead(store.pool(), 3).await.unwrap(), ["events_p_20_30", "events_p_30_40"]);
    assert!(create_ahead(store.pool(), 3).await.unwrap().is_empty());
    store.append(stream_of(0), ExpectedVersion::Any, events(12)).await.unwrap();
    assert_eq!(create_ahead(store.pool(), 3).await.unwrap(), ["events_p_40_50"]);
}

#[tokio::test]
async fn who_reads_or_appends_is_not_waited_for_and_does_not_wait() {
    let (db, store) = partitioned(10, 1).await;
    let (mut writer, mut reader) = (db.connect().await, db.connect().await);
    let insert = "BEGIN;
        INSERT INTO eventfabric.events
            (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
        VALUES (gen_random_uuid(), 'A', gen_random_uuid()::text, 1, 'T', 1, '{}')";
    writer.execute(insert).await.unwrap();
    reader.execute("BEGIN; SELECT count(*) FROM eventfabric.events").await.unwrap();
    // In a transaction of its own, whose locks are held while others work.
    let mut maker = db.connect().await;
    maker.execute("SET lock_timeout = '5s'; BEGIN").await.unwrap();
    maker.execute("SELECT * FROM eventfabric.create_partitions(5)").await.unwrap();
    let mut other = db.connect().await;
    other.execute("SET lock_timeout = '5s'").await.unwrap();
    other.execute(insert).await.unwrap();
    other.execute("COMMIT; SELECT * FROM eventfabric.events").await.unwrap();
    maker.execute("COMMIT").await.unwrap();
    assert_eq!(bounds(&store).await.last().unwrap().2, Some(60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_make_them_at_once_make_each_once() {
    let (_db, store) = partitioned(10, 1).await;
    let makers = (0..8).map(|_| {
        let pool = store.pool().clone();
        tokio::spawn(async move { create_ahead(&pool, 20).await.unwrap() })
    });
    let made: Vec<String> =
        join_all(makers).await.into_iter().flat_map(|made| made.unwrap()).collect();
    assert_eq!(made.len(), 19, "{made:?}");
    let bounds = bounds(&store).await;
    for (before, after) in bounds.iter().zip(&bounds[1..]) {
        assert_eq!(before.2, after.1, "no position is left out");
    }
}

#[tokio::test]
async fn positions_that_have_jumped_get_one_partition_for_the_jump() {
    let (db, store) = partitioned(10, 1).await;
    let jump = "SELECT setval('eventfabric.events_global_position_seq', 1000000005)";
    db.connect().await.execute(jump).await.unwrap();
    let appended = store.append(stream_of(0), ExpectedVersion::Any, events(3)).await.unwrap();
    // (A position that a failed append has used up is not given again.)
    assert!((1_000_000_006..1_000_000_020).contains(&appended.events[0].position));
    let bounds = bounds(&store).await;
    assert!(bounds.len() < 8, "{bounds:?}");
}

#[tokio::test]
async fn a_host_makes_them_by_itself() {
    let (db, store) = partitioned(10, 1).await;
    let partitions = PartitionsConfig { ahead: 4, every: std::time::Duration::from_millis(20) };
    let runner = RunnerConfig { partitions, ..RunnerConfig::default() };
    let host = Host::open(db.options(), HostConfig { runner, ..HostConfig::default() }, None);
    let (host, stop) = (host.await.unwrap(), CancellationToken::new());
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { host.run(None, stop).await.unwrap() }
    });
    let end = async || bounds(&store).await.last().unwrap().2;
    until("there are four ahead", async || end().await == Some(50)).await;
    store.append(stream_of(0), ExpectedVersion::Any, events(25)).await.unwrap();
    until("there are four ahead again", async || end().await == Some(70)).await;
    stop.cancel();
    running.await.unwrap();
}

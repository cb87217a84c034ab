//! The faults of the library that this host replaces (see the notes on living with it): each here
//! under its name, and none of them ours.

use std::time::Duration;

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::runner::Host;
use eventfabric::store::{EventStore, LetterFilter, StoreError, notify_events, requeue};
use serde_json::json;
use sqlx::{Connection as _, Executor as _};

use super::rig::{
    Process, Running, World, append, curable, cure, deeds, deploy_guest, good, quick,
};

const CATCH_UP: &str = "SELECT count(*) FROM hostile_catchup.seen";
const ASYNC: &str = "SELECT count(*) FROM hostile_async.seen";

/// An append as any program may make it, in a transaction that it has open.
const INSERT: &str = "INSERT INTO eventfabric.events
    (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
    SELECT gen_random_uuid(), 'Late', '1', coalesce(max(aggregate_version), 0) + 1, 'Deed', 1,
           '{\"type\": \"Deed\", \"version\": 1}'
    FROM eventfabric.events WHERE aggregate_name = 'Late'";

#[tokio::test]
async fn catch_up_skips_late_commits() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deeds(running.host.store(), &good(1)).await;
    world.until_number(CATCH_UP, 1).await;

    let mut late = world.db.connect().await;
    late.execute("BEGIN").await.unwrap();
    late.execute(INSERT).await.unwrap();
    // Greater positions, committed before.
    deeds(running.host.store(), &good(50)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.number(CATCH_UP).await, 1, "read past a transaction that is still open");
    late.execute("COMMIT").await.unwrap();
    world.until_number(CATCH_UP, 52).await;

    // One that is rolled back leaves a hole, and nobody waits for it.
    late.execute("BEGIN").await.unwrap();
    late.execute(INSERT).await.unwrap();
    deeds(running.host.store(), &good(1)).await;
    late.execute("ROLLBACK").await.unwrap();
    world.until_number(CATCH_UP, 53).await;
    late.close().await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn catch_up_skips_late_commits_of_many_writers() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let writers = (0..6).map(|writer| {
        let db = &world.db;
        async move {
            let mut conn = db.connect().await;
            for n in 0..40 {
                let insert = INSERT.replace("'Late'", &format!("'Late {writer}'"));
                let end = if (n + writer) % 5 == 0 { "ROLLBACK" } else { "COMMIT" };
                let hold = "SELECT pg_sleep(random() * 0.02)";
                let work = format!("BEGIN; {insert}; {hold}; {insert}; {hold}; {end}");
                sqlx::raw_sql(sqlx::AssertSqlSafe(work)).execute(&mut conn).await.unwrap();
            }
        }
    });
    futures::future::join_all(writers).await;
    let events = world.number("SELECT count(*) FROM eventfabric.events").await;
    assert_eq!(events, 6 * 32 * 2);
    world.until_number(CATCH_UP, events).await;
    running.stop().await;
}

#[tokio::test]
async fn async_skips_out_of_order_rows() {
    let world = World::new().await;
    let store = world.store().await;
    deeds(&store, &good(300)).await;
    // The queue runs against the order of the log.
    world
        .execute(
            "WITH rows AS (DELETE FROM eventfabric.outbox RETURNING global_position)
             INSERT INTO eventfabric.outbox (global_position)
             SELECT global_position FROM rows ORDER BY global_position DESC",
        )
        .await;
    let mut config = quick();
    config.runner.r#async.workers = 4;
    config.runner.r#async.batch = 7;
    let running = Running::start(&world, config).await;
    deploy_guest(&running.host, "hostile_async").await;
    deploy_guest(&running.host, "carriers").await;
    let more = (0..20).map(|n| {
        let store = &store;
        async move {
            let stream = StreamId::new("Aircraft", n.to_string());
            append(store, stream, "FlightDeparted", &vec![json!({"carrier": "AA"}); 10]).await
        }
    });
    futures::future::join_all(more).await;
    world.until_number(ASYNC, 500).await;
    world.until_number("SELECT sum(departed)::bigint FROM carriers.carriers", 200).await;
    assert_eq!(world.number("SELECT count(*) FROM eventfabric.outbox").await, 0);
    running.stop().await;
}

#[tokio::test]
async fn requeue_from_the_dlq_does_nothing() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_async").await;
    deeds(running.host.store(), &[curable()]).await;
    // Later events are long handled when it comes back.
    deeds(running.host.store(), &good(5)).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox_dead_letters", 1).await;
    world.until_number(ASYNC, 5).await;
    cure(&world, "hostile_async").await;
    assert_eq!(requeue(&world.eyes, &LetterFilter::default()).await.unwrap(), 1);
    notify_events(&world.eyes).await.unwrap();
    world.until_number(ASYNC, 7).await;
    running.stop().await;
}

#[tokio::test]
async fn one_failing_projection_repeats_its_neighbours() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_async").await;
    deploy_guest(&running.host, "carriers").await;
    let flights = vec![json!({"carrier": "AA", "do": "poison"}); 10];
    let stream = StreamId::new("Aircraft", "N1");
    append(running.host.store(), stream, "FlightDeparted", &flights).await;
    let dead = "SELECT count(*) FROM eventfabric.outbox_dead_letters";
    world.until_number(dead, 10).await;
    let departed = "SELECT sum(departed)::bigint FROM carriers.carriers";
    assert_eq!(world.number(departed).await, 10);
    requeue(&world.eyes, &LetterFilter::default()).await.unwrap();
    notify_events(&world.eyes).await.unwrap();
    // They fail again, and again only there.
    world.until_number(dead, 10).await;
    assert_eq!(world.number(departed).await, 10);
    running.stop().await;
}

#[tokio::test]
async fn dead_workers_strand_rows() {
    let world = World::new().await;
    deeds(&world.store().await, &good(3)).await;
    world
        .execute(
            "UPDATE eventfabric.outbox
             SET locked_at = now() - interval '2 minutes', locked_by = 'worker-1', attempts = 1",
        )
        .await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_async").await;
    world.until_number(ASYNC, 3).await;
    running.stop().await;
}

#[tokio::test]
async fn the_queue_of_living_foreign_workers_is_left_to_them_until_they_have_stopped() {
    let world = World::new().await;
    let deployer = Host::open(world.db.options(), quick(), None).await.unwrap();
    deploy_guest(&deployer, "hostile_async").await;
    deeds(&world.store().await, &good(5)).await;
    world
        .execute(
            "UPDATE eventfabric.outbox SET locked_at = now() + interval '1 minute',
                    locked_by = 'worker-1', attempts = 1
             WHERE id = (SELECT min(id) FROM eventfabric.outbox)",
        )
        .await;
    let lease = [("EVENTFABRIC_RUNNER__ASYNC__FOREIGN_LEASE", "2s")];
    let host = Process::host(&world, None, &lease);
    host.until_log("workers of another program take rows").await;
    assert!(host.log().contains("worker-1"));
    assert_eq!(world.number(ASYNC).await, 0);
    // Its worker dies: the claim grows old.
    world.execute("UPDATE eventfabric.outbox SET locked_at = now()").await;
    world.until_number(ASYNC, 5).await;
    let age = "SELECT count(*) FROM eventfabric.outbox";
    assert_eq!(world.number(age).await, 0);
    host.until_log("this host takes over").await;
}

#[tokio::test]
async fn one_poison_event_rolls_back_its_batch() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_async").await;
    let mut batch = good(100);
    for n in [0, 50, 99] {
        batch[n] = json!({"do": "poison"});
    }
    deeds(running.host.store(), &batch).await;
    world.until_number(ASYNC, 97).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox_dead_letters", 3).await;
    assert_eq!(world.number("SELECT count(*) FROM eventfabric.projection_retries").await, 0);
    running.stop().await;
}

#[tokio::test]
async fn dismissed_events_are_not_delivered() {
    let world = World::new().await;
    let store: EventStore = world.store().await;
    let positions = deeds(&store, &vec![json!({"do": "poison"}); 2]).await;
    deeds(&store, &good(3)).await;
    let dismiss = format!(
        "UPDATE eventfabric.events SET dismissed_at = now(), dismissed_by = 'a test'
         WHERE global_position <= {}",
        positions[1]
    );
    world.execute(&dismiss).await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deploy_guest(&running.host, "hostile_async").await;
    world.until_number(CATCH_UP, 3).await;
    world.until_number(ASYNC, 3).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox", 0).await;
    let failed = "SELECT count(*) FROM eventfabric.projections WHERE state = 'failed'";
    assert_eq!(world.number(failed).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn an_event_is_appended_once_however_often_it_is_sent() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_async").await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let mut event = NewEvent::new("Deed", &json!({})).unwrap();
    event.id = Some(uuid::Uuid::now_v7());
    let stream = StreamId::new("Deeds", "1");
    for repeated in [false, true, true] {
        let store = running.host.store();
        let appended: Result<_, StoreError> =
            store.append(stream.clone(), ExpectedVersion::NoStream, vec![event.clone()]).await;
        assert_eq!(appended.unwrap().repeated, repeated);
    }
    deeds(running.host.store(), &good(1)).await;
    world.until_number(ASYNC, 2).await;
    world.until_number(CATCH_UP, 2).await;
    running.stop().await;
}

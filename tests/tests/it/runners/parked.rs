//! Events of an async projection that can't have them now: parked, a row for many, until it can.

use std::time::Duration;

use eventfabric::backoff::Backoff;
use eventfabric::event::StreamId;
use eventfabric::plugin::{NewProjection, SettingsChange, Start, change, pause, remove, resume};
use eventfabric::runner::{Host, HostConfig};
use eventfabric::store::{EventRef, EventStore, notify_plugins};
use serde_json::json;

use super::rig::{Running, World, append, deploy_guest, good, quick, until};

const SEEN: &str = "SELECT count(*) FROM hostile_async.seen";
const RETRIES: &str = "SELECT count(*) FROM eventfabric.projection_retries";
const ROWS: &str = "SELECT count(*) FROM eventfabric.projection_parked";
const PARKED: &str = "SELECT coalesce(sum(events), 0)::bigint FROM eventfabric.projection_parked";

/// What waits, as retries or parked.
const WAITING: &str = "SELECT ((SELECT count(*) FROM eventfabric.projection_retries)
    + (SELECT coalesce(sum(events), 0) FROM eventfabric.projection_parked))::bigint";

/// A host with a projection that is paused.
async fn paused(world: &World) -> Running {
    paused_with(world, quick()).await
}

async fn paused_with(world: &World, config: HostConfig) -> Running {
    let running = Running::start(world, config).await;
    deploy_guest(&running.host, "hostile_async").await;
    pause(&world.eyes, "hostile_async", None, None).await.unwrap();
    told(world, &running.host, true).await;
    running
}

/// Waits until the host knows whether the projection is paused.
async fn told(world: &World, host: &Host, is_paused: bool) {
    notify_plugins(&world.eyes).await.unwrap();
    until("the host knows it", async || {
        let snapshot = host.registry().snapshot();
        snapshot.registered["hostile_async"].paused.is_some() == is_paused
    })
    .await;
}

async fn goes_on(world: &World, host: &Host) {
    resume(&world.eyes, "hostile_async").await.unwrap();
    told(world, host, false).await;
}

async fn deeds(store: &EventStore, stream: &str, n: usize) -> Vec<i64> {
    append(store, StreamId::new("Deeds", stream), "Deed", &good(n)).await
}

#[tokio::test]
async fn a_batch_for_a_projection_that_is_paused_is_one_row_and_a_few_events_are_retries() {
    let world = World::new().await;
    let running = paused(&world).await;
    let store = running.host.store();
    deeds(store, "many", 300).await;
    world.until_number(PARKED, 300).await;
    let rows = world.number(ROWS).await;
    deeds(store, "few", 3).await;
    world.until_number(RETRIES, 3).await;
    assert_eq!((rows, world.number(ROWS).await), (1, 1));
    // They are counted wherever retries are.
    let statuses = eventfabric::runner::statuses(&world.eyes).await.unwrap();
    let health = eventfabric::runner::health(store).await.unwrap();
    let backlog = store.backlog(None).await.unwrap();
    assert_eq!(statuses[0].retries, 303);
    assert_eq!((health.projections[0].retries, health.projections[0].due), (303, 303));
    assert_eq!(backlog.projections[0].retries, 303);

    goes_on(&world, &running.host).await;
    world.until_number(SEEN, 303).await;
    world.until_number(RETRIES, 0).await;
    assert_eq!(world.number(ROWS).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn parked_events_of_several_batches_are_handled_once_by_two_hosts() {
    let world = World::new().await;
    let running = paused(&world).await;
    for n in 0..4 {
        deeds(running.host.store(), &format!("{n}"), 700).await;
    }
    world.until_number(PARKED, 2800).await;
    let other = Running::start(&world, quick()).await;
    goes_on(&world, &running.host).await;
    world.until_number(SEEN, 2800).await;
    world.until_number(RETRIES, 0).await;
    assert_eq!(world.number("SELECT count(DISTINCT position) FROM hostile_async.seen").await, 2800);
    running.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_parked_event_that_is_dismissed_is_left_out_and_comes_back_when_that_is_undone() {
    let world = World::new().await;
    let running = paused(&world).await;
    let store = running.host.store();
    let positions = deeds(store, "1", 20).await;
    world.until_number(PARKED, 20).await;
    let gone = [EventRef::Position(positions[4])];
    store.dismiss(&gone, "by mistake", "a test").await.unwrap();
    assert_eq!((world.number(RETRIES).await, world.number(ROWS).await), (19, 0));
    goes_on(&world, &running.host).await;
    world.until_number(SEEN, 19).await;
    store.undo_dismissal(&gone, "a test").await.unwrap();
    world.until_number(SEEN, 20).await;
    running.stop().await;
}

#[tokio::test]
async fn what_was_parked_before_an_order_was_asked_for_comes_before_what_is_later() {
    let world = World::new().await;
    let running = paused(&world).await;
    let store = running.host.store();
    deeds(store, "1", 30).await;
    world.until_number(PARKED, 30).await;
    let order = SettingsChange { stream_order: Some(true), ..SettingsChange::default() };
    change(&world.eyes, "hostile_async", &order).await.unwrap();
    notify_plugins(&world.eyes).await.unwrap();
    until("the host knows it", async || {
        running.host.registry().snapshot().registered["hostile_async"].settings.stream_order
    })
    .await;
    deeds(store, "1", 30).await;
    world.until_number(RETRIES, 30).await;
    goes_on(&world, &running.host).await;
    deeds(store, "1", 30).await;
    world.until_number(SEEN, 90).await;
    let turned = "SELECT count(*) FROM (SELECT position, lag(position) OVER (ORDER BY n) AS before
                  FROM (SELECT position, row_number() OVER (ORDER BY ctid) AS n
                        FROM hostile_async.seen) s) t
                  WHERE before > position";
    assert_eq!(world.number(turned).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn what_is_parked_is_tried_while_retries_only_fail_so_that_they_do_not_stop_the_projection() {
    let (world, mut config) = (World::new().await, quick());
    let queue = &mut config.runner.r#async;
    queue.stop_after = 5;
    queue.max_attempts = 4;
    // What failed is always due, so there is never nothing to try again.
    queue.backoff = Backoff { base: Duration::ZERO, cap: Duration::ZERO };
    let running = paused_with(&world, config).await;
    let store = running.host.store();
    let trap = json!({"do": "panic"});
    let traps = [trap.clone(), trap];
    append(store, StreamId::new("Deeds", "bad"), "Deed", &traps).await;
    world.until_number(RETRIES, 2).await;
    deeds(store, "good", 300).await;
    world.until_number(PARKED, 300).await;
    goes_on(&world, &running.host).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox_dead_letters", 2).await;
    world.until_number(SEEN, 300).await;
    running.stop().await;
}

#[tokio::test]
async fn a_projection_that_is_forgotten_leaves_nothing_parked() {
    let world = World::new().await;
    let running = paused(&world).await;
    deeds(running.host.store(), "1", 30).await;
    world.until_number(PARKED, 30).await;
    remove(&world.eyes, "hostile_async", "a test", true).await.unwrap();
    assert_eq!(world.number(ROWS).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_projection_that_comes_back_to_read_all_gets_what_was_parked_once() {
    let world = World::new().await;
    let mut config = quick();
    let new = NewProjection { start: Start::All, ..NewProjection::default() };
    config.projections.insert("hostile_async".to_owned(), new);
    let running = paused_with(&world, config).await;
    deeds(running.host.store(), "1", 30).await;
    world.until_number(PARKED, 30).await;
    remove(&world.eyes, "hostile_async", "a test", false).await.unwrap();
    world.execute("TRUNCATE hostile_async.seen").await;
    deploy_guest(&running.host, "hostile_async").await;
    world.until_number("SELECT count(*) FROM eventfabric.projection_backfills", 0).await;
    deeds(running.host.store(), "2", 30).await;
    world.until_number(SEEN, 60).await;
    world.until_number(RETRIES, 0).await;
    assert_eq!(world.number(ROWS).await, 0);
    assert_eq!(world.number("SELECT count(DISTINCT position) FROM hostile_async.seen").await, 60);
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_parked_beside_a_host_of_a_version_that_does_not_know_of_it() {
    let world = World::new().await;
    // It was heard of a moment ago, for as long as the test takes.
    world
        .execute(
            "INSERT INTO eventfabric.hosts (host_id, name, version, seen_at)
             VALUES (gen_random_uuid(), 'older', '0.0.9', now() + interval '1 hour')",
        )
        .await;
    let running = paused(&world).await;
    deeds(running.host.store(), "1", 30).await;
    world.until_number(RETRIES, 30).await;
    assert_eq!(world.number(ROWS).await, 0);
    // Once it is gone, it is.
    world.execute("DELETE FROM eventfabric.hosts WHERE name = 'older'").await;
    let mut events = 30;
    until("a batch is parked", async || {
        deeds(running.host.store(), "1", 30).await;
        events += 30;
        world.until_number(WAITING, events).await;
        world.number(ROWS).await > 0
    })
    .await;
    running.stop().await;
}

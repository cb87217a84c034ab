//! Async projections that keep the order of each stream: what is later waits behind what failed, was
//! given up, or is in other hands, across batches, workers and hosts.

use eventfabric::event::StreamId;
use eventfabric::plugin::{NewProjection, SettingsChange, change};
use eventfabric::runner::HostConfig;
use eventfabric::store::{EventStore, LetterFilter, notify_events, purge, requeue};
use serde_json::{Value, json};

use super::rig::{Process, Running, World, append, cure, deploy_guest, folder, quick};

const RETRIES: &str = "SELECT count(*) FROM eventfabric.projection_retries";
const HELD: &str = "SELECT count(*) FROM eventfabric.projection_retries WHERE held";
const DEAD: &str = "SELECT count(*) FROM eventfabric.outbox_dead_letters";

/// How many events of a stream were handled.
fn handled(stream: i64) -> String {
    format!(
        "SELECT count(*) FROM hostile_async.seen WHERE position BETWEEN {} AND {}",
        -stream * 1000 - 999,
        -stream * 1000
    )
}

/// Steps whose note is not how many came before: those out of order.
const OUT_OF_ORDER: &str = "SELECT count(*) FROM hostile_async.seen
    WHERE position <= -1000 AND note::bigint <> (-position) % 1000 - 1";

/// An event that notes how many of its stream were handled before it.
fn step(stream: i64, version: usize) -> Value {
    counting(stream, version, "1")
}

/// The same, but it fails until it is cured.
fn curable_step(stream: i64, version: usize) -> Value {
    counting(stream, version, "(SELECT count(*) FROM seen WHERE position = -7)")
}

fn counting(stream: i64, version: usize, divisor: &str) -> Value {
    let sql = format!(
        "INSERT INTO seen SELECT -($1::bigint * 1000 + $2::bigint), (count(*) / {divisor})::text
         FROM seen WHERE position BETWEEN -($1::bigint * 1000) - 999 AND -($1::bigint * 1000)"
    );
    json!({"do": "exec", "sql": sql, "params": [stream, version]})
}

async fn steps(store: &EventStore, stream: i64, payloads: &[Value]) -> Vec<i64> {
    append(store, StreamId::new("Steps", stream.to_string()), "Step", payloads).await
}

fn in_order(mut config: HostConfig) -> HostConfig {
    let new = NewProjection { stream_order: true, ..NewProjection::default() };
    config.projections.insert("hostile_async".to_owned(), new);
    config
}

/// A host with attempts without end, and the first of two streams stopped at its third event of five.
async fn stopped_at_the_third(attempts: i32) -> (World, Running) {
    let world = World::new().await;
    let mut config = in_order(quick());
    config.runner.r#async.max_attempts = attempts;
    let running = Running::start(&world, config).await;
    deploy_guest(&running.host, "hostile_async").await;
    let store = running.host.store();
    let first: Vec<Value> = (1..=5)
        .map(|version| if version == 3 { curable_step(1, 3) } else { step(1, version) })
        .collect();
    steps(store, 1, &first).await;
    let second: Vec<Value> = (1..=5).map(|version| step(2, version)).collect();
    steps(store, 2, &second).await;
    world.until_number(&handled(2), 5).await;
    (world, running)
}

#[tokio::test]
async fn later_events_of_a_stream_wait_behind_one_that_failed_and_other_streams_do_not() {
    let (world, running) = stopped_at_the_third(1_000_000).await;
    world.until_number(RETRIES, 3).await;
    // One that comes later, in another batch.
    steps(running.host.store(), 1, &[step(1, 6)]).await;
    world.until_number(HELD, 3).await;
    assert_eq!(world.number(&handled(1)).await, 2);
    cure(&world, "hostile_async").await;
    world.until_number(&handled(1), 6).await;
    world.until_number(RETRIES, 0).await;
    assert_eq!((world.number(OUT_OF_ORDER).await, world.number(DEAD).await), (0, 0));
    running.stop().await;
}

#[tokio::test]
async fn a_stream_stays_behind_its_dead_letter_until_that_is_requeued() {
    let (world, running) = stopped_at_the_third(2).await;
    world.until_number(DEAD, 1).await;
    steps(running.host.store(), 1, &[step(1, 6)]).await;
    world.until_number(HELD, 3).await;
    assert_eq!(world.number(&handled(1)).await, 2);
    cure(&world, "hostile_async").await;
    assert_eq!(requeue(&world.eyes, &LetterFilter::ALL).await.unwrap(), 1);
    notify_events(&world.eyes).await.unwrap();
    world.until_number(&handled(1), 6).await;
    world.until_number(RETRIES, 0).await;
    assert_eq!((world.number(OUT_OF_ORDER).await, world.number(DEAD).await), (0, 0));
    running.stop().await;
}

#[tokio::test]
async fn a_stream_goes_on_without_a_dead_letter_that_is_purged() {
    let (world, running) = stopped_at_the_third(2).await;
    world.until_number(DEAD, 1).await;
    world.until_number(HELD, 2).await;
    assert_eq!(purge(&world.eyes, &LetterFilter::ALL).await.unwrap(), 1);
    notify_events(&world.eyes).await.unwrap();
    world.until_number(&handled(1), 4).await;
    world.until_number(RETRIES, 0).await;
    running.stop().await;
}

#[tokio::test]
async fn a_stream_goes_on_without_a_dead_letter_whose_event_is_dismissed() {
    let (world, running) = stopped_at_the_third(2).await;
    world.until_number(DEAD, 1).await;
    world.until_number(HELD, 2).await;
    let position =
        world.number("SELECT global_position FROM eventfabric.outbox_dead_letters").await;
    running.host.store().dismiss(&[position.into()], "wrong", "a test").await.unwrap();
    world.until_number(&handled(1), 4).await;
    world.until_number(RETRIES, 0).await;
    running.stop().await;
}

#[tokio::test]
async fn letters_of_one_stream_are_requeued_in_its_order() {
    let world = World::new().await;
    let mut config = quick();
    config.runner.r#async.max_attempts = 1;
    let running = Running::start(&world, config).await;
    deploy_guest(&running.host, "hostile_async").await;
    let all: Vec<Value> = (1..=30).map(|version| curable_step(1, version)).collect();
    steps(running.host.store(), 1, &all).await;
    world.until_number(DEAD, 30).await;
    cure(&world, "hostile_async").await;
    assert_eq!(requeue(&world.eyes, &LetterFilter::ALL).await.unwrap(), 30);
    notify_events(&world.eyes).await.unwrap();
    world.until_number(&handled(1), 30).await;
    assert_eq!(world.number(OUT_OF_ORDER).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn what_is_held_goes_on_when_order_is_no_longer_asked_for() {
    let (world, running) = stopped_at_the_third(2).await;
    world.until_number(DEAD, 1).await;
    world.until_number(HELD, 2).await;
    let off = SettingsChange { stream_order: Some(false), ..SettingsChange::default() };
    change(&world.eyes, "hostile_async", &off).await.unwrap();
    world.until_number(&handled(1), 4).await;
    assert_eq!(world.number(DEAD).await, 1);
    running.stop().await;
}

#[tokio::test]
async fn many_workers_of_two_hosts_never_turn_the_order_of_a_stream_round() {
    const STREAMS: i64 = 6;
    const EVENTS: usize = 40;
    let world = World::new().await;
    let mut config = in_order(quick());
    config.runner.r#async.max_attempts = 1_000_000;
    config.runner.r#async.workers = 4;
    config.runner.r#async.batch = 3;
    let one = Running::start(&world, config.clone()).await;
    deploy_guest(&one.host, "hostile_async").await;
    let two = Running::start(&world, config).await;
    let appends = (1..=STREAMS).map(|stream| {
        let store = one.host.store();
        async move {
            for version in 1..=EVENTS {
                let fails = version % 17 == stream as usize;
                let event = if fails { curable_step } else { step };
                steps(store, stream, &[event(stream, version)]).await;
            }
        }
    });
    futures::future::join_all(appends).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox", 0).await;
    assert!(world.number(HELD).await > 0, "every stream has failed at an early event");
    cure(&world, "hostile_async").await;
    let all = "SELECT count(*) FROM hostile_async.seen WHERE position <= -1000";
    world.until_number(all, STREAMS * EVENTS as i64).await;
    world.until_number(RETRIES, 0).await;
    assert_eq!((world.number(OUT_OF_ORDER).await, world.number(DEAD).await), (0, 0));
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn hosts_that_are_killed_never_turn_the_order_of_a_stream_round() {
    const STREAMS: i64 = 4;
    const EVENTS: usize = 60;
    let world = World::new().await;
    let env = [
        ("EVENTFABRIC_PROJECTION__HOSTILE_ASYNC__STREAM_ORDER", "true"),
        ("EVENTFABRIC_RUNNER__ASYNC__WORKERS", "3"),
        ("EVENTFABRIC_RUNNER__ASYNC__BATCH", "4"),
        ("EVENTFABRIC_RUNNER__ASYNC__MAX_ATTEMPTS", "1000000"),
        ("EVENTFABRIC_RUNNER__ASYNC__BACKOFF", "{base=\"20ms\", cap=\"100ms\"}"),
    ];
    let plugins = folder(&["hostile_async"]);
    let start = || Process::host(&world, Some(plugins.path()), &env);
    let mut hosts = [start(), start()];
    hosts[0].until_log("running").await;
    hosts[1].until_log("running").await;
    let store = world.store().await;
    let all = "SELECT count(*) FROM hostile_async.seen WHERE position <= -1000";
    for round in 0..3 {
        for stream in 1..=STREAMS {
            let versions = round * EVENTS / 3 + 1..=(round + 1) * EVENTS / 3;
            let fails = |version: usize| version % 20 == 10 && stream % 2 == 0;
            let events: Vec<Value> = versions
                .map(|version| if fails(version) { curable_step } else { step }(stream, version))
                .collect();
            steps(&store, stream, &events).await;
        }
        let before = world.number(all).await;
        let more = format!("SELECT (({all}) > {before})::int::bigint");
        world.until_number(&more, 1).await;
        hosts[round % 2].signal("KILL");
        hosts[round % 2].ended().await;
        hosts[round % 2] = start();
    }
    cure(&world, "hostile_async").await;
    world.until_number(all, STREAMS * EVENTS as i64).await;
    world.until_number(RETRIES, 0).await;
    assert_eq!((world.number(OUT_OF_ORDER).await, world.number(DEAD).await), (0, 0));
}

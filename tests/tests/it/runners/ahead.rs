//! What a catch-up plugin has begun before the transaction is there that it belongs to: it counts once
//! it has that, and never was where it does not come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eventfabric::event::StreamId;
use eventfabric::plugin::{Limits, pause, resume};
use eventfabric::runner::HostConfig;
use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};

use super::rig::{Running, World, append, deeds, deploy_guest, doing, good, quick, until};

const SEEN: &str = "SELECT count(*) FROM hostile_catchup.seen WHERE position > 0";
const LINES: &str = "SELECT count(*) FROM eventfabric.plugin_logs WHERE message = 'line 0'";

/// A batch has three events.
fn threes(mut config: HostConfig) -> HostConfig {
    config.runner.catch_up.batch = 3;
    config
}

/// Says something before its first statement.
fn says() -> Value {
    json!({"do": "log_flood", "n": 1})
}

/// A host whose plugin has begun with the second batch of three, while the first one waits for somebody
/// else's lock, and that lock.
async fn begun(
    world: &World,
    config: HostConfig,
    first: [Value; 3],
) -> (Running, Transaction<'static, Postgres>, Vec<i64>) {
    let running = Running::start(world, threes(config)).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let mut lock = world.eyes.begin().await.unwrap();
    sqlx::query("LOCK TABLE hostile_catchup.seen IN SHARE MODE").execute(&mut *lock).await.unwrap();
    let all: Vec<Value> = first.into_iter().chain([says()]).chain(good(2)).collect();
    let positions = deeds(running.host.store(), &all).await;
    let runtime = running.host.registry().runtime();
    until("it has begun with the second", async || runtime.begun_early() == 1).await;
    (running, lock, positions)
}

#[tokio::test]
async fn a_plugin_begins_with_the_next_batch_while_this_one_waits_and_each_event_counts_once() {
    let world = World::new().await;
    let (running, lock, positions) =
        begun(&world, quick(), [json!({}), json!({}), json!({})]).await;
    assert_eq!(world.number(SEEN).await, 0);
    lock.rollback().await.unwrap();
    world.until_number(SEEN, 6).await;
    let seen = "SELECT position::text FROM hostile_catchup.seen ORDER BY ctid";
    let expected: Vec<String> = positions.iter().map(ToString::to_string).collect();
    assert_eq!(world.texts(seen).await, expected);
    world.until_number(LINES, 1).await;
    running.stop().await;
}

#[tokio::test]
async fn what_was_begun_behind_a_batch_that_fails_never_was() {
    let world = World::new().await;
    let first = [json!({}), json!({"do": "config"}), json!({})];
    let (running, lock, positions) = begun(&world, doing("fatal"), first).await;
    lock.rollback().await.unwrap();
    let error = world.stopped("hostile_catchup").await;
    assert!(error.contains(&format!("position {}", positions[1])), "{error}");
    assert!(world.number(SEEN).await <= 1);
    running.stop().await;
    let running = Running::start(&world, threes(doing("ok"))).await;
    world.until_number(SEEN, 6).await;
    running.stop().await;
}

#[tokio::test]
async fn what_was_begun_waits_for_nobody_when_the_projection_is_paused() {
    let world = World::new().await;
    let (running, lock, _) = begun(&world, quick(), [json!({}), json!({}), json!({})]).await;
    pause(&world.eyes, "hostile_catchup", None, None).await.unwrap();
    running.host.registry().sync().await.unwrap();
    lock.rollback().await.unwrap();
    world.until_number(SEEN, 3).await;
    let runtime = running.host.registry().runtime();
    until("its place is free", async || runtime.begun_early() == 0).await;
    resume(&world.eyes, "hostile_catchup").await.unwrap();
    running.host.registry().sync().await.unwrap();
    world.until_number(SEEN, 6).await;
    running.stop().await;
    // It was begun twice; of the first time nobody sees anything.
    world.until_number(LINES, 1).await;
}

#[tokio::test]
async fn a_host_ends_although_a_plugin_has_begun_with_what_comes_next() {
    let world = World::new().await;
    let (running, lock, _) = begun(&world, quick(), [json!({}), json!({}), json!({})]).await;
    let stopping = tokio::spawn(running.stop());
    lock.rollback().await.unwrap();
    stopping.await.unwrap();
    let seen = world.number(SEEN).await;
    assert!(seen == 3 || seen == 6, "whole batches: {seen}");
    let running = Running::start(&world, threes(quick())).await;
    world.until_number(SEEN, 6).await;
    running.stop().await;
}

#[tokio::test]
async fn one_instance_is_enough() {
    let world = World::new().await;
    let mut config = threes(quick());
    config.limits = Limits { instances: 1, ..config.limits };
    let running = Running::start(&world, config).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deeds(running.host.store(), &good(30)).await;
    world.until_number(SEEN, 30).await;
    running.stop().await;
}

// (What has begun waits for its tenant's turn, and keeps the place of an instance.)
#[tokio::test]
async fn a_place_is_left_for_who_has_its_transaction() {
    for instances in [1, 2] {
        let world = World::new().await;
        let mut config = threes(quick());
        config.limits = Limits { instances, batch: Duration::from_secs(600), ..config.limits };
        let running = Running::start(&world, config).await;
        deploy_guest(&running.host, "hostile_catchup").await;
        for tenant in 0..5 {
            let stream = StreamId::new("Deeds", "1").in_tenant(format!("t{tenant}"));
            append(running.host.store(), stream, "Deed", &good(30)).await;
        }
        // One who waits for a place in vain waits for longer than that.
        world.until_number(SEEN, 150).await;
        running.stop().await;
    }
}

/// Ends a call before its first statement, and expects the projection to stop there.
async fn stops_early(how: &str, words: &str, config: HostConfig) {
    let world = World::new().await;
    let running = Running::start(&world, threes(config)).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let all: Vec<Value> = good(3).into_iter().chain([json!({"do": how})]).chain(good(5)).collect();
    let positions = deeds(running.host.store(), &all).await;
    let error = world.stopped("hostile_catchup").await;
    assert!(error.contains(words), "{error}");
    assert!(error.contains(&format!("position {}", positions[3])), "{error}");
    assert_eq!(world.number(SEEN).await, 3);
    running.stop().await;
}

#[tokio::test]
async fn a_trap_before_the_transaction_is_the_same_as_one_in_it() {
    stops_early("panic", "the event asked for a panic", quick()).await;
}

// (With threads, as the program has: a loop gives its own one back every 10 ms only.)
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_endless_loop_before_the_transaction_has_the_time_of_a_batch() {
    let mut config = quick();
    config.limits = Limits { batch: Duration::from_secs(1), ..config.limits };
    stops_early("loop", "1s", config).await;
}

#[tokio::test]
async fn a_plugin_that_runs_no_statement_at_all_gets_on() {
    let world = World::new().await;
    let way = BTreeMap::from([("way".to_owned(), "nothing".to_owned())]);
    let plugins = [("bench_catch_up_000".to_owned(), Arc::new(way))].into();
    let config = threes(HostConfig { plugins, ..quick() });
    let running = Running::start(&world, config).await;
    deploy_guest(&running.host, "bench_catch_up").await;
    let flight = json!({"carrier": "UA", "flight": 1, "origin": "EWR", "dest": "IAH",
        "scheduled": "2013-01-01T10:15:00Z", "dep_delay": 2, "distance": 1400,
        "type": "FlightDeparted", "version": 1});
    let stream = StreamId::new("Aircraft", "N1");
    let store = running.host.store();
    let positions = append(store, stream, "FlightDeparted", &vec![flight; 20]).await;
    let checkpoint = "SELECT max(last_global_position) FROM eventfabric.projection_checkpoints";
    world.until_number(checkpoint, positions[19]).await;
    running.stop().await;
}

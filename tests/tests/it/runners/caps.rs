//! What a plugin may use up, and what becomes of one that uses up as much as it may again and again.

use std::time::Duration;

use eventfabric::event::StreamId;
use eventfabric::plugin::{Limits, NewProjection, OnPoison, resume};
use eventfabric::runner::{HostConfig, statuses};
use eventfabric::sandbox::SandboxConfig;
use serde_json::{Value, json};

use super::rig::{Running, World, append, deeds, deploy_guest, doing, good, quick};

const SEEN: &str = "SELECT count(*) FROM hostile_catchup.seen WHERE position > 0";
const SEEN_ASYNC: &str = "SELECT count(*) FROM hostile_async.seen WHERE position > 0";
const DEAD: &str = "SELECT count(*) FROM eventfabric.outbox_dead_letters";

async fn with(world: &World, guest: &str, config: HostConfig) -> Running {
    let running = Running::start(world, config).await;
    deploy_guest(&running.host, guest).await;
    running
}

/// Events that do what the settings of the plugin say.
fn as_set(n: usize) -> Vec<Value> {
    vec![json!({"do": "config"}); n]
}

#[tokio::test]
async fn a_plugin_that_traps_at_every_event_does_not_make_dead_letters_of_the_log() {
    let world = World::new().await;
    let mut broken = doing("panic");
    let aside = NewProjection { on_poison: OnPoison::SetAside, ..NewProjection::default() };
    broken.projections.insert("hostile_catchup".to_owned(), aside);
    broken.runner.catch_up.max_attempts = 1;
    broken.runner.catch_up.stop_after = 12;
    let running = with(&world, "hostile_catchup", broken).await;
    deeds(running.host.store(), &as_set(40)).await;
    let error = world.stopped("hostile_catchup").await;
    for words in ["12 times in a row the plugin was stopped", "the event asked for a panic"] {
        assert!(error.contains(words), "{error}");
    }
    let dead = world.number(DEAD).await;
    assert!((1..12).contains(&dead), "{dead}");
    running.stop().await;

    let mended = Running::start(&world, doing("ok")).await;
    world.until_number(SEEN, 40 - dead).await;
    assert_eq!(world.number(DEAD).await, dead);
    mended.stop().await;
}

#[tokio::test]
async fn an_async_plugin_that_traps_at_every_event_stops_and_its_events_wait() {
    let world = World::new().await;
    let mut broken = doing("panic");
    broken.runner.r#async.stop_after = 7;
    broken.runner.r#async.max_attempts = 1000;
    let running = with(&world, "hostile_async", broken).await;
    // One after the other, so that none of them is lost in a crowd.
    for _ in 0..3 {
        deeds(running.host.store(), &as_set(1)).await;
    }
    let error = world.stopped("hostile_async").await;
    assert!(error.contains("times in a row the plugin was stopped"), "{error}");
    deeds(running.host.store(), &as_set(5)).await;
    running.stop().await;
    assert_eq!(world.number(DEAD).await, 0);

    let mended = Running::start(&world, doing("ok")).await;
    world.until_number(SEEN_ASYNC, 8).await;
    mended.stop().await;
}

// (With threads, as the program has: a loop gives its own one back every 10 ms only.)
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_async_plugin_that_takes_all_of_its_time_costs_the_queue_that_time_once() {
    let world = World::new().await;
    let mut config = doing("loop");
    config.limits = Limits { batch: Duration::from_secs(5), ..config.limits };
    config.runner.r#async.batch = 1;
    let running = with(&world, "hostile_async", config).await;
    deploy_guest(&running.host, "carriers").await;
    let mut flight = as_set(1);
    flight[0]["carrier"] = "AA".into();
    // A transaction of the queue each: were each of them to cost the time, it would be over after the patience.
    for n in 0..15 {
        let stream = StreamId::new("Aircraft", format!("N{n}"));
        append(running.host.store(), stream, "FlightDeparted", &flight).await;
    }
    world.until_number("SELECT sum(departed)::bigint FROM carriers.carriers", 15).await;
    running.stop().await;
}

#[tokio::test]
async fn sql_without_end_stops_a_catch_up_projection_and_a_lock_does_not() {
    let world = World::new().await;
    let mut config = quick();
    config.limits = Limits { batch: Duration::from_millis(400), ..config.limits };
    config.runner.catch_up.stop_after = 3;
    let running = with(&world, "hostile_catchup", config).await;
    let mut other = world.eyes.acquire().await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE hostile_catchup.seen").execute(&mut *other).await.unwrap();
    deeds(running.host.store(), &[json!({})]).await;
    let waited = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let before = world.number(waited).await;
    let more = format!("SELECT (({waited}) > {})::int::bigint", before + 6);
    world.until_number(&more, 1).await;
    assert_eq!(statuses(&world.eyes).await.unwrap()[0].state, "running");
    sqlx::raw_sql("COMMIT").execute(&mut *other).await.unwrap();
    world.until_number(SEEN, 1).await;

    let endless =
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    deeds(running.host.store(), &[json!({"do": "query", "sql": endless})]).await;
    let error = world.stopped("hostile_catchup").await;
    for words in ["3 times in a row", "waited for the database beyond its 400ms"] {
        assert!(error.contains(words), "{error}");
    }
    running.stop().await;
}

#[tokio::test]
async fn rows_beyond_the_limit_undo_the_batch_and_name_the_setting() {
    let world = World::new().await;
    let mut config = quick();
    // Each event writes a row by `execute-batch`, too.
    config.limits = Limits { rows_written: 20, ..config.limits };
    config.runner.catch_up.max_attempts = 1;
    let running = with(&world, "hostile_catchup", config).await;
    let rows = |n: i64| {
        let sql = format!("INSERT INTO seen SELECT -g, 'x' FROM generate_series(1, {n}) g");
        json!({"do": "exec", "sql": sql})
    };
    deeds(running.host.store(), &[rows(19)]).await;
    world.until_number(SEEN, 1).await;
    world.execute("DELETE FROM hostile_catchup.seen WHERE position < 0").await;
    deeds(running.host.store(), &[rows(20)]).await;
    let error = world.stopped("hostile_catchup").await;
    for words in ["a batch may write 20 rows", "limits.rows_written"] {
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(world.number("SELECT count(*) FROM hostile_catchup.seen").await, 1);
    running.stop().await;
}

#[tokio::test]
async fn tables_beyond_their_room_stop_the_projection_until_there_is_some() {
    let world = World::new().await;
    let sandbox = SandboxConfig { schema_bytes: Some(1 << 20), ..SandboxConfig::default() };
    let running = with(&world, "hostile_catchup", HostConfig { sandbox, ..quick() }).await;
    let rows = "INSERT INTO hostile_catchup.seen
                SELECT -g, repeat('x', 1000) FROM generate_series(1, 2000) g";
    world.execute(rows).await;
    deeds(running.host.store(), &good(2)).await;
    let error = world.stopped("hostile_catchup").await;
    for words in [
        "of the 1048576 bytes allowed",
        "sandbox.plugin.hostile_catchup.schema_bytes",
        "eventfabric projections resume hostile_catchup",
    ] {
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(world.number(SEEN).await, 0);
    world.execute("TRUNCATE hostile_catchup.seen").await;
    resume(&world.eyes, "hostile_catchup").await.unwrap();
    world.until_number(SEEN, 2).await;
    running.stop().await;
}

//! What fails in an async projection: only that is tried again, for that projection alone, and in
//! the end it is a dead letter that says all.

use std::time::{Duration, Instant};

use eventfabric::event::StreamId;
use eventfabric::plugin::Limits;
use eventfabric::runner::{DeployError, Host, HostConfig, deploy};
use eventfabric::store::{LetterFilter, dead_letters, notify_events, requeue};
use serde_json::{Value, json};

use super::rig::{
    Running, World, append, curable, cure, deploy_bytes, deploy_guest, doing, good, other_version,
    quick,
};

const SEEN: &str = "SELECT count(*) FROM hostile_async.seen";
const DEAD: &str = "SELECT count(*) FROM eventfabric.outbox_dead_letters";
const WAITING: &str = "SELECT count(*) FROM eventfabric.projection_retries";
const DEPARTED: &str = "SELECT coalesce(sum(departed), 0)::bigint FROM carriers.carriers";

/// The time for a batch where one never ends: what does end must have ended by then, also on a busy
/// machine.
const SHORT: Duration = Duration::from_secs(3);

/// A host with the hostile guest and, on the same events, `carriers`.
async fn with_neighbour(world: &World, config: HostConfig) -> Running {
    let running = Running::start(world, config).await;
    deploy_guest(&running.host, "hostile_async").await;
    deploy_guest(&running.host, "carriers").await;
    running
}

/// Appends departures that tell the hostile guest what to do, in one transaction.
async fn depart(host: &Host, payloads: &[Value]) -> Vec<i64> {
    let flights: Vec<Value> = payloads
        .iter()
        .map(|payload| {
            let mut flight = payload.clone();
            flight["carrier"] = "AA".into();
            flight
        })
        .collect();
    append(host.store(), StreamId::new("Aircraft", "N1"), "FlightDeparted", &flights).await
}

const HOSTILE: LetterFilter<'static> =
    LetterFilter { projection: Some("hostile_async"), ..LetterFilter::ALL };

#[tokio::test]
async fn one_poison_event_becomes_a_dead_letter_and_nothing_else_is_repeated() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    let version = deploy_guest(&running.host, "hostile_async").await.version;
    deploy_guest(&running.host, "carriers").await;
    let mut batch = good(20);
    batch[7] = json!({"do": "poison"});
    let positions = depart(&running.host, &batch).await;
    world.until_number(DEAD, 1).await;
    let letter = dead_letters(&world.eyes, &LetterFilter::default(), 10).await.unwrap().remove(0);
    assert_eq!(letter.projection.as_deref(), Some("hostile_async"));
    assert_eq!(letter.plugin_version, Some(version));
    assert_eq!((letter.position, letter.attempts), (positions[7], 3));
    assert_eq!(letter.event_type.as_deref(), Some("FlightDeparted"));
    assert!(letter.error.unwrap().contains("the event says poison"));
    assert!(letter.first_failed_at.is_some_and(|at| at < letter.dead_lettered_at));
    // A second run would have met the rows of the first.
    assert_eq!(world.number(SEEN).await, 19);
    assert_eq!(world.number(DEPARTED).await, 20);
    assert_eq!(world.number(WAITING).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn an_event_that_failed_by_sql_is_named_with_its_statement() {
    let world = World::new().await;
    let running = with_neighbour(&world, quick()).await;
    depart(&running.host, &[json!({}), json!({"do": "constraint"})]).await;
    world.until_number(DEAD, 1).await;
    let letter = dead_letters(&world.eyes, &LetterFilter::default(), 10).await.unwrap().remove(0);
    let error = letter.error.unwrap();
    assert!(error.contains("23505") && error.contains("seen_pkey"), "{error}");
    assert_eq!(world.number(SEEN).await, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_requeued_event_is_handled_by_a_new_version_of_the_one_that_failed() {
    let world = World::new().await;
    let running = with_neighbour(&world, quick()).await;
    depart(&running.host, &[json!({}), curable()]).await;
    world.until_number(DEAD, 1).await;
    cure(&world, "hostile_async").await;
    deploy_bytes(&running.host, other_version("hostile_async")).await;
    assert_eq!(requeue(&world.eyes, &HOSTILE).await.unwrap(), 1);
    notify_events(&world.eyes).await.unwrap();
    world.until_number(SEEN, 3).await;
    world.until_number(WAITING, 0).await;
    assert_eq!(world.number(DEAD).await, 0);
    assert_eq!(world.number(DEPARTED).await, 2);
    running.stop().await;
}

#[tokio::test]
async fn a_failure_that_asks_for_a_retry_succeeds_later_and_holds_up_nobody() {
    let world = World::new().await;
    let mut config = doing("retry");
    config.runner.r#async.max_attempts = 1000;
    let running = with_neighbour(&world, config).await;
    let mut batch = good(5);
    batch[2] = json!({"do": "config"});
    depart(&running.host, &batch).await;
    world.until_number(SEEN, 4).await;
    world.until_number(DEPARTED, 5).await;
    let tried =
        "SELECT coalesce(max(attempts), 0)::bigint >= 3 FROM eventfabric.projection_retries";
    world.until_number(&format!("SELECT ({tried})::int::bigint"), 1).await;
    running.stop().await;
    let running = Running::start(&world, doing("ok")).await;
    world.until_number(SEEN, 5).await;
    world.until_number(WAITING, 0).await;
    assert_eq!((world.number(DEPARTED).await, world.number(DEAD).await), (5, 0));
    running.stop().await;
}

#[tokio::test]
async fn a_fatal_failure_stops_the_projection_and_its_events_wait_for_a_new_version() {
    let world = World::new().await;
    let running = with_neighbour(&world, doing("fatal")).await;
    depart(&running.host, &[json!({}), json!({"do": "config"}), json!({})]).await;
    let error = world.stopped("hostile_async").await;
    assert!(error.contains("the event says fatal"), "{error}");
    // What comes later waits, too, and the neighbour goes on.
    depart(&running.host, &good(3)).await;
    world.until_number(DEPARTED, 6).await;
    world.until_number(&format!("SELECT ({SEEN}) + ({WAITING})"), 6).await;
    let seen = world.number(SEEN).await;
    // A version that is as wrong is not taken.
    let bytes = other_version("hostile_async").into();
    let error = deploy(running.host.registry(), bytes, "a test", 100).await.unwrap_err();
    assert!(matches!(error, DeployError::Trial { .. }), "{error}");
    assert_eq!(world.number(SEEN).await, seen);
    running.stop().await;
    // One that works gets all that waited.
    let host = Host::open(world.db.options(), doing("ok"), None).await.unwrap();
    deploy_bytes(&host, other_version("hostile_async")).await;
    assert_eq!(
        world.number("SELECT count(*) FROM eventfabric.projections WHERE state <> 'running'").await,
        0
    );
    let running = Running::run(host.into());
    world.until_number(SEEN, 6).await;
    world.until_number(WAITING, 0).await;
    assert_eq!((world.number(DEPARTED).await, world.number(DEAD).await), (6, 0));
    running.stop().await;
}

#[tokio::test]
async fn a_projection_that_traps_on_every_event_stops_no_other() {
    let (world, mut config) = (World::new().await, quick());
    // All of its attempts are traps in a row.
    config.runner.r#async.stop_after = 1000;
    let running = with_neighbour(&world, config).await;
    let positions = depart(&running.host, &vec![json!({"do": "panic"}); 8]).await;
    world.until_number(DEAD, 8).await;
    let letters = dead_letters(&world.eyes, &HOSTILE, 10).await.unwrap();
    let mut dead: Vec<i64> = letters.iter().map(|letter| letter.position).collect();
    dead.sort_unstable();
    assert_eq!(dead, positions);
    for letter in letters {
        let error = letter.error.unwrap();
        assert!(error.contains("the event asked for a panic"), "{error}");
    }
    assert_eq!((world.number(SEEN).await, world.number(DEPARTED).await), (0, 8));
    running.stop().await;
}

#[tokio::test]
async fn recursion_exits_and_hunger_for_memory_are_stopped_and_named() {
    let world = World::new().await;
    let mut config = quick();
    // Little memory: to fill much of it takes a busy machine as long as a batch may take.
    config.limits = Limits { memory_bytes: 16 << 20, ..config.limits };
    config.runner.r#async.max_attempts = 2;
    let running = with_neighbour(&world, config).await;
    let batch = ["ok", "recurse", "memory", "exit", "ok"];
    depart(&running.host, &batch.map(|deed| json!({"do": deed}))).await;
    world.until_number(DEAD, 3).await;
    let errors = world
        .texts("SELECT last_error FROM eventfabric.outbox_dead_letters ORDER BY global_position")
        .await;
    for (error, wanted) in errors.iter().zip(["trapped", "16 MiB", "exit"]) {
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    assert_eq!((world.number(SEEN).await, world.number(DEPARTED).await), (2, 5));
    running.stop().await;
}

#[tokio::test]
async fn an_endless_loop_is_stopped_and_named() {
    let world = World::new().await;
    let mut config = quick();
    config.limits = Limits { batch: SHORT, ..config.limits };
    config.runner.r#async.max_attempts = 2;
    let running = with_neighbour(&world, config).await;
    depart(&running.host, &[json!({}), json!({"do": "loop"}), json!({})]).await;
    world.until_number(DEAD, 1).await;
    let error =
        world.texts("SELECT last_error FROM eventfabric.outbox_dead_letters").await.remove(0);
    assert!(error.contains("3s"), "{error}");
    assert_eq!((world.number(SEEN).await, world.number(DEPARTED).await), (2, 3));
    running.stop().await;
}

#[tokio::test]
async fn sql_that_takes_too_long_costs_its_event_and_not_the_queue() {
    let world = World::new().await;
    let mut config = quick();
    config.limits = Limits { batch: SHORT, ..config.limits };
    // Slow SQL may be waiting for a lock, so it counts as a failure that can pass.
    config.runner.r#async.max_retries = 2;
    let running = with_neighbour(&world, config).await;
    let slow = "SELECT count(*) FROM generate_series(1, 2000000000)";
    depart(&running.host, &[json!({}), json!({"do": "query", "sql": slow}), json!({})]).await;
    world.until_number(DEPARTED, 3).await;
    world.until_number(SEEN, 2).await;
    world.until_number(DEAD, 1).await;
    running.stop().await;
}

#[tokio::test]
async fn a_batch_that_swallowed_an_error_of_sql_is_not_committed() {
    let world = World::new().await;
    let running = with_neighbour(&world, quick()).await;
    depart(&running.host, &[json!({"do": "swallow_sql_error"})]).await;
    let error = world.stopped("hostile_async").await;
    assert!(error.contains("can only be rolled back") && error.contains("missing"), "{error}");
    assert_eq!(world.number(SEEN).await, 0);
    world.until_number(DEPARTED, 1).await;
    assert_eq!(world.number(WAITING).await, 1);
    running.stop().await;
}

#[tokio::test]
async fn the_search_for_an_endless_loop_does_not_hold_up_the_neighbours() {
    let world = World::new().await;
    let mut config = quick();
    config.limits = Limits { batch: SHORT, ..config.limits };
    config.runner.r#async.max_attempts = 2;
    let running = with_neighbour(&world, config).await;
    let mut batch = good(64);
    batch[40] = json!({"do": "loop"});
    depart(&running.host, &batch).await;
    world.until_number(DEPARTED, 64).await;
    // Of some seven batches that run into the loop, the neighbour has waited for one.
    assert!(world.number(SEEN).await < 63, "the search had ended before");
    world.until_number(SEEN, 63).await;
    world.until_number(DEAD, 1).await;
    running.stop().await;
}

#[tokio::test]
async fn events_that_ask_for_a_retry_do_not_hold_up_the_neighbours() {
    let world = World::new().await;
    let mut config = quick();
    config.runner.r#async.max_attempts = 1000;
    config.runner.r#async.batch = 2;
    let running = with_neighbour(&world, config).await;
    let pairs: Vec<_> = (0..15).flat_map(|_| [json!({}), json!({"do": "retry"})]).collect();
    let start = Instant::now();
    depart(&running.host, &pairs).await;
    world.until_number(DEPARTED, 30).await;
    world.until_number(SEEN, 15).await;
    // To give way to each of the 15 as if it were a deadlock takes more than a second each.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    running.stop().await;
}

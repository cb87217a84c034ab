//! What fails in a catch-up projection: it stops there, everything before is applied, and it says
//! where and why.

use std::time::Duration;

use eventfabric::plugin::Limits;
use eventfabric::runner::{Host, HostConfig, statuses};
use serde_json::json;

use super::rig::{
    Running, World, curable, cure, deeds, deploy_bytes, deploy_guest, doing, good, other_version,
    quick, until,
};

const SEEN: &str = "SELECT count(*) FROM hostile_catchup.seen WHERE position > 0";

async fn with_guest(world: &World, config: HostConfig) -> Running {
    let running = Running::start(world, config).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    running
}

async fn in_log_order(world: &World) -> bool {
    let seen = "SELECT position::text FROM hostile_catchup.seen WHERE position > 0 ORDER BY ctid";
    let seen: Vec<i64> = world.texts(seen).await.iter().map(|p| p.parse().unwrap()).collect();
    seen.is_sorted()
}

#[tokio::test]
async fn a_poison_event_stops_the_projection_there_and_a_new_version_goes_on() {
    let world = World::new().await;
    let running = with_guest(&world, quick()).await;
    let mut batch = good(9);
    batch[5] = curable();
    let positions = deeds(running.host.store(), &batch).await;
    let error = world.stopped("hostile_catchup").await;
    assert!(error.contains("Deed") && error.contains("Deeds/1"), "{error}");
    assert!(error.contains(&format!("position {}", positions[5])), "{error}");
    assert!(error.contains("division by zero"), "{error}");
    assert_eq!(world.number(SEEN).await, 5);
    let status = statuses(&world.eyes).await.unwrap().remove(0);
    assert_eq!((status.position, status.behind), (Some(positions[4]), 4));
    assert_eq!((status.state.as_str(), status.last_error), ("failed", Some(error)));

    cure(&world, "hostile_catchup").await;
    deploy_bytes(&running.host, other_version("hostile_catchup")).await;
    world.until_number(SEEN, 9).await;
    assert!(in_log_order(&world).await);
    let status = statuses(&world.eyes).await.unwrap().remove(0);
    assert_eq!((status.state.as_str(), status.last_error), ("running", None));
    running.stop().await;
}

#[tokio::test]
async fn a_restart_tries_a_stopped_projection_again() {
    let world = World::new().await;
    let running = with_guest(&world, quick()).await;
    deeds(running.host.store(), &[json!({}), curable()]).await;
    world.stopped("hostile_catchup").await;
    running.stop().await;
    cure(&world, "hostile_catchup").await;
    let running = Running::start(&world, quick()).await;
    world.until_number(SEEN, 2).await;
    running.stop().await;
}

#[tokio::test]
async fn a_trap_in_a_large_batch_is_narrowed_down_to_its_event() {
    let world = World::new().await;
    let running = with_guest(&world, quick()).await;
    let mut batch = good(300);
    batch[211] = json!({"do": "panic"});
    let positions = deeds(running.host.store(), &batch).await;
    let error = world.stopped("hostile_catchup").await;
    assert!(error.contains(&format!("position {}", positions[211])), "{error}");
    assert!(error.contains("the event asked for a panic"), "{error}");
    assert_eq!(world.number(SEEN).await, 211);
    running.stop().await;
}

// (With threads, as the program has: a loop gives its own one back every 10 ms only.)
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_endless_loop_stops_one_projection_and_the_others_go_on_meanwhile() {
    let world = World::new().await;
    let mut config = quick();
    config.limits = Limits { batch: Duration::from_secs(4), ..config.limits };
    let running = with_guest(&world, config).await;
    deploy_guest(&running.host, "counter_v1").await;
    let mut batch = good(4);
    batch[2] = json!({"do": "loop"});
    deeds(running.host.store(), &batch).await;
    // Three attempts take twelve seconds: the counter is long done.
    world.until_number("SELECT sum(n)::bigint FROM counter.counts", 4).await;
    let failed = "SELECT count(*) FROM eventfabric.projections WHERE state = 'failed'";
    assert_eq!(world.number(failed).await, 0, "the counter had to wait for the loop");
    let error = world.stopped("hostile_catchup").await;
    assert!(error.contains("4s"), "{error}");
    assert_eq!(world.number(SEEN).await, 2);
    running.stop().await;
}

#[tokio::test]
async fn a_failure_that_asks_for_a_retry_is_tried_until_it_succeeds() {
    let world = World::new().await;
    let running = with_guest(&world, doing("retry")).await;
    deeds(running.host.store(), &[json!({}), json!({"do": "config"}), json!({})]).await;
    let tried = "SELECT xact_commit + xact_rollback FROM pg_stat_database
                 WHERE datname = current_database()";
    let before = world.number(tried).await;
    // Many attempts later it still has not stopped, and has skipped nothing.
    let more = format!("SELECT (({tried}) > {})::int::bigint", before + 200);
    world.until_number(&more, 1).await;
    let status = statuses(&world.eyes).await.unwrap().remove(0);
    assert_eq!(status.state, "running");
    assert!(world.number(SEEN).await <= 1);
    running.stop().await;
    let running = Running::start(&world, doing("ok")).await;
    world.until_number(SEEN, 3).await;
    assert!(in_log_order(&world).await);
    running.stop().await;
}

#[tokio::test]
async fn a_fatal_failure_stops_at_once_and_a_new_version_goes_on() {
    let world = World::new().await;
    let running = with_guest(&world, doing("fatal")).await;
    deeds(running.host.store(), &[json!({"do": "config"}), json!({})]).await;
    let error = world.stopped("hostile_catchup").await;
    assert!(error.contains("the event says fatal"), "{error}");
    assert_eq!(world.number(SEEN).await, 0);
    running.stop().await;
    let host = Host::open(world.db.options(), doing("ok"), None).await.unwrap();
    deploy_bytes(&host, other_version("hostile_catchup")).await;
    let running = Running::run(host.into());
    world.until_number(SEEN, 2).await;
    running.stop().await;
}

#[tokio::test]
async fn what_comes_before_an_event_that_asks_for_a_retry_does_not_wait_with_it() {
    let world = World::new().await;
    let running = with_guest(&world, quick()).await;
    let mut batch = good(9);
    batch[5] = json!({"do": "retry"});
    deeds(running.host.store(), &batch).await;
    world.until_number(SEEN, 5).await;
    running.stop().await;
}

#[tokio::test]
async fn a_host_tries_again_when_another_one_was_restarted_to_do_so() {
    let world = World::new().await;
    let one = with_guest(&world, quick()).await;
    deeds(one.host.store(), &[json!({}), curable(), json!({})]).await;
    world.stopped("hostile_catchup").await;
    until("it knows from the registry that it has stopped", async || {
        one.host.registry().snapshot().registered["hostile_catchup"].failed
    })
    .await;
    cure(&world, "hostile_catchup").await;
    // The other one says so, and ends before it has done anything itself.
    let two = Host::open(world.db.options(), quick(), None).await.unwrap();
    let generation = two.registry().snapshot().registered["hostile_catchup"].generation;
    two.registry().note_state("hostile_catchup", generation, None).await.unwrap();
    world.until_number(SEEN, 3).await;
    one.stop().await;
}

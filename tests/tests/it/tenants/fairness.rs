//! Fairness between the tenants of one database, counted and not timed.

use std::time::Duration;

use eventfabric::event::StreamId;
use eventfabric::plugin::Limits;
use eventfabric::runner::HostConfig;
use sqlx::Connection as _;

use crate::runners::rig::{Running, World, append, deploy_guest, good, quick};

const BACKLOG: i64 = 100_000;
const BATCH: i64 = 100;

fn of(tenant: &str) -> StreamId {
    StreamId::new("Deeds", "1").in_tenant(tenant)
}

/// How many events of a tenant are handled.
fn seen(tenant: &str) -> String {
    format!(
        "SELECT count(*) FROM hostile_catchup.seen s
         JOIN eventfabric.events e ON e.global_position = s.position
         WHERE e.tenant_id = '{tenant}'"
    )
}

/// Events of a tenant, as another program would have written them.
async fn backlog(world: &World, tenant: &str) {
    world
        .execute(&format!(
            "INSERT INTO eventfabric.events (event_id, tenant_id, aggregate_name, aggregate_id,
                                             aggregate_version, type, version, payload)
             SELECT gen_random_uuid(), '{tenant}', 'Deeds', '1', n, 'Deed', 1,
                    '{{\"type\": \"Deed\", \"version\": 1}}'
             FROM generate_series(1, {BACKLOG}) n"
        ))
        .await;
}

#[tokio::test]
async fn a_tenant_with_a_long_backlog_does_not_keep_another_one_from_its_turn() {
    let world = World::new().await;
    backlog(&world, "large").await;
    let mut config = quick();
    config.runner.catch_up.batch = BATCH;
    let running = Running::start(&world, config).await;
    append(running.host.store(), of("small"), "Deed", &good(5)).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    world.until_number(&seen("small"), 5).await;
    // Of the large one, what was written before the small one had its turn: some batches of a
    // thousand, where first come, first served would have been all of them.
    let before = world
        .number(
            "SELECT count(*) FROM hostile_catchup.seen s
             JOIN eventfabric.events e ON e.global_position = s.position
             WHERE e.tenant_id = 'large'
               AND age(s.xmin) > (SELECT min(age(o.xmin)) FROM hostile_catchup.seen o
                                  JOIN eventfabric.events f ON f.global_position = o.position
                                  WHERE f.tenant_id = 'small')",
        )
        .await;
    assert!(before <= 20 * BATCH, "{before} events of the large one came first");
    // The same for events that come while the large one is at work, and for a tenant that is new.
    for tenant in ["small", "tiny"] {
        append(running.host.store(), of(tenant), "Deed", &good(5)).await;
    }
    world.until_number(&seen("small"), 10).await;
    world.until_number(&seen("tiny"), 5).await;
    let left = BACKLOG - world.number(&seen("large")).await;
    assert!(left > 0, "the large one was at work all the time");
    running.stop().await;
}

#[tokio::test]
async fn a_tenant_whose_batch_hangs_passes_its_turn_on() {
    let world = World::new().await;
    // Longer than this test waits for anything.
    let limits = Limits { batch: Duration::from_secs(300), ..quick().limits };
    let running = Running::start(&world, HostConfig { limits, ..quick() }).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    append(running.host.store(), of("a"), "Deed", &good(1)).await;
    world.until_number(&seen("a"), 1).await;

    // The next position, taken in the plugin's table by a transaction that stays open.
    let mut blocker = world.eyes.acquire().await.unwrap();
    let mut open = blocker.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO hostile_catchup.seen
         SELECT last_value + 1, 'blocked' FROM eventfabric.events_global_position_seq",
    )
    .execute(&mut *open)
    .await
    .unwrap();
    append(running.host.store(), of("hangs"), "Deed", &good(1)).await;
    for n in 1..=10 {
        append(running.host.store(), of("a"), "Deed", &good(1)).await;
        append(running.host.store(), of("z"), "Deed", &good(1)).await;
        world.until_number(&seen("a"), n + 1).await;
        world.until_number(&seen("z"), n).await;
    }
    assert_eq!(world.number(&seen("hangs")).await, 0);
    open.rollback().await.unwrap();
    world.until_number(&seen("hangs"), 1).await;
    running.stop().await;
}

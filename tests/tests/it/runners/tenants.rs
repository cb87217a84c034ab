//! Tenants of one database: each has its own place in the log, and none holds up another.

use std::time::Duration;

use eventfabric::event::StreamId;
use eventfabric::store::checkpoints;
use serde_json::json;

use super::rig::{Running, World, append, curable, cure, deploy_bytes, deploy_guest, good};
use super::rig::{other_version, quick};

const SEEN: &str = "SELECT count(*) FROM hostile_catchup.seen WHERE position > 0";

fn of(tenant: &str) -> StreamId {
    StreamId::new("Deeds", "1").in_tenant(tenant)
}

#[tokio::test]
async fn every_tenant_has_a_checkpoint_of_its_own() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let mut last = Vec::new();
    for round in 0..3 {
        for tenant in ["north", "south", "west"] {
            let positions = append(running.host.store(), of(tenant), "Deed", &good(4)).await;
            if round == 2 {
                last.push((tenant.to_owned(), positions[3]));
            }
        }
    }
    world.until_number(SEEN, 36).await;
    let mut known = checkpoints(&world.eyes, "hostile_catchup").await.unwrap();
    known.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    assert_eq!(known.len(), 3);
    for (checkpoint, (tenant, position)) in known.iter().zip(last) {
        assert_eq!(checkpoint.tenant, tenant);
        assert!(checkpoint.position >= position, "{checkpoint:?} is behind {position}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_tenant_with_a_poison_event_stops_no_other() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let store = running.host.store();
    append(store, of("south"), "Deed", &[json!({}), curable(), json!({})]).await;
    append(store, of("north"), "Deed", &good(5)).await;
    append(store, of("west"), "Deed", &good(5)).await;
    world.until_number(SEEN, 11).await;
    let error = world.stopped("hostile_catchup").await;
    assert!(error.contains("south:Deeds/1"), "{error}");
    // The others go on after it has stopped, too.
    append(store, of("north"), "Deed", &good(5)).await;
    world.until_number(SEEN, 16).await;
    let error = world.stopped("hostile_catchup").await;
    assert!(error.contains("south:Deeds/1"), "{error}");
    cure(&world, "hostile_catchup").await;
    deploy_bytes(&running.host, other_version("hostile_catchup")).await;
    world.until_number(SEEN, 18).await;
    running.stop().await;
}

#[tokio::test]
async fn a_tenant_that_recovers_does_not_hide_that_another_one_has_stopped() {
    let world = World::new().await;
    let mut config = quick();
    config.runner.catch_up.max_attempts = 1000;
    config.runner.catch_up.backoff.base = Duration::from_millis(1);
    config.runner.catch_up.backoff.cap = Duration::from_millis(1);
    let running = Running::start(&world, config).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let store = running.host.store();
    append(store, of("north"), "Deed", &[curable()]).await;
    append(store, of("south"), "Deed", &[json!({"do": "fatal"})]).await;
    world.stopped("hostile_catchup").await;
    cure(&world, "hostile_catchup").await;
    world.until_number(SEEN, 1).await;
    append(store, of("north"), "Deed", &good(1)).await;
    world.until_number(SEEN, 2).await;
    let failed = "SELECT count(*) FROM eventfabric.projections WHERE state = 'failed'";
    assert_eq!(world.number(failed).await, 1);
    running.stop().await;
}

#[tokio::test]
async fn an_event_of_a_tenant_that_was_never_seen_before_is_handled() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deploy_guest(&running.host, "hostile_async").await;
    for n in 1..=5 {
        append(running.host.store(), of(&format!("tenant {n}")), "Deed", &good(1)).await;
        world.until_number(SEEN, n).await;
        world.until_number("SELECT count(*) FROM hostile_async.seen", n).await;
    }
    running.stop().await;
}

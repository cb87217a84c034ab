//! A catch-up projection that goes on from another place.

use eventfabric::plugin::Start;
use eventfabric::runner::{ResetError, reset};

use super::super::runners::rig::{Process, Running, World, deploy_guest, quick};
use super::{assert_all_seen, deeds, ok, table, until_seen};

#[tokio::test]
async fn a_projection_reads_the_log_again_into_emptied_tables() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let store = running.host.store();
    for tenant in ["default", "b"] {
        deeds(store, tenant, 2, ok()).await;
    }
    until_seen(&world, "hostile_catchup", 28).await;
    let before = table(&world, "hostile_catchup.seen").await;
    world.execute("UPDATE hostile_catchup.seen SET note = 'before'").await;
    let sandbox = running.host.registry().sandbox();
    let position =
        reset(store.pool(), sandbox, "hostile_catchup", Start::Default, true).await.unwrap();
    assert_eq!(position, 0);
    until_seen(&world, "hostile_catchup", 28).await;
    assert_all_seen(&world, "hostile_catchup").await;
    let old = "SELECT count(*) FROM hostile_catchup.seen WHERE note = 'before'";
    assert_eq!(world.number(old).await, 0);
    assert_eq!(table(&world, "hostile_catchup.seen").await, before);
    running.stop().await;
}

#[tokio::test]
async fn a_projection_leaves_out_what_was_appended_before_now() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deeds(running.host.store(), "default", 1, ok()).await;
    until_seen(&world, "hostile_catchup", 7).await;
    running.stop().await;
    let store = world.store().await;
    deeds(&store, "default", 1, ok()).await;
    deeds(&store, "c", 1, ok()).await;
    let command = ["projections", "reset", "hostile_catchup", "--to", "now", "--yes"];
    let mut command = Process::start(&world, &command, &[]);
    assert!(command.ended().await.success(), "{}", command.log());
    assert!(command.output().contains("goes on after position"), "{}", command.output());
    let running = Running::start(&world, quick()).await;
    deeds(&store, "c", 1, ok()).await;
    until_seen(&world, "hostile_catchup", 14).await;
    let left_out = "SELECT count(*) FROM hostile_catchup.seen WHERE position BETWEEN 8 AND 21";
    assert_eq!(world.number(left_out).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_reset_needs_to_be_meant_and_a_projection_with_a_place() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    for name in ["hostile_async", "hostile_inline"] {
        deploy_guest(&running.host, name).await;
        let sandbox = running.host.registry().sandbox();
        let pool = running.host.store().pool();
        let refused = reset(pool, sandbox, name, Start::Now, true).await;
        assert!(matches!(refused, Err(ResetError::Mode(..))), "{refused:?}");
    }
    let mut unmeant = Process::start(&world, &["projections", "reset", "hostile_async"], &[]);
    assert_eq!(unmeant.ended().await.code(), Some(2));
    running.stop().await;
}

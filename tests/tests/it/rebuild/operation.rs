//! Projections that are paused, and what an operator sees.

use eventfabric::plugin::{pause, resume};
use eventfabric::runner::statuses;
use eventfabric::store::notify_plugins;

use super::super::runners::rig::{Process, Running, World, deploy_guest, quick};
use super::{assert_all_seen, deeds, ok, options, run, table, until_seen};

#[tokio::test]
async fn a_paused_projection_is_rebuilt_as_far_as_it_has_come_and_stays_paused() {
    for name in ["hostile_catchup", "hostile_async"] {
        let world = World::new().await;
        let running = Running::start(&world, quick()).await;
        deploy_guest(&running.host, name).await;
        deploy_guest(&running.host, "counter_v1").await;
        let store = running.host.store();
        deeds(store, "default", 2, ok()).await;
        until_seen(&world, name, 14).await;
        pause(store.pool(), name, Some("ada"), Some("the disk is full")).await.unwrap();
        deeds(store, "default", 2, ok()).await;
        world.until_number("SELECT sum(n)::bigint FROM counter.counts", 28).await;
        let before = table(&world, &format!("{name}.seen")).await;
        assert_eq!(run(&running.host, name, &options()).await.unwrap().events, 14);
        assert_ne!(table(&world, &format!("{name}.seen")).await, before);
        let statuses = statuses(&world.eyes).await.unwrap();
        let status = statuses.iter().find(|status| status.name == name).unwrap();
        assert_eq!(status.state, "paused");
        assert_eq!(status.paused.as_ref().unwrap().by.as_deref(), Some("ada"));
        assert!(status.behind >= 14 && status.lag_seconds > 0.0, "{status:?}");
        assert_eq!(world.number(&format!("SELECT count(*) FROM {name}.seen")).await, 14);
        resume(store.pool(), name).await.unwrap();
        notify_plugins(store.pool()).await.unwrap();
        assert_all_seen(&world, name).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn pause_and_resume_hold_for_all_hosts_and_outlive_them() {
    let world = World::new().await;
    let one = Running::start(&world, quick()).await;
    deploy_guest(&one.host, "hostile_catchup").await;
    deploy_guest(&one.host, "counter_v1").await;
    let two = Running::start(&world, quick()).await;
    deeds(one.host.store(), "default", 1, ok()).await;
    until_seen(&world, "hostile_catchup", 7).await;
    pause(&world.db.pool(1).await, "hostile_catchup", None, None).await.unwrap();
    // Each of them passes these to the other projection, and none to this one.
    for host in [&one, &two] {
        deeds(host.host.store(), "default", 1, ok()).await;
    }
    world.until_number("SELECT sum(n)::bigint FROM counter.counts", 21).await;
    one.stop().await;
    two.stop().await;
    let (three, four) =
        (Running::start(&world, quick()).await, Running::start(&world, quick()).await);
    deeds(three.host.store(), "default", 1, ok()).await;
    world.until_number("SELECT sum(n)::bigint FROM counter.counts", 28).await;
    assert_eq!(world.number("SELECT count(*) FROM hostile_catchup.seen").await, 7);
    resume(&world.db.pool(1).await, "hostile_catchup").await.unwrap();
    assert_all_seen(&world, "hostile_catchup").await;
    three.stop().await;
    four.stop().await;
}

#[tokio::test]
async fn the_command_tells_of_a_rebuild_that_was_interrupted() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deeds(running.host.store(), "default", 1, ok()).await;
    until_seen(&world, "hostile_catchup", 7).await;
    world
        .execute(
            "INSERT INTO eventfabric.projection_rebuilds
                    (projection_name, plugin_version, starts_after, wants, shards, target_position,
                     last_error)
             VALUES ('hostile_catchup', 'abc', 0, '{}', 1, 200, 'out of paper')",
        )
        .await;
    world
        .execute(
            "INSERT INTO eventfabric.projection_rebuild_shards
                    (projection_name, shard, last_global_position) VALUES ('hostile_catchup', 0, 100)",
        )
        .await;
    let mut status = Process::start(&world, &["projections", "status"], &[]);
    assert!(status.ended().await.success(), "{}", status.log());
    let said: String = status.output().split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["interrupted at 50 %", "out of paper"] {
        let squeezed = said.replace(['│', '┆'], "");
        let squeezed = squeezed.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.split(' ').all(|word| squeezed.contains(word)), "{words}: {said}");
    }
    let mut status = Process::start(&world, &["projections", "status", "--json"], &[]);
    assert!(status.ended().await.success(), "{}", status.log());
    let rows: serde_json::Value = serde_json::from_str(&status.output()).unwrap();
    assert_eq!(rows[0]["rebuild"]["last_error"], "out of paper");
    assert_eq!(rows[0]["rebuild"]["running"], false);
    assert_eq!(rows[0]["state"], "running");
    running.stop().await;
}

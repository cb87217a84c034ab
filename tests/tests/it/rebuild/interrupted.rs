//! A rebuild that ends in the middle, in whatever way, has changed nothing, and goes on where it was.

use std::sync::Arc;

use eventfabric::plugin::Start;
use eventfabric::runner::{Host, RebuildOptions, RebuildProgress, rebuild};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::runners::rig::{
    Process, Running, World, deploy_bytes, deploy_guest, folder, other_version, quick,
};
use super::super::runners::week::{PLUGINS, assert_read_models, import, until_deployed};
use super::{assert_all_seen, assert_tidy, deeds, ok, options, run, table, until_seen};

/// Begins a rebuild and drops it once the plugin was handed so many events, wherever that is.
async fn interrupt(host: &Host, name: &str, options: &RebuildOptions, events: i64) {
    let progress = watch::Sender::new(RebuildProgress::default());
    let mut watching = progress.subscribe();
    let stop = CancellationToken::new();
    tokio::select! {
        done = rebuild(host.registry(), name, options, &progress, &stop) => {
            panic!("it was over before {events} events: {done:?}")
        }
        _ = watching.wait_for(|progress| progress.events >= events) => {}
    }
}

async fn interrupted_again_and_again(name: &str) {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, name).await;
    deeds(running.host.store(), "default", 40, ok()).await;
    until_seen(&world, name, 280).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox", expected_outbox(name)).await;
    let before = table(&world, &format!("{name}.seen")).await;
    for events in [1, 40, 90, 200] {
        interrupt(&running.host, name, &options(), events).await;
        assert_eq!(table(&world, &format!("{name}.seen")).await, before);
        // The projection goes on meanwhile.
        deeds(running.host.store(), "default", 1, ok()).await;
    }
    let rebuilt = run(&running.host, name, &options()).await.unwrap();
    assert!(rebuilt.resumed);
    assert_ne!(table(&world, &format!("{name}.seen")).await, before);
    assert_all_seen(&world, name).await;
    assert_tidy(&world, name).await;
    running.stop().await;
}

/// Rows wait for the first async projection, where there is none.
fn expected_outbox(name: &str) -> i64 {
    if name == "hostile_async" { 0 } else { 280 }
}

#[tokio::test]
async fn a_catch_up_rebuild_that_is_dropped_goes_on_where_it_was() {
    interrupted_again_and_again("hostile_catchup").await;
}

#[tokio::test]
async fn an_async_rebuild_that_is_dropped_goes_on_where_it_was() {
    interrupted_again_and_again("hostile_async").await;
}

#[tokio::test]
async fn an_inline_rebuild_that_is_dropped_goes_on_where_it_was() {
    interrupted_again_and_again("hostile_inline").await;
}

#[tokio::test]
async fn a_rebuild_that_is_told_to_stop_goes_on_where_it_was() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deeds(running.host.store(), "default", 40, ok()).await;
    until_seen(&world, "hostile_catchup", 280).await;
    let progress = watch::Sender::new(RebuildProgress::default());
    let (mut watching, stop) = (progress.subscribe(), CancellationToken::new());
    let options = options();
    let (done, _) = tokio::join!(
        rebuild(running.host.registry(), "hostile_catchup", &options, &progress, &stop),
        async {
            watching.wait_for(|progress| progress.events >= 20).await.unwrap();
            stop.cancel();
        }
    );
    let error = done.unwrap_err();
    assert_eq!(error.to_string(), "it was stopped");
    assert!(run(&running.host, "hostile_catchup", &options).await.unwrap().resumed);
    assert_all_seen(&world, "hostile_catchup").await;
    running.stop().await;
}

#[tokio::test]
async fn a_process_that_is_killed_goes_on_where_it_was() {
    let (world, plugins) = (World::new().await, folder(&PLUGINS));
    let _host = Process::host(&world, Some(plugins.path()), &[]);
    until_deployed(&world).await;
    import(&world).succeeded().await;
    assert_read_models(&world).await;
    let small = [("EVENTFABRIC_RUNNER__CATCH_UP__BATCH", "10")];
    let before = table(&world, "carriers.carriers").await;
    let command = ["projections", "rebuild", "carriers"];
    let mut rebuild = Process::start(&world, &command, &small);
    let come = "SELECT (sum(events) >= 500)::int::bigint
                FROM eventfabric.projection_rebuild_shards";
    world.until_number(come, 1).await;
    rebuild.signal("KILL");
    assert!(!rebuild.ended().await.success());
    assert_eq!(table(&world, "carriers.carriers").await, before);
    let mut rebuild = Process::start(&world, &command, &[]);
    assert!(rebuild.ended().await.success(), "{}", rebuild.log());
    assert!(rebuild.log().contains("going on with tables that were filled before"));
    assert_ne!(table(&world, "carriers.carriers").await, before);
    assert_read_models(&world).await;
}

#[tokio::test]
async fn what_was_begun_for_something_else_is_begun_anew() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deeds(running.host.store(), "default", 20, ok()).await;
    until_seen(&world, "hostile_catchup", 140).await;
    interrupt(&running.host, "hostile_catchup", &options(), 30).await;
    let other = RebuildOptions { shards: Some(3), ..options() };
    interrupt(&running.host, "hostile_catchup", &other, 30).await;
    let half = RebuildOptions { from: Start::After(70), ..options() };
    interrupt(&running.host, "hostile_catchup", &half, 10).await;
    deploy_bytes(&running.host, other_version("hostile_catchup")).await;
    let rebuilt = run(&running.host, "hostile_catchup", &half).await.unwrap();
    assert!(!rebuilt.resumed);
    assert_eq!(rebuilt.events, 70);
    let least = "SELECT min(position) FROM hostile_catchup.seen";
    assert_eq!(world.number(least).await, 71);
    assert_tidy(&world, "hostile_catchup").await;
    running.stop().await;
}

#[tokio::test]
async fn two_rebuilds_of_one_projection_are_not_made_at_once() {
    let world = World::new().await;
    let host = Arc::new(Host::open(world.db.options(), quick(), None).await.unwrap());
    deploy_guest(&host, "hostile_catchup").await;
    let mut other = world.eyes.acquire().await.unwrap().detach();
    let claim =
        "SELECT pg_advisory_lock(hashtextextended('eventfabric rebuild hostile_catchup', 0))";
    sqlx::query(claim).execute(&mut other).await.unwrap();
    let error = run(&host, "hostile_catchup", &options()).await.unwrap_err();
    assert!(error.to_string().contains("is being rebuilt already"), "{error}");
    drop(other);
    run(&host, "hostile_catchup", &options()).await.unwrap();
}

//! New versions of a plugin while events flow: from a folder, by files good and bad, and on hosts
//! that have no folder.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use eventfabric::runner::{DeployError, Host, deploy};
use eventfabric_tests::wasm;
use serde_json::json;

use super::rig::{Process, World, deeds, folder, good, put, quick, until};

const COUNTED: &str = "SELECT coalesce(sum(n), 0)::bigint FROM counter.counts";

fn counted(version: &str) -> String {
    format!("SELECT coalesce(sum(n), 0)::bigint FROM counter.counts WHERE version = '{version}'")
}

fn component(guest: &str) -> Vec<u8> {
    std::fs::read(wasm(guest)).unwrap()
}

async fn until_counted(world: &World, version: &str, least: i64) {
    let sql = counted(version);
    until("a version has counted", async || world.number(&sql).await >= least).await;
}

async fn generation(world: &World) -> i64 {
    let sql = "SELECT generation FROM eventfabric.projections WHERE projection_name = 'counter'";
    world.number(sql).await
}

/// A host with `counter_v1` in its folder, and the path of that file.
async fn counting(world: &World) -> (Process, tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("counter.wasm");
    put(&file, &component("counter_v1"));
    let host = Process::host(world, Some(dir.path()), &[]);
    until("the counter is active", async || {
        world.number("SELECT count(*) FROM eventfabric.projections").await == 1
    })
    .await;
    (host, dir, file)
}

/// Appends one event after the other while `change` happens. Answers how many.
async fn while_events_flow(world: &World, change: impl AsyncFnOnce()) -> i64 {
    let store = world.store().await;
    let (stop, events) = (AtomicBool::new(false), AtomicI64::new(0));
    let flow = async {
        while !stop.load(Ordering::SeqCst) {
            deeds(&store, &good(1)).await;
            events.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let change = async {
        change().await;
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(flow, change);
    events.into_inner()
}

#[tokio::test]
async fn a_version_moved_into_place_takes_over_and_every_event_is_counted_once() {
    let world = World::new().await;
    let (mut host, _dir, file) = counting(&world).await;
    let events = while_events_flow(&world, async || {
        until_counted(&world, "v1", 50).await;
        put(&file, &component("counter_v2"));
        until_counted(&world, "v2", 50).await;
        // And back.
        put(&file, &component("counter_v1"));
        let v1 = world.number(&counted("v1")).await;
        until_counted(&world, "v1", v1 + 50).await;
    })
    .await;
    world.until_number(COUNTED, events).await;
    assert_eq!(generation(&world).await, 3);
    assert!(host.is_running());
    assert_eq!(host.log().matches(" starting ").count(), 1);
}

#[tokio::test]
async fn a_version_written_in_pieces_takes_over_when_it_is_whole() {
    let world = World::new().await;
    let (mut host, _dir, path) = counting(&world).await;
    let events = while_events_flow(&world, async || {
        until_counted(&world, "v1", 50).await;
        let bytes = component("counter_v2");
        let mut file = std::fs::File::create(&path).unwrap();
        for piece in bytes.chunks(bytes.len() / 5) {
            file.write_all(piece).unwrap();
            file.sync_all().unwrap();
            // Slowly enough for the host to look at halves.
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        drop(file);
        until_counted(&world, "v2", 50).await;
    })
    .await;
    world.until_number(COUNTED, events).await;
    assert_eq!(generation(&world).await, 2);
    assert!(host.is_running());
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_version_running_and_the_log_says_why() {
    let world = World::new().await;
    let (mut host, _dir, file) = counting(&world).await;
    let store = world.store().await;
    deeds(&store, &good(3)).await;
    world.until_number(COUNTED, 3).await;
    let whole = component("counter_v2");
    let broken: [(Vec<u8>, &str); 6] = [
        (b"this is text".to_vec(), "no WebAssembly component"),
        (Vec::new(), "no WebAssembly component"),
        (whole[..whole.len() / 2].to_vec(), "not deployed"),
        (b"\0asm\x01\0\0\0".to_vec(), "no WebAssembly component"),
        (component("imports_fs"), "wasi:filesystem"),
        (component("counter_bad"), "this version can't count"),
    ];
    for (n, (bytes, why)) in broken.iter().enumerate() {
        put(&file, bytes);
        until("it is refused", async || host.log().matches("not deployed").count() == n + 1).await;
        let log = host.log();
        let said = &log[log.rfind("not deployed").unwrap()..];
        assert!(said.contains(why) && said.contains("counter.wasm"), "{why}: {said}");
        deeds(&store, &good(1)).await;
        world.until_number(&counted("v1"), 4 + n as i64).await;
    }
    assert_eq!(generation(&world).await, 1);
    // And the next good one is taken.
    put(&file, &whole);
    host.until_log("before=").await;
    assert_eq!(generation(&world).await, 2);
    deeds(&store, &good(1)).await;
    world.until_number(&counted("v2"), 1).await;
    assert!(host.is_running());
}

#[tokio::test]
async fn a_new_file_is_picked_up_a_deleted_one_goes_on_and_an_old_one_is_left_alone() {
    let world = World::new().await;
    let (mut host, dir, file) = counting(&world).await;
    let store = world.store().await;
    // Touched, with the same content; what comes after it shows that it was looked at.
    put(&file, &component("counter_v1"));
    put(&dir.path().join("new.wasm"), &component("hostile_catchup"));
    deeds(&store, &good(2)).await;
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 2).await;
    world.until_number(COUNTED, 2).await;
    assert_eq!(generation(&world).await, 1);
    assert!(!host.log().contains("not deployed"));

    std::fs::remove_file(&file).unwrap();
    put(&dir.path().join("newer.wasm"), &component("hostile_async"));
    world.until_number("SELECT count(*) FROM hostile_async.seen", 2).await;
    deeds(&store, &good(2)).await;
    world.until_number(COUNTED, 4).await;
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 4).await;
    assert!(host.is_running());
}

#[tokio::test]
async fn a_host_without_a_folder_follows_what_another_one_deploys() {
    let world = World::new().await;
    let mut follower = Process::host(&world, None, &[]);
    follower.until_log("running").await;
    let (mut deployer, _dir, file) = counting(&world).await;
    let store = world.store().await;
    deeds(&store, &good(5)).await;
    world.until_number(COUNTED, 5).await;
    put(&file, &component("counter_v2"));
    until("it is deployed", async || generation(&world).await == 2).await;
    // What follows is the work of the one without a folder, and of the new version.
    deployer.signal("KILL");
    deployer.ended().await;
    // (It may have been killed before it could say so: then it takes the other one a second.)
    let events = while_events_flow(&world, async || until_counted(&world, "v2", 5).await).await;
    world.until_number(COUNTED, 5 + events).await;
    assert!(follower.is_running());
}

#[tokio::test]
async fn two_hosts_change_versions_while_events_flow_and_every_event_is_counted_once() {
    let world = World::new().await;
    let (_one, _dir, file) = counting(&world).await;
    let _two = Process::host(&world, None, &[]);
    let events = while_events_flow(&world, async || {
        for (version, guest) in [("v2", "counter_v2"), ("v1", "counter_v1"), ("v2", "counter_v2")] {
            put(&file, &component(guest));
            let before = world.number(&counted(version)).await;
            until_counted(&world, version, before + 50).await;
        }
    })
    .await;
    world.until_number(COUNTED, events).await;
    assert!(generation(&world).await >= 3);
}

#[tokio::test]
async fn a_file_that_came_while_the_database_was_away_is_deployed_when_it_is_back() {
    let world = World::new().await;
    let (mut host, _dir, file) = counting(&world).await;
    host.until_log("running").await;
    super::outages::refuse_connections(&world, true).await;
    put(&file, &component("counter_v2"));
    host.until_log("not deployed").await;
    super::outages::refuse_connections(&world, false).await;
    host.until_log("before=").await;
    assert_eq!(generation(&world).await, 2);
    deeds(&world.store().await, &good(3)).await;
    world.until_number(&counted("v2"), 3).await;
    assert!(host.is_running());
}

#[tokio::test]
async fn a_folder_deploys_all_its_files_at_the_start_and_a_broken_one_keeps_none_back() {
    let world = World::new().await;
    let plugins = folder(&["counter_v1", "hostile_async", "hostile_catchup"]);
    std::fs::write(plugins.path().join("a_broken_one.wasm"), "text").unwrap();
    let host = Process::host(&world, Some(plugins.path()), &[]);
    host.until_log("running").await;
    assert_eq!(world.number("SELECT count(*) FROM eventfabric.projections").await, 3);
    assert!(host.log().contains("a_broken_one.wasm"));
}

#[tokio::test]
async fn an_event_that_is_refused_on_trial_does_not_hide_that_the_version_is_broken() {
    let world = World::new().await;
    let host = Host::open(world.db.options(), quick(), None).await.unwrap();
    let mut batch = good(20);
    batch[3] = json!({"do": "poison"});
    deeds(host.store(), &batch).await;
    let try_it = || deploy(host.registry(), component("hostile_catchup").into(), "a test", 100);
    batch[7] = json!({"do": "sql_error"});
    deeds(host.store(), &batch).await;
    let error = try_it().await.unwrap_err();
    assert!(matches!(error, DeployError::Trial { events: 40, .. }), "{error}");
    let mend = "DO $$ BEGIN
        SET LOCAL eventfabric.maintenance = 'on';
        DELETE FROM eventfabric.events WHERE payload ->> 'do' = 'sql_error';
    END $$";
    world.execute(mend).await;
    let deployed = try_it().await.unwrap();
    assert_eq!(deployed.tried, 37);
}

#[tokio::test]
async fn of_two_files_with_one_plugin_the_first_stays_until_it_is_gone() {
    let world = World::new().await;
    let dir = folder(&["counter_v1"]);
    let (first, second) = (dir.path().join("counter_v1.wasm"), dir.path().join("second.wasm"));
    put(&second, &component("counter_v2"));
    let host = Process::host(&world, Some(dir.path()), &[]);
    host.until_log("both files are the same plugin").await;
    let log = host.log();
    assert!(log.contains("counter_v1.wasm") && log.contains("second.wasm"), "{log}");
    assert_eq!(generation(&world).await, 1);
    // The same after another start: they do not take turns.
    host.signal("TERM");
    host.succeeded().await;
    let host = Process::host(&world, Some(dir.path()), &[]);
    host.until_log("both files are the same plugin").await;
    assert_eq!(generation(&world).await, 1);
    std::fs::remove_file(&first).unwrap();
    until("the other one is taken", async || generation(&world).await == 2).await;
    assert_eq!(host.log().matches("both files").count(), 1);
}

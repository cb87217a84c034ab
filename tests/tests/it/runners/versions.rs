//! The life of a plugin's versions: what is kept of them, ways back by hand and by themselves, a look
//! without a deploy, and the end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use eventfabric::plugin::{self, Action, VersionState};
use eventfabric::runner::{DeployError, Host, check, deploy, roll_back};
use eventfabric_tests::wasm;
use serde_json::json;

use super::rig::{
    Process, Running, World, deeds, deploy_bytes, deploy_guest, good, other_version, put, quick,
    until,
};
use crate::cli::run;

const COUNTED: &str = "SELECT coalesce(sum(n), 0)::bigint FROM counter.counts";

async fn active(world: &World) -> String {
    let sql = "SELECT active_sha256 FROM eventfabric.projections WHERE projection_name = 'counter'";
    world.texts(sql).await.remove(0)
}

async fn actions(world: &World, plugin: &str) -> Vec<(Action, bool)> {
    let history = plugin::deployments(&world.eyes, plugin, 100).await.unwrap();
    history.iter().rev().map(|d| (d.action, d.activated())).collect()
}

#[tokio::test]
async fn a_new_version_that_stops_is_replaced_by_the_one_before_which_handles_the_event() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    let v1 = deploy_guest(&running.host, "counter_v1").await.version;
    // Nothing is there to try it on.
    let bad = deploy_guest(&running.host, "counter_bad").await.version;
    deeds(&world.store().await, &good(3)).await;
    world.until_number(COUNTED, 3).await;
    assert_eq!(active(&world).await, v1);
    assert_eq!(
        actions(&world, "counter").await,
        [(Action::Deploy, true), (Action::Deploy, true), (Action::Fallback, true)]
    );
    let history = plugin::deployments(&world.eyes, "counter", 1).await.unwrap();
    assert_eq!(history[0].replaced.as_ref(), Some(&bad));
    assert!(history[0].error.as_ref().unwrap().contains("unreachable"), "{history:?}");
    let versions = plugin::versions(&world.eyes, "counter").await.unwrap();
    let state = |version: &str| versions.iter().find(|v| v.version == version).unwrap().state;
    assert_eq!((state(&v1), state(&bad)), (VersionState::Active, VersionState::RolledBack));
    running.stop().await;
}

#[tokio::test]
async fn a_version_stays_where_the_one_before_would_fail_at_the_event_as_well() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let new = deploy_bytes(&running.host, other_version("hostile_catchup")).await.version;
    deeds(&world.store().await, &[json!({"do": "panic"})]).await;
    world.stopped("hostile_catchup").await;
    // What the host does about it comes before it takes up anything else.
    running.stop().await;
    assert_eq!(actions(&world, "hostile_catchup").await.len(), 2);
    let active = "SELECT active_sha256 FROM eventfabric.projections";
    assert_eq!(world.texts(active).await, [new]);
}

#[tokio::test]
async fn a_rollback_goes_to_the_version_that_was_replaced_and_to_any_that_is_named() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    let registry = running.host.registry();
    let v1 = deploy_guest(&running.host, "counter_v1").await.version;
    let v2 = deploy_guest(&running.host, "counter_v2").await.version;
    let store = world.store().await;
    deeds(&store, &good(2)).await;
    world.until_number(COUNTED, 2).await;
    let back = roll_back(registry, "counter", None, "somebody", 100).await.unwrap();
    assert_eq!((&back.version, back.before.as_ref(), back.tried), (&v1, Some(&v2), 2));
    deeds(&store, &good(2)).await;
    world.until_number(COUNTED, 4).await;
    let of_v1 = "SELECT sum(n)::bigint FROM counter.counts WHERE version = 'v1'";
    assert_eq!(world.number(of_v1).await, 2);
    let again = roll_back(registry, "counter", None, "somebody", 100).await.unwrap_err();
    assert!(again.to_string().contains("no version before"), "{again}");
    for (wrong, why) in [("", "more than one"), ("xyz", "no version")] {
        let error = roll_back(registry, "counter", Some(wrong), "somebody", 100).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let error = roll_back(registry, "nobody", None, "somebody", 100).await.unwrap_err();
    assert!(error.to_string().contains("no plugin `nobody`"), "{error}");
    let there = roll_back(registry, "counter", Some(&v2[..8]), "somebody", 100).await.unwrap();
    assert_eq!(there.version, v2);
    running.stop().await;
}

#[tokio::test]
async fn a_file_in_the_folder_does_not_undo_a_rollback_and_a_deploy_by_hand_does() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("counter.wasm");
    let host = Process::host(&world, Some(dir.path()), &[]);
    host.until_log("running").await;
    put(&file, &std::fs::read(wasm("counter_v1")).unwrap());
    host.until_log("deployed").await;
    let v1 = active(&world).await;
    put(&file, &std::fs::read(wasm("counter_v2")).unwrap());
    until("the second version is active", async || active(&world).await != v1).await;
    run(&world.db, &["plugin", "rollback", "counter", "--by", "Ada"]).await.well();
    assert_eq!(active(&world).await, v1);
    drop(host);
    let host = Process::host(&world, Some(dir.path()), &[]);
    host.until_log("Ada went back from this version").await;
    assert_eq!(active(&world).await, v1);
    let deploy = ["plugin", "deploy", file.to_str().unwrap(), "--by", "Bob"];
    let said = run(&world.db, &deploy).await.well();
    assert!(said.out.contains(&format!("in place of {}", &v1[..12])), "{}", said.out);
    let again = run(&world.db, &deploy).await.well();
    assert!(again.out.contains("is active already"), "{}", again.out);
    let history = run(&world.db, &["plugin", "history", "counter", "--json"]).await.well().json();
    let who: Vec<_> =
        history.as_array().unwrap().iter().map(|d| d["by"].as_str().unwrap()).collect();
    assert_eq!(who[..2], ["Bob", "Ada"]);
    let versions = run(&world.db, &["plugin", "versions", "counter"]).await.well();
    assert!(
        versions.out.contains("retired") && versions.out.contains("active"),
        "{}",
        versions.out
    );
    run(&world.db, &["plugin", "versions", "nobody"]).await.failed(4, &["no plugin `nobody`"]);
}

#[tokio::test]
async fn a_refused_version_is_in_the_history_once_however_often_it_is_tried() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "counter_v1").await;
    deeds(&world.store().await, &good(1)).await;
    for _ in 0..2 {
        let file = wasm("counter_bad");
        let said = run(&world.db, &["plugin", "deploy", file.to_str().unwrap()]).await;
        assert!(
            said.code == 1 && said.err.contains("refused; what was active stays active: on trial"),
            "{}",
            said.err
        );
    }
    assert_eq!(actions(&world, "counter").await, [(Action::Deploy, true), (Action::Deploy, false)]);
    running.stop().await;
}

/// What there is of schemas and of roles of plugins, and what is known of them.
const TRACES: &str = "SELECT count(*) FROM (
    SELECT nspname FROM pg_namespace
    UNION ALL SELECT rolname FROM pg_roles
              WHERE rolname LIKE 'ef\\_' || left(encode(sha256(current_database()::bytea), 'hex'), 8) || '%'
    UNION ALL SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
              WHERE n.nspname = 'eventfabric_calls'
    UNION ALL SELECT schema_name FROM eventfabric.plugin_schemas
    UNION ALL SELECT schema_name FROM eventfabric.plugin_migrations
    UNION ALL SELECT schema_name FROM eventfabric.plugin_statements) AS traces";

async fn look(world: &World, file: &Path, more: &[&str]) -> crate::cli::Said {
    let mut args = vec!["plugin", "check", file.to_str().unwrap()];
    args.extend(more);
    run(&world.db, &args).await
}

#[tokio::test]
async fn a_check_tells_what_a_deploy_would_and_leaves_nothing() {
    let world = World::new().await;
    deeds(&world.store().await, &good(20)).await;
    let before = world.number(TRACES).await;
    let said = look(&world, &wasm("counter_v1"), &["--determinism"]).await.well();
    for word in ["20 of 20 events", "the same rows", "INSERT INTO counts"] {
        assert!(said.out.contains(word), "no `{word}` in {}", said.out);
    }
    let said = look(&world, &wasm("counter_bad"), &[]).await;
    assert!(said.code == 1 && said.err.contains("can't count to 1"), "{}", said.err);
    look(&world, &wasm("imports_fs"), &[]).await.failed(4, &["not granted"]);
    assert_eq!(world.number(TRACES).await, before);
    let registered = "SELECT count(*) FROM eventfabric.projections";
    assert_eq!(world.number(registered).await, 0);
}

#[tokio::test]
async fn rows_that_depend_on_how_events_are_batched_are_told() {
    let world = World::new().await;
    let host = Host::open(world.db.options(), quick(), None).await.unwrap();
    let events = vec![json!({"do": "batch"}); 10];
    deeds(host.store(), &events).await;
    let bytes = std::fs::read(wasm("hostile_catchup")).unwrap();
    let checked = check(host.registry(), bytes.into(), 100, true).await.unwrap();
    let differences = checked.differences.unwrap();
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].table, "seen");
    assert!(differences[0].only_in_first[0].ends_with(",10)"), "{differences:?}");
    assert!(differences[0].only_in_second[0].ends_with(",7)"), "{differences:?}");
    look(&world, &wasm("hostile_catchup"), &["--determinism"])
        .await
        .failed(1, &["depend on more than the events"]);
}

#[tokio::test]
async fn two_versions_are_compared_by_what_they_make_of_the_same_events() {
    let world = World::new().await;
    let host = Host::open(world.db.options(), quick(), None).await.unwrap();
    let v1 = deploy_guest(&host, "counter_v1").await.version;
    deeds(host.store(), &good(5)).await;
    let before = world.number(TRACES).await;
    let diff = async |file: &Path, more: &[&str]| {
        let mut args = vec!["plugin", "diff", file.to_str().unwrap()];
        args.extend(more);
        run(&world.db, &args).await
    };
    let said = diff(&wasm("counter_v2"), &[]).await.well();
    for line in
        ["- (v1,5)", "+ (v2,5)", "- Counts events, version v1", "+ Counts events, version v2"]
    {
        assert!(said.out.lines().any(|said| said == line), "no `{line}` in {}", said.out);
    }
    assert!(!said.out.contains("@@ statements"), "{}", said.out);
    let same = diff(&wasm("counter_v1"), &["--with", &v1[..9], "--json"]).await.well().json();
    assert_eq!((&same["tables"], &same["events"]), (&json!([]), &json!(5)));
    diff(&wasm("hostile_catchup"), &[]).await.failed(4, &["no plugin `hostile_catchup`"]);
    assert_eq!(world.number(TRACES).await, before);
}

#[tokio::test]
async fn a_plugin_that_is_removed_goes_on_where_it_was_unless_its_tables_went_too() {
    let world = World::new().await;
    let traces = world.number(TRACES).await;
    let running = Running::start(&world, quick()).await;
    let store = world.store().await;
    deploy_guest(&running.host, "counter_v1").await;
    deeds(&store, &good(2)).await;
    world.until_number(COUNTED, 2).await;
    run(&world.db, &["plugin", "remove", "counter"]).await.failed(2, &["--yes"]);
    run(&world.db, &["plugin", "remove", "counter", "--yes"]).await.well();
    until("the host has let go of it", async || {
        running.host.registry().snapshot().registered.is_empty()
    })
    .await;
    deeds(&store, &good(3)).await;
    assert_eq!(world.number(COUNTED).await, 2);
    deploy_guest(&running.host, "counter_v1").await;
    world.until_number(COUNTED, 5).await;
    run(&world.db, &["plugin", "remove", "counter", "--drop-tables", "--yes"]).await.well();
    until("the host has let go of it", async || {
        running.host.registry().snapshot().registered.is_empty()
    })
    .await;
    assert_eq!(world.number(TRACES).await, traces);
    for more in [&[][..], &["--drop-tables"]] {
        let args = [&["plugin", "remove", "counter", "--yes"][..], more].concat();
        run(&world.db, &args).await.failed(4, &["no plugin `counter`"]);
    }
    // Its versions are kept, and it begins anew.
    deploy_guest(&running.host, "counter_v1").await;
    world.until_number(COUNTED, 5).await;
    running.stop().await;
}

#[tokio::test]
async fn a_version_of_another_mode_is_refused_by_a_check_too() {
    let world = World::new().await;
    let host = Host::open(world.db.options(), quick(), None).await.unwrap();
    deploy_guest(&host, "hostile_catchup").await;
    world
        .execute("UPDATE eventfabric.projections SET mode = 'async', generation = generation + 1")
        .await;
    let bytes = other_version("hostile_catchup");
    let error = check(host.registry(), bytes.into(), 1, false).await.unwrap_err();
    assert!(matches!(error, DeployError::ModeChanged { .. }), "{error}");
}

/// How often versions change places in the test below. More by hand: `EVENTFABRIC_TEST_SWAPS=1000`.
fn swaps() -> usize {
    std::env::var("EVENTFABRIC_TEST_SWAPS").map_or(20, |text| text.parse().unwrap())
}

#[tokio::test]
async fn versions_that_change_places_all_the_time_handle_every_event_once() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    let registry = running.host.registry().clone();
    let versions: Vec<std::sync::Arc<[u8]>> = ["counter_v1", "counter_v2"]
        .map(|guest| std::fs::read(wasm(guest)).unwrap().into())
        .to_vec();
    deploy(&registry, versions[1].clone(), "a test", 0).await.unwrap();
    let store = world.store().await;
    let (stop, mut events) = (AtomicBool::new(false), 0);
    let flow = async {
        while !stop.load(Ordering::SeqCst) {
            deeds(&store, &good(1)).await;
            events += 1;
        }
    };
    let swap = async {
        for n in 0..swaps() {
            let deployed = deploy(&registry, versions[n % 2].clone(), "a test", 0).await.unwrap();
            assert!(!deployed.unchanged);
        }
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(flow, swap);
    world.until_number(COUNTED, events).await;
    // Both have handled some.
    assert_eq!(world.number("SELECT count(*) FROM counter.counts").await, 2);
    running.stop().await;
}

//! Versions that become active at a position of the log, and the trial of a version beside the active one.

use eventfabric::event::StreamId;
use eventfabric::plugin::{self, SettingsChange, VersionState, change};
use eventfabric_tests::wasm;
use serde_json::json;

use super::rig::{Running, World, append, deeds, deploy_bytes, deploy_guest, good, quick};
use crate::cli::run;

const COUNTED: &str = "SELECT coalesce(sum(n), 0)::bigint FROM counter.counts";

/// Has the second version come at a position, after events before it. Answers what the first one counted.
async fn handed_over(world: &World, position: i64) -> i64 {
    let file = wasm("counter_v2");
    let at = position.to_string();
    let deploy = ["plugin", "deploy", file.to_str().unwrap(), "--at", &at];
    let said = run(&world.db, &deploy).await.well();
    assert!(said.out.contains(&format!("becomes active at position {at}")), "{}", said.out);
    let versions = plugin::versions(&world.eyes, "counter").await.unwrap();
    let waiting = versions.iter().filter(|known| known.state == VersionState::Waiting).count();
    assert_eq!(waiting, 1, "{versions:?}");
    let store = world.store().await;
    for n in 0..30 {
        let tenant = ["default", "b", "c"][n % 3];
        let stream = StreamId::new("Deeds", n.to_string()).in_tenant(tenant);
        append(&store, stream, "Deed", &good(1)).await;
    }
    let all = world.number("SELECT count(*) FROM eventfabric.events").await;
    world.until_number(COUNTED, all).await;
    let before = format!("SELECT count(*) FROM eventfabric.events WHERE global_position < {at}");
    let first = world.number("SELECT n FROM counter.counts WHERE version = 'v1'").await;
    assert_eq!(first, world.number(&before).await);
    assert_eq!(
        world.number("SELECT n FROM counter.counts WHERE version = 'v2'").await,
        all - first
    );
    // As is written with the checkpoints.
    let versions = plugin::versions(&world.eyes, "counter").await.unwrap();
    let [v2, v1] = versions.as_slice() else { panic!("{versions:?}") };
    assert!(v1.handled.iter().all(|range| range.last < position), "{v1:?}");
    assert!(v2.handled.iter().any(|range| range.first == position), "{v2:?}");
    for events in v1.handled.iter().chain(&v2.handled) {
        assert!(events.first <= events.last && events.last <= all);
    }
    first
}

#[tokio::test]
async fn a_version_that_waits_for_a_position_gets_it_and_the_one_before_all_earlier_events() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "counter_v1").await;
    deeds(&world.store().await, &good(5)).await;
    world.until_number(COUNTED, 5).await;
    let file = wasm("counter_v2");
    let past = ["plugin", "deploy", file.to_str().unwrap(), "--at", "5"];
    run(&world.db, &past).await.failed(4, &["position 5 is past", "has come to 5"]);
    assert_eq!(handed_over(&world, 18).await, 17);
    let history = plugin::deployments(&world.eyes, "counter", 9).await.unwrap();
    assert_eq!(history.len(), 2, "it is noted when it is active: {history:?}");
    assert!(history[0].trial.is_some());
    running.stop().await;
}

#[tokio::test]
async fn a_version_that_waits_gets_its_position_in_every_shard() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "counter_v1").await;
    let shards = SettingsChange { shards: Some(3), ..SettingsChange::default() };
    change(running.host.store().pool(), "counter", &shards).await.unwrap();
    assert_eq!(handed_over(&world, 16).await, 15);
    running.stop().await;
}

#[tokio::test]
async fn only_a_catch_up_projection_hands_over_at_a_position() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    let file = wasm("hostile_async");
    let deploy = ["plugin", "deploy", file.to_str().unwrap(), "--at", "5"];
    run(&world.db, &deploy).await.failed(4, &["no active version"]);
    deploy_bytes(&running.host, std::fs::read(&file).unwrap()).await;
    run(&world.db, &deploy).await.failed(4, &["is async", "order of the log"]);
    running.stop().await;
}

#[tokio::test]
async fn a_version_that_refuses_more_events_than_the_active_one_is_refused_and_says_so() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    let bytes = |version: u8| std::fs::read(wasm(&format!("ledger_v{version}"))).unwrap();
    deploy_bytes(&running.host, bytes(1)).await;
    let store = world.store().await;
    let payloads: Vec<_> =
        (0..30).map(|n| if n % 3 == 0 { json!({"refused_by": 2}) } else { json!({}) }).collect();
    append(&store, StreamId::new("Deeds", "1"), "Deed", &payloads).await;
    world.until_number("SELECT count(*) FROM ledger.entries", 30).await;
    let file = wasm("ledger_v2");
    let deploy = ["plugin", "deploy", file.to_str().unwrap(), "--rebuild"];
    let why = "and the active version 0 of the same ones";
    run(&world.db, &deploy).await.failed(1, &["it refused ", why, "canary_errors"]);
    let last = plugin::deployments(&world.eyes, "ledger", 1).await.unwrap().remove(0);
    let trial = last.trial.unwrap();
    let of = |version: &str, what: &str| trial[version][what].as_u64().unwrap();
    assert!(of("new", "errors") > 0 && of("active", "errors") == 0, "{trial}");
    // Of those the active version has handled, a constraint keeps it from handling them twice.
    assert_eq!(of("active", "refused"), of("new", "handled") + of("new", "refused"), "{trial}");
    running.stop().await;
}

#[tokio::test]
async fn a_deploy_tells_how_both_versions_did() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "counter_v1").await;
    deeds(&world.store().await, &good(20)).await;
    let file = wasm("counter_v2");
    let deploy = ["plugin", "deploy", file.to_str().unwrap(), "--canary", "10", "--json"];
    let said = run(&world.db, &deploy).await.well().json();
    let trial = &said["trial"];
    assert_eq!((&said["tried"], &trial["new"]["handled"]), (&json!(10), &json!(10)));
    assert_eq!(trial["active"]["statements"], json!(1.0), "{trial}");
    assert!(trial["new"]["p99_ms"].as_f64().unwrap() > 0.0);
    running.stop().await;
}

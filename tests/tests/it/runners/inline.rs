//! Several inline projections: their order, and the time that they have in common.

use std::time::Duration;

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::plugin::Limits;
use eventfabric::projection::Mode;
use eventfabric::runner::{Host, HostConfig};
use eventfabric::store::{InlineFailure, StoreError};
use serde_json::{Value, json};

use super::rig::{Process, World, deeds, deploy_guest, good, quick};

/// A host that only appends.
async fn appender(world: &World, config: HostConfig) -> Host {
    Host::open(world.db.options(), config, Some(Mode::Inline)).await.unwrap()
}

/// The failure of an append of these events.
async fn refused(host: &Host, event_type: &str, payloads: &[Value]) -> InlineFailure {
    let events = payloads.iter().map(|payload| NewEvent::new(event_type, payload).unwrap());
    let stream = StreamId::new("Deeds", "1");
    match host.store().append(stream, ExpectedVersion::Any, events.collect()).await.unwrap_err() {
        StoreError::Inline(failure) => failure,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn inline_plugins_run_by_priority_and_then_by_name() {
    let world = World::new().await;
    let host = appender(&world, quick()).await;
    deploy_guest(&host, "hostile_inline").await;
    deploy_guest(&host, "board").await;
    // Both refuse this event, so the error names the one that runs first.
    let both = [json!({"do": "poison"})];
    let first = async || refused(&host, "FlightDeparted", &both).await.plugin;
    let set = async |priority: &str| {
        let args = ["projections", "set", "board", "--priority", priority];
        Process::start(&world, &args, &[]).succeeded().await;
    };
    assert_eq!(first().await, "board", "by name");
    set("1").await;
    assert_eq!(first().await, "hostile_inline", "by priority");
    set("-1").await;
    assert_eq!(first().await, "board", "by priority");
    set("0").await;
    assert_eq!(first().await, "board", "by name");
}

/// Appends have this time as a whole, and a plugin would have more.
fn hasty() -> HostConfig {
    HostConfig {
        append_timeout: Duration::from_millis(1500),
        limits: Limits { batch: Duration::from_secs(300), ..quick().limits },
        ..quick()
    }
}

#[tokio::test]
async fn an_inline_plugin_has_no_more_time_than_its_append() {
    let world = World::new().await;
    for group_commit in [true, false] {
        let host = appender(&world, HostConfig { group_commit, ..hasty() }).await;
        deploy_guest(&host, "hostile_inline").await;
        let failure = refused(&host, "Deed", &[json!({"do": "loop"})]).await;
        assert_eq!(failure.plugin, "hostile_inline");
        let event = failure.event.as_deref().unwrap();
        assert!(event.starts_with("Deed at version "), "{event}");
        assert!(failure.message.contains("append has 1.5s as a whole"), "{}", failure.message);
        assert!(failure.retryable, "others may have used the time up");
        // Where it is not known which one it was, it is among these.
        let failure = refused(&host, "Deed", &[json!({}), json!({"do": "loop"})]).await;
        let event = failure.event.as_deref().unwrap();
        assert!(event.starts_with("2 events from Deed at version "), "{event}");
        assert_eq!(world.number("SELECT count(*) FROM eventfabric.events").await, 0);
        host.close().await;
    }
}

#[tokio::test]
async fn an_inline_plugin_that_waits_for_a_lock_gives_up_with_its_append() {
    let world = World::new().await;
    let host = appender(&world, hasty()).await;
    deploy_guest(&host, "hostile_inline").await;
    let mut lock = world.eyes.begin().await.unwrap();
    sqlx::query("LOCK TABLE hostile_inline.seen").execute(&mut *lock).await.unwrap();
    let failure = refused(&host, "Deed", &good(1)).await;
    assert_eq!(failure.plugin, "hostile_inline");
    assert!(failure.message.contains("append has 1.5s as a whole"), "{}", failure.message);
    lock.rollback().await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM eventfabric.events").await, 0);
    host.close().await;
    let patient = appender(&world, quick()).await;
    deeds(patient.store(), &good(1)).await;
}

#[tokio::test]
async fn a_slow_plugin_in_a_group_costs_its_own_append_alone() {
    let world = World::new().await;
    let host =
        appender(&world, HostConfig { append_timeout: Duration::from_secs(8), ..hasty() }).await;
    deploy_guest(&host, "hostile_inline").await;
    // Compiled, connected, and its statements known.
    deeds(host.store(), &good(1)).await;
    // What one of them inserts is not known to be free before this transaction has ended.
    let mut other = world.eyes.begin().await.unwrap();
    sqlx::query("INSERT INTO hostile_inline.seen VALUES (-99, 'taken?')")
        .execute(&mut *other)
        .await
        .unwrap();
    let insert = "INSERT INTO seen (position, note) VALUES (-99, 'mine')";
    let appends = (0..20).map(|n| {
        let slow = json!({"do": "exec", "sql": insert});
        let payload = if n == 13 { slow } else { json!({}) };
        let (store, event) = (host.store().clone(), NewEvent::new("Deed", &payload).unwrap());
        async move {
            let stream = StreamId::new("Deeds", format!("of {n}"));
            store.append(stream, ExpectedVersion::Any, vec![event]).await
        }
    });
    let answers = futures::future::join_all(appends).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), n == 13, "{n}: {answer:?}");
    }
    other.rollback().await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM hostile_inline.seen").await, 20);
}

//! An inline projection is part of the append: both happen, or neither.

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::projection::Mode;
use eventfabric::runner::Host;
use eventfabric::store::{Append, StoreError};
use serde_json::{Value, json};

use super::rig::{Process, World, deeds, deploy_bytes, deploy_guest, good, other_version, quick};

const SEEN: &str = "SELECT count(*) FROM hostile_inline.seen";

/// A host that only appends: nothing runs beside it.
async fn appender(world: &World) -> Host {
    Host::open(world.db.options(), quick(), Some(Mode::Inline)).await.unwrap()
}

async fn try_deeds(host: &Host, payloads: &[Value]) -> Result<(), StoreError> {
    let events = payloads.iter().map(|payload| NewEvent::new("Deed", payload).unwrap()).collect();
    host.store().append(StreamId::new("Deeds", "1"), ExpectedVersion::Any, events).await?;
    Ok(())
}

async fn rows(world: &World) -> i64 {
    world
        .number(
            "SELECT (SELECT count(*) FROM eventfabric.events)
                  + (SELECT count(*) FROM eventfabric.outbox)
                  + (SELECT count(*) FROM eventfabric.stream_versions)",
        )
        .await
}

#[tokio::test]
async fn an_appended_event_is_in_the_read_model_when_the_append_returns() {
    let world = World::new().await;
    let host = appender(&world).await;
    deploy_guest(&host, "hostile_inline").await;
    let positions = deeds(host.store(), &good(3)).await;
    let seen = world.texts("SELECT position::text FROM hostile_inline.seen ORDER BY 1").await;
    assert_eq!(seen, positions.iter().map(i64::to_string).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_failure_refuses_the_append_names_plugin_and_event_and_writes_nothing() {
    let world = World::new().await;
    let host = appender(&world).await;
    let version = deploy_guest(&host, "hostile_inline").await.version;
    for (deed, retryable) in
        [("poison", false), ("panic", false), ("fatal", false), ("retry", true)]
    {
        let error = try_deeds(&host, &[json!({}), json!({"do": deed})]).await.unwrap_err();
        let StoreError::Inline(failure) = &error else { panic!("{error}") };
        assert_eq!(failure.plugin, "hostile_inline");
        assert!(version.starts_with(&failure.version));
        assert_eq!(failure.retryable, retryable, "{deed}");
        let text = error.to_string();
        assert!(text.contains("nothing was appended"), "{text}");
        if deed != "panic" {
            assert!(text.contains("Deed at version 2 of Deeds/1"), "{text}");
        }
        assert_eq!((rows(&world).await, world.number(SEEN).await), (0, 0), "{deed}");
    }
    // The connections that failed are good again, and so is the stream.
    deeds(host.store(), &good(1)).await;
    assert_eq!(world.number(SEEN).await, 1);
}

#[tokio::test]
async fn an_append_to_two_streams_is_refused_as_a_whole() {
    let world = World::new().await;
    let host = appender(&world).await;
    deploy_guest(&host, "hostile_inline").await;
    let to = |id: &str, payload: Value| Append {
        stream: StreamId::new("Deeds", id),
        expected: ExpectedVersion::NoStream,
        topic: None,
        events: vec![NewEvent::new("Deed", &payload).unwrap()],
    };
    let appends = vec![to("1", json!({})), to("2", json!({"do": "poison"}))];
    let error = host.store().append_all(appends).await.unwrap_err().to_string();
    assert!(error.contains("Deed at version 1 of Deeds/2"), "{error}");
    assert_eq!((rows(&world).await, world.number(SEEN).await), (0, 0));
}

#[tokio::test]
async fn an_append_runs_the_version_that_another_process_has_deployed() {
    let world = World::new().await;
    let (appender, deployer) = (appender(&world).await, appender(&world).await);
    // The first one ever.
    deploy_guest(&deployer, "hostile_inline").await;
    deeds(appender.store(), &good(1)).await;
    assert_eq!(world.number(SEEN).await, 1);
    // And the next one.
    let version = deploy_bytes(&deployer, other_version("hostile_inline")).await.version;
    deeds(appender.store(), &good(1)).await;
    assert_eq!(world.number(SEEN).await, 2);
    let active = appender.registry().snapshot().active["hostile_inline"].plugin.version.full();
    assert_eq!(active, version);
}

#[tokio::test]
async fn a_program_without_the_inline_plugins_cannot_append_past_them() {
    let world = World::new().await;
    deploy_guest(&appender(&world).await, "hostile_inline").await;
    let event = NewEvent::new("Deed", &json!({})).unwrap();
    let stream = StreamId::new("Deeds", "1");
    let store = world.store().await;
    let error = store.append(stream, ExpectedVersion::Any, vec![event]).await.unwrap_err();
    assert!(matches!(error, StoreError::InlineMissing), "{error}");
    assert_eq!(rows(&world).await, 0);
}

#[tokio::test]
async fn an_import_that_skips_leaves_out_the_line_that_an_inline_plugin_refuses() {
    let world = World::new().await;
    let host = appender(&world).await;
    deploy_guest(&host, "hostile_inline").await;
    let line = |n: usize, payload: &str| {
        format!(r#"{{"aggregate":"Deeds","id":"{n}","type":"Deed","payload":{payload}}}"#)
    };
    let lines = [line(1, "{}"), line(2, r#"{"do":"poison"}"#), line(3, "{}")].join("\n");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("deeds.ndjson");
    std::fs::write(&file, lines).unwrap();
    let file = file.to_str().unwrap();
    let mut import = Process::start(&world, &["import", file, "--on-error", "skip"], &[]);
    let status = import.ended().await;
    assert_eq!(status.code(), Some(4));
    assert!(import.log().contains("line 2 left out"), "{}", import.log());
    assert_eq!(world.number(SEEN).await, 2);
}

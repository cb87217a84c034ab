//! Events of older schema versions on their way to a plugin.

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::runner::HostConfig;
use eventfabric::store::EventStore;
use eventfabric::upcast::Upcasters;
use serde_json::{Value, json};

use super::rig::{Running, World, deploy_guest, quick};

/// In version 1 a deed says `what` to do, in version 2 what to `do`.
fn lifting() -> HostConfig {
    let upcasters = Upcasters::new().step("Deed", 1, |mut payload| {
        let what = payload.remove("what").ok_or("nothing to do")?;
        payload.insert("do".to_owned(), what);
        Ok(payload)
    });
    HostConfig { upcasters, ..quick() }
}

async fn deed(store: &EventStore, version: i32, payload: Value) -> i64 {
    let event = NewEvent { schema_version: version, ..NewEvent::new("Deed", &payload).unwrap() };
    let stream = StreamId::new("Deeds", "1");
    let appended = store.append(stream, ExpectedVersion::Any, vec![event]).await;
    appended.unwrap().events[0].position
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_lifted_before_they_reach_a_plugin() {
    let world = World::new().await;
    let running = Running::start(&world, lifting()).await;
    deploy_guest(&running.host, "hostile_async").await;
    let store = world.store().await;
    // Only a plugin that was given version 2 refuses these.
    let old = deed(&store, 1, json!({"what": "poison"})).await;
    let new = deed(&store, 2, json!({"do": "poison"})).await;
    let fine = deed(&store, 2, json!({})).await;
    let unknown = deed(&store, 3, json!({})).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox_dead_letters", 3).await;
    let dead = world
        .texts("SELECT global_position::text FROM eventfabric.outbox_dead_letters ORDER BY 1")
        .await;
    assert_eq!(dead, [old, new, unknown].map(|position| position.to_string()));
    world.until_number("SELECT count(*) FROM hostile_async.seen", 1).await;
    assert_eq!(world.number("SELECT position FROM hostile_async.seen").await, fine);
    let newest = format!(
        "SELECT last_error FROM eventfabric.outbox_dead_letters WHERE global_position = {unknown}"
    );
    let error = world.texts(&newest).await.remove(0);
    assert!(error.contains("schema version 3 of Deed is newer than this program"), "{error}");
    running.stop().await;
}

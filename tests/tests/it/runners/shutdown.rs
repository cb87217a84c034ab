//! Stopping: the first signal finishes the batches in hand, the second one ends at once, and either
//! is safe.

use serde_json::json;

use super::rig::{Process, World, deeds, folder, good, until};

const SEEN: &str = "SELECT count(*) FROM hostile_catchup.seen";
/// Some seconds in the server.
const SLOW: &str = "SELECT count(*) FROM generate_series(1, 10000000)";

/// A host whose plugins may take a minute.
async fn patient_host(world: &World, dir: &tempfile::TempDir) -> Process {
    let host = Process::host(world, Some(dir.path()), &[("EVENTFABRIC_LIMITS__BATCH", "1m")]);
    host.until_log("running").await;
    host
}

/// Waits until a transaction of a plugin is under way: one that holds a checkpoint for a while.
async fn until_at_work(world: &World) {
    let sql = "SELECT (count(*) > 0)::int::bigint FROM pg_stat_activity
               WHERE datname = current_database() AND usename = 'eventfabric'
                 AND now() - xact_start > '300 ms' AND state <> 'idle'";
    world.until_number(sql, 1).await;
}

#[tokio::test]
async fn a_signal_finishes_the_batch_in_hand_and_ends_well() {
    let (world, plugins) = (World::new().await, folder(&["hostile_catchup"]));
    let host = patient_host(&world, &plugins).await;
    let store = world.store().await;
    deeds(&store, &[json!({}), json!({"do": "query", "sql": SLOW}), json!({})]).await;
    until_at_work(&world).await;
    assert_eq!(world.number(SEEN).await, 0, "the batch is over too early for this test");
    host.signal("TERM");
    host.succeeded().await;
    assert_eq!(world.number(SEEN).await, 3);
    // And the next host goes on.
    deeds(&store, &good(2)).await;
    let _host = patient_host(&world, &plugins).await;
    world.until_number(SEEN, 5).await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once_and_the_batch_is_done_again() {
    let (world, plugins) = (World::new().await, folder(&["hostile_catchup"]));
    let mut host = patient_host(&world, &plugins).await;
    let store = world.store().await;
    deeds(&store, &[json!({}), json!({"do": "query", "sql": SLOW}), json!({})]).await;
    until_at_work(&world).await;
    host.signal("TERM");
    host.until_log("again to stop at once").await;
    host.signal("TERM");
    assert_eq!(host.ended().await.code(), Some(130));
    assert_eq!(world.number(SEEN).await, 0, "it has finished its batch");
    let _host = patient_host(&world, &plugins).await;
    world.until_number(SEEN, 3).await;
}

#[tokio::test]
async fn an_idle_host_ends_at_the_first_signal() {
    let (world, plugins) = (World::new().await, folder(&["hostile_catchup", "hostile_async"]));
    for signal in ["TERM", "INT"] {
        let mut host = patient_host(&world, &plugins).await;
        deeds(&world.store().await, &good(1)).await;
        until("the queue is empty", async || {
            world.number("SELECT count(*) FROM eventfabric.outbox").await == 0
        })
        .await;
        host.signal(signal);
        assert!(host.ended().await.success());
    }
}

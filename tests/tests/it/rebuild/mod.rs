//! Rebuilds: new tables are filled from the log while the old ones are served, and take their place
//! exactly. The hostile guests write a row for each event under its position as key, so that an event
//! that is handled twice is an error, and one that is left out is missing.

mod blue_green;
mod exact;
mod failing;
mod interrupted;
mod operation;
mod readers;
mod reset;
mod week;

use eventfabric::event::StreamId;
use eventfabric::runner::{Host, RebuildError, RebuildOptions, RebuildProgress, Rebuilt, rebuild};
use eventfabric::store::EventStore;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::runners::rig::{World, append};

/// Small batches, so that there are many of them.
pub fn options() -> RebuildOptions {
    RebuildOptions { shards: Some(2), batch: 10, ..RebuildOptions::default() }
}

pub async fn run(
    host: &Host,
    name: &str,
    options: &RebuildOptions,
) -> Result<Rebuilt, RebuildError> {
    let progress = watch::Sender::new(RebuildProgress::default());
    rebuild(host.registry(), name, options, &progress, &CancellationToken::new()).await
}

/// Which table that is: another one after a rebuild.
pub async fn table(world: &World, name: &str) -> i64 {
    world.number(&format!("SELECT '{name}'::regclass::oid::bigint")).await
}

/// Appends `n` deeds to each of some streams of a tenant, one after the other.
pub async fn deeds(store: &EventStore, tenant: &str, n: usize, payload: Value) {
    for _ in 0..n {
        for stream in 0..7 {
            let stream = StreamId::new("Deeds", stream.to_string()).in_tenant(tenant);
            append(store, stream, "Deed", std::slice::from_ref(&payload)).await;
        }
    }
}

/// Waits until the projection has handled so many events.
pub async fn until_seen(world: &World, name: &str, events: i64) {
    world.until_number(&format!("SELECT count(*) FROM {name}.seen"), events).await;
}

/// Every event of the log is in the table, and nothing else is.
pub async fn assert_all_seen(world: &World, name: &str) {
    let differ = format!(
        "SELECT count(*) FROM eventfabric.events e
         FULL JOIN {name}.seen s ON s.position = e.global_position
         WHERE s.position IS NULL OR e.global_position IS NULL"
    );
    world.until_number(&differ, 0).await;
    let dead = "SELECT count(*) FROM eventfabric.outbox_dead_letters";
    assert_eq!(world.number(dead).await, 0);
    let stopped = "SELECT count(*) FROM eventfabric.projections WHERE state <> 'running'";
    assert_eq!(world.number(stopped).await, 0);
}

/// Nothing of a rebuild is left.
pub async fn assert_tidy(world: &World, name: &str) {
    let rebuilds = "SELECT count(*) FROM eventfabric.projection_rebuilds";
    assert_eq!(world.number(rebuilds).await, 0);
    let schemas = format!("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '{name}\\_\\_%'");
    assert_eq!(world.number(&schemas).await, 0);
    let functions =
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'eventfabric_calls'::regnamespace
         AND proname NOT LIKE '%\\_single'
         AND oid NOT IN (SELECT function_name::regproc FROM eventfabric.plugin_statements)";
    assert_eq!(world.number(functions).await, 0);
    let singles =
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'eventfabric_calls'::regnamespace
         AND proname LIKE '%\\_single'
         AND to_regproc('eventfabric_calls.' || replace(proname, '_single', '')) IS NULL";
    assert_eq!(world.number(singles).await, 0);
}

fn ok() -> Value {
    json!({})
}

//! Catch-up projections in shards, and hosts that share the work.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use eventfabric::event::StreamId;
use eventfabric::plugin::{NewProjection, SettingsChange, change};
use eventfabric::runner::HostConfig;
use eventfabric::store::EventStore;
use serde_json::json;

use super::rig::{Process, Running, World, append, deploy_guest, folder, good, quick};

const APPLIED: &str = "SELECT count(*) FROM torture_catchup.applied";
/// Where each shard stands, and in how many the tenant is.
const POSITIONS: &str = "SELECT format('%s of %s', shard, shards)
    FROM eventfabric.projection_positions WHERE projection_name = 'torture_catchup' ORDER BY shard";

fn in_shards(shards: i32) -> HostConfig {
    let new = NewProjection { shards, ..NewProjection::default() };
    let projections = HashMap::from([("torture_catchup".to_owned(), new)]);
    HostConfig { projections, ..quick() }
}

/// Appends `n` events to each of 20 streams, one after the other.
async fn rounds(store: &EventStore, n: usize) {
    for _ in 0..n {
        for stream in 0..20 {
            append(store, StreamId::new("Torture", stream.to_string()), "Deed", &good(1)).await;
        }
    }
}

/// Every event once, each stream in order.
async fn exactly(world: &World, events: i64) {
    world.until_number(APPLIED, events).await;
    let distinct = "SELECT count(DISTINCT position) FROM torture_catchup.applied";
    assert_eq!(world.number(distinct).await, events);
    assert_eq!(world.number("SELECT sum(leaps)::bigint FROM torture_catchup.streams").await, 0);
}

#[tokio::test]
async fn shards_keep_the_order_of_each_stream_and_handle_each_event_once() {
    let world = World::new().await;
    let running = Running::start(&world, in_shards(4)).await;
    let store = running.host.store().clone();
    rounds(&store, 3).await;
    deploy_guest(&running.host, "torture_catchup").await;
    rounds(&store, 7).await;
    exactly(&world, 200).await;
    assert_eq!(world.texts(POSITIONS).await, ["0 of 4", "1 of 4", "2 of 4", "3 of 4"]);
    let parts =
        "SELECT count(DISTINCT eventfabric.shard_of(aggregate_id, 4)) FROM eventfabric.events";
    assert_eq!(world.number(parts).await, 4, "each shard has some of the streams");
    running.stop().await;
}

#[tokio::test]
async fn the_number_of_shards_changes_without_loss_or_repetition() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "torture_catchup").await;
    let store = running.host.store().clone();
    let mut events = 0;
    for shards in [3, 2, 5, 1] {
        let change_to = SettingsChange { shards: Some(shards), ..SettingsChange::default() };
        let ((), changed) =
            tokio::join!(rounds(&store, 5), change(&world.eyes, "torture_catchup", &change_to));
        changed.unwrap();
        events += 100;
        exactly(&world, events).await;
        let wanted: Vec<String> = (0..shards).map(|n| format!("{n} of {shards}")).collect();
        super::until("the tenant is parted anew", async || world.texts(POSITIONS).await == wanted)
            .await;
    }
    running.stop().await;
}

#[tokio::test]
async fn two_hosts_share_the_shards_and_one_takes_over_when_the_other_is_killed() {
    one_of_them_is_killed(2, 16).await;
}

#[tokio::test]
async fn four_hosts_share_the_shards_and_three_take_over_when_one_is_killed() {
    one_of_them_is_killed(4, 32).await;
}

/// How soon what a killed host did is done by the others.
const MOVES_WITHIN: Duration = Duration::from_secs(5);

/// Several hosts share the shards, one is killed, and its share moves to the others. There are so many
/// shards that by chance (the hosts' ids are random) each has some, but for one run in thousands.
async fn one_of_them_is_killed(hosts: usize, shards: i32) {
    let world = World::new().await;
    let dir = folder(&["torture_catchup"]);
    let wanted = shards.to_string();
    let settings = [("EVENTFABRIC_PROJECTION__TORTURE_CATCHUP__SHARDS", wanted.as_str())];
    let mut processes = vec![Process::host(&world, Some(dir.path()), &settings)];
    processes[0].until_log("running").await;
    processes.extend((1..hosts).map(|_| Process::host(&world, None, &settings)));
    world.until_number("SELECT count(*) FROM eventfabric.hosts", hosts as i64).await;
    let store = world.store().await;
    let streams = one_of_each_shard(&world, shards).await;
    let owners = "SELECT count(DISTINCT owner) FROM eventfabric.projection_shards";
    let mut events = 0;
    super::until("every host has its share", async || {
        once_each(&store, &streams).await;
        events += streams.len() as i64;
        exactly(&world, events).await;
        world.number(owners).await == hosts as i64
    })
    .await;

    let mut killed = processes.pop().unwrap();
    let owned = format!("FROM eventfabric.projection_shards WHERE owner LIKE '%:{}'", killed.id());
    killed.signal("KILL");
    let since = Instant::now();
    killed.ended().await;
    let mut share: BTreeSet<i32> = BTreeSet::new();
    super::until("its share has moved", async || {
        let left = world.texts(&format!("SELECT shard::text {owned}")).await;
        let left: Vec<i32> = left.iter().map(|shard| shard.parse().unwrap()).collect();
        // Only what was written after its end shows who does its work now.
        let orphans: Vec<String> =
            left.iter().map(|shard| streams[*shard as usize].clone()).collect();
        once_each(&store, &orphans).await;
        events += orphans.len() as i64;
        exactly(&world, events).await;
        share.extend(&left);
        left.is_empty()
    })
    .await;
    let took = since.elapsed();
    assert!(!share.is_empty() && share.len() < streams.len(), "{share:?} of {shards}");
    let share: Vec<String> = share.iter().map(ToString::to_string).collect();
    let heirs = world
        .number(&format!(
            "SELECT count(DISTINCT owner) FROM eventfabric.projection_shards WHERE shard IN ({})",
            share.join(", ")
        ))
        .await;
    println!(
        "{} of {shards} shards moved to {heirs} of {} hosts in {took:?}",
        share.len(),
        hosts - 1
    );
    assert!(took < MOVES_WITHIN, "its share moved only after {took:?}");
    assert!(processes.iter_mut().all(Process::is_running));
}

/// The names of streams, one a shard, in the order of the shards.
async fn one_of_each_shard(world: &World, shards: i32) -> Vec<String> {
    let streams = world
        .texts(&format!(
            "SELECT DISTINCT ON (eventfabric.shard_of(n::text, {shards})) n::text
             FROM generate_series(1, 2000) n
             ORDER BY eventfabric.shard_of(n::text, {shards}), n"
        ))
        .await;
    assert_eq!(streams.len(), shards as usize);
    streams
}

/// Appends an event to each of these streams.
async fn once_each(store: &EventStore, streams: &[String]) {
    for stream in streams {
        append(store, StreamId::new("Torture", stream), "Deed", &good(1)).await;
    }
}

#[tokio::test]
async fn a_host_that_is_paused_in_a_batch_loses_it_to_another_and_repeats_nothing() {
    let world = World::new().await;
    let dir = folder(&["hostile_catchup"]);
    // The server ends a session that does nothing for the time of a batch and five seconds.
    let settings = [("EVENTFABRIC_LIMITS__BATCH", "3s")];
    let one = Process::host(&world, Some(dir.path()), &settings);
    one.until_log("running").await;
    let store = world.store().await;
    let stream = StreamId::new("Deeds", "1");
    append(&store, stream.clone(), "Deed", &good(5)).await;
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 5).await;
    // In the middle of a batch, with the checkpoint locked, the host stands still.
    append(&store, stream.clone(), "Deed", &[json!({"do": "loop"})]).await;
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND application_name = 'eventfabric' AND state = 'idle in transaction'";
    world.until_number(busy, 1).await;
    one.signal("STOP");
    let position = "SELECT max(global_position) FROM eventfabric.events";
    let bad = world.number(position).await;
    world
        .execute(&format!(
            "UPDATE eventfabric.events SET dismissed_at = now() WHERE global_position = {bad}"
        ))
        .await;
    append(&store, stream.clone(), "Deed", &good(5)).await;
    let mut two = Process::host(&world, None, &settings);
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 10).await;
    one.signal("CONT");
    append(&store, stream, "Deed", &good(5)).await;
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 15).await;
    let distinct = "SELECT count(DISTINCT position) FROM hostile_catchup.seen";
    assert_eq!(world.number(distinct).await, 15);
    two.signal("TERM");
    two.ended().await;
}

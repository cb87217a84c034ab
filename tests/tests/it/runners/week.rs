//! A week of flights through an inline, a catch-up and an async projection: the read models must be
//! what an independent program made of the same events, whatever happens to the hosts meanwhile.

use std::path::PathBuf;

use futures::TryStreamExt as _;
use sqlx::Connection as _;
use sqlx::PgConnection;

use super::rig::{Process, World, folder};

pub const PLUGINS: [&str; 3] = ["aircraft", "board", "carriers"];
pub const EVENTS: i64 = 12_163;

pub fn week_file(file: &str) -> PathBuf {
    eventfabric_tests::workspace().join("tests/data").join(format!("flights-2013-01-week1.{file}"))
}

/// Imports the week in a process of its own.
pub fn import(world: &World) -> Process {
    import_in_batches_of(world, "500")
}

fn import_in_batches_of(world: &World, events: &str) -> Process {
    let file = week_file("ndjson.gz");
    Process::start(world, &["import", "--batch", events, file.to_str().unwrap()], &[])
}

/// Waits until everything is imported and handled, and compares all columns of the three tables.
pub async fn assert_read_models(world: &World) {
    world.until_number("SELECT count(*) FROM eventfabric.events", EVENTS).await;
    let checkpoint = "SELECT min(last_global_position) FROM eventfabric.projection_checkpoints";
    let end = "SELECT max(global_position) FROM eventfabric.events";
    world.until_number(&format!("SELECT (({checkpoint}) = ({end}))::int::bigint"), 1).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox", 0).await;
    world.until_number("SELECT count(*) FROM eventfabric.projection_retries", 0).await;
    for (table, columns) in [
        ("carriers", "carrier, departed, arrived, diverted, cancelled, arr_delay_minutes"),
        ("aircraft", "aircraft, nullif(last_airport, ''), legs, ferried, air_minutes"),
        (
            "board",
            r#"to_char(scheduled AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), carrier,
               flight, origin, dest, aircraft, status, dep_delay, arr_delay"#,
        ),
    ] {
        let wanted = std::fs::read_to_string(week_file(&format!("{table}.csv"))).unwrap();
        assert_table(world, table, columns, wanted.lines().skip(1).map(str::to_owned).collect())
            .await;
    }
    let dead = "SELECT count(*) FROM eventfabric.outbox_dead_letters";
    assert_eq!(world.number(dead).await, 0);
    let stopped = "SELECT count(*) FROM eventfabric.projections WHERE state <> 'running'";
    assert_eq!(world.number(stopped).await, 0);
}

/// Compares the columns of a plugin's table, as CSV and in any order.
pub async fn assert_table(world: &World, table: &str, columns: &str, mut wanted: Vec<String>) {
    wanted.sort_unstable();
    let sql = format!("COPY (SELECT {columns} FROM {table}.{table}) TO STDOUT (FORMAT csv)");
    let mut conn = PgConnection::connect_with(&world.db.superuser()).await.unwrap();
    let chunks: Vec<_> = conn.copy_out_raw(&sql).await.unwrap().try_collect().await.unwrap();
    let got = String::from_utf8(chunks.concat()).unwrap();
    let mut got: Vec<String> = got.lines().map(str::to_owned).collect();
    got.sort_unstable();
    let first = wanted.iter().zip(&got).find(|(wanted, got)| wanted != got);
    assert!(wanted == got, "{table}: {} rows for {}, {first:?}", got.len(), wanted.len());
}

/// Waits until the import has come this far.
pub async fn until_imported(world: &World, events: i64) {
    let sql = format!("SELECT (count(*) >= {events})::int::bigint FROM eventfabric.events");
    world.until_number(&sql, 1).await;
}

/// Waits until all three plugins are active, so that the inline one sees every event.
pub async fn until_deployed(world: &World) {
    world.until_number("SELECT count(*) FROM eventfabric.projections", 3).await;
}

#[tokio::test]
async fn the_read_models_of_a_week_are_right() {
    let (world, plugins) = (World::new().await, folder(&PLUGINS));
    let mut host = Process::host(&world, Some(plugins.path()), &[]);
    until_deployed(&world).await;
    import(&world).succeeded().await;
    assert_read_models(&world).await;
    assert!(host.is_running());
}

#[tokio::test]
async fn the_read_models_are_right_when_the_host_is_killed_three_times() {
    let (world, plugins) = (World::new().await, folder(&PLUGINS));
    let mut host = Process::host(&world, Some(plugins.path()), &[]);
    until_deployed(&world).await;
    // Slowly, so that it goes on while the host comes and goes.
    let mut import = import_in_batches_of(&world, "10");
    for n in 1..=3 {
        until_imported(&world, n * EVENTS / 5).await;
        assert!(import.is_running(), "the import was over before the host was killed");
        host.signal("KILL");
        host.ended().await;
        host = Process::host(&world, Some(plugins.path()), &[]);
        // It works again before it is killed again.
        host.until_log("running").await;
    }
    import.succeeded().await;
    assert_read_models(&world).await;
}

#[tokio::test]
async fn two_hosts_share_a_week_and_its_read_models_are_right() {
    let (world, plugins) = (World::new().await, folder(&PLUGINS));
    let two_workers = [("EVENTFABRIC_RUNNER__ASYNC__WORKERS", "2")];
    let mut one = Process::host(&world, Some(plugins.path()), &two_workers);
    let mut two = Process::host(&world, Some(plugins.path()), &two_workers);
    until_deployed(&world).await;
    import(&world).succeeded().await;
    assert_read_models(&world).await;
    assert!(one.is_running() && two.is_running());
}

#[tokio::test]
async fn a_log_that_was_there_first_is_caught_up_with() {
    let (world, plugins) = (World::new().await, folder(&["aircraft", "carriers"]));
    import(&world).succeeded().await;
    let _host = Process::host(&world, Some(plugins.path()), &[]);
    world.until_number("SELECT sum(legs)::bigint FROM aircraft.aircraft", 6064).await;
    world.until_number("SELECT sum(departed)::bigint FROM carriers.carriers", 6064).await;
}

//! The database goes away in the middle of the work, in several ways: the hosts heal by themselves,
//! and nothing is lost or done twice.

use std::time::Duration;

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::{Append, EventStore};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::rig::{Process, Running, World, deeds, deploy_guest, folder, good, quick, until};
use super::week::{EVENTS, PLUGINS, assert_read_models, import, until_deployed, until_imported};

/// Runs a statement about the test's database from outside of it.
async fn from_outside(world: &World, sql: &str) {
    let options = world.db.superuser().database("postgres");
    let mut conn = PgConnection::connect_with(&options).await.unwrap();
    let sql = sql.replace("DB", &world.db.name);
    sqlx::query(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

/// Ends every connection of the host's role to this database, and waits until they are gone.
async fn terminate(world: &World) {
    let sql = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
               WHERE datname = 'DB' AND usename = 'eventfabric'";
    from_outside(world, sql).await;
}

/// The database ends all connections of the host and refuses new ones, or takes them again.
pub async fn refuse_connections(world: &World, refuse: bool) {
    from_outside(world, &format!("ALTER DATABASE DB ALLOW_CONNECTIONS {}", !refuse)).await;
    if refuse {
        terminate(world).await;
    }
}

#[tokio::test]
async fn connections_that_are_terminated_again_and_again_cost_nothing() {
    let (world, plugins) = (World::new().await, folder(&PLUGINS));
    let mut host = Process::host(&world, Some(plugins.path()), &[]);
    until_deployed(&world).await;
    // A host that is still starting ends with an error, as any command does.
    host.until_log("running").await;
    let import = import(&world);
    for part in 1..10 {
        until_imported(&world, EVENTS * part / 10).await;
        terminate(&world).await;
    }
    import.succeeded().await;
    assert_read_models(&world).await;
    assert!(host.is_running());
}

#[tokio::test]
async fn a_database_that_refuses_connections_for_seconds_is_waited_for() {
    let (world, plugins) = (World::new().await, folder(&PLUGINS));
    let mut host = Process::host(&world, Some(plugins.path()), &[]);
    until_deployed(&world).await;
    // A host that is still starting ends with an error, as any command does.
    host.until_log("running").await;
    let import = import(&world);
    until_imported(&world, EVENTS / 4).await;
    refuse_connections(&world, true).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    refuse_connections(&world, false).await;
    import.succeeded().await;
    assert_read_models(&world).await;
    assert!(host.is_running());
}

#[tokio::test]
async fn a_database_that_is_read_only_for_a_time_stops_no_projection() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    for guest in ["hostile_async", "hostile_catchup", "hostile_inline"] {
        deploy_guest(&running.host, guest).await;
    }
    deeds(running.host.store(), &good(3)).await;
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 3).await;
    world.until_number("SELECT count(*) FROM hostile_async.seen", 3).await;
    from_outside(&world, "ALTER DATABASE DB SET default_transaction_read_only = on").await;
    terminate(&world).await;
    // Events of a writer that is allowed to: there is something to do that can't be done.
    let writer = world.db.superuser().options([("default_transaction_read_only", "off")]);
    let mut writer = PgConnection::connect_with(&writer).await.unwrap();
    let append = "WITH e AS (
            INSERT INTO eventfabric.events (event_id, aggregate_name, aggregate_id,
                   aggregate_version, type, version, payload)
            SELECT gen_random_uuid(), 'Late', '1', n, 'Deed', 1,
                   '{\"type\": \"Deed\", \"version\": 1}'
            FROM generate_series(1, 5) n RETURNING global_position)
        INSERT INTO eventfabric.outbox (global_position) SELECT global_position FROM e";
    sqlx::query(append).execute(&mut writer).await.unwrap();
    until("the host has met the refusal", async || {
        let sql = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()";
        world.number(sql).await > 3
    })
    .await;
    from_outside(&world, "ALTER DATABASE DB RESET default_transaction_read_only").await;
    // Connections that were opened meanwhile stay read-only; the host must not keep them.
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 8).await;
    world.until_number("SELECT count(*) FROM hostile_async.seen", 8).await;
    deeds(running.host.store(), &good(1)).await;
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 9).await;
    let failed = "SELECT count(*) FROM eventfabric.projections WHERE state = 'failed'";
    assert_eq!(world.number(failed).await, 0);
    assert_eq!(world.number("SELECT count(*) FROM eventfabric.outbox_dead_letters").await, 0);
    running.stop().await;
}

#[tokio::test]
async fn what_was_refused_while_the_database_was_read_only_is_made_as_soon_as_it_is_not() {
    let world = World::new().await;
    let store = EventStore::new(world.db.pool(8).await);
    // In a transaction of several statements, as it goes to two streams.
    let append = async || {
        let to = |id: &str| Append {
            stream: StreamId::new("Deeds", id),
            expected: ExpectedVersion::Any,
            topic: None,
            events: vec![NewEvent::new("Deed", &json!({})).unwrap()],
        };
        store.append_all(vec![to("1"), to("2")]).await
    };
    append().await.unwrap();
    from_outside(&world, "ALTER DATABASE DB SET default_transaction_read_only = on").await;
    terminate(&world).await;
    for _ in 0..3 {
        append().await.unwrap_err();
    }
    from_outside(&world, "ALTER DATABASE DB RESET default_transaction_read_only").await;
    for _ in 0..3 {
        append().await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_was_opened_while_the_database_was_read_only_is_not_used_after_it() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    // A host that is still starting ends with an error, as any command does.
    until("the host runs", async || running.host.is_running()).await;
    let store = running.host.store();
    from_outside(&world, "ALTER DATABASE DB SET default_transaction_read_only = on").await;
    terminate(&world).await;
    let mut opened = Vec::new();
    for _ in 0..4 {
        opened.push(store.pool().acquire().await.unwrap());
    }
    from_outside(&world, "ALTER DATABASE DB RESET default_transaction_read_only").await;
    drop(opened);
    for _ in 0..8 {
        deeds(store, &good(1)).await;
    }
    running.stop().await;
}

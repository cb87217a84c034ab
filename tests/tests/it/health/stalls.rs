//! Nothing moves although there is work: the host says so, and names who is in the way.

use std::time::Duration;

use eventfabric::plugin;
use eventfabric::runner::{HostConfig, RunnerConfig, Stall};
use eventfabric::store::blockers;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::super::http::{Api, ask, open};
use super::super::runners::rig::{
    Process, Running, World, deeds, deploy_guest, folder, good, quick, until,
};

/// What does nothing for this long stands still.
const STALL: Duration = Duration::from_millis(400);

fn hasty() -> HostConfig {
    HostConfig { runner: RunnerConfig { stall: STALL, ..quick().runner }, ..quick() }
}

/// Waits until the host says that this stands still.
async fn still(running: &Running, what: &str) -> Stall {
    let mut stalls = running.host.stalls();
    let found = stalls.wait_for(|stalls| stalls.iter().any(|stall| stall.what == what)).await;
    let found = found.unwrap();
    found.iter().find(|stall| stall.what == what).unwrap().clone()
}

/// Waits until nothing does.
async fn moving(running: &Running) {
    running.host.stalls().wait_for(Vec::is_empty).await.unwrap();
}

/// A transaction that has taken a position and not shown it. Answers its server process, too.
async fn hole(world: &World) -> (PgConnection, i32) {
    let mut writer = PgConnection::connect_with(&world.db.superuser()).await.unwrap();
    let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut writer).await.unwrap();
    for sql in [
        "SET application_name = 'the culprit'",
        "BEGIN",
        "INSERT INTO eventfabric.events
             (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
         VALUES (gen_random_uuid(), 'Slow', '1', 1, 'Slow', 1, '{\"type\": \"Slow\", \"version\": 1}')",
    ] {
        sqlx::query(sql).execute(&mut writer).await.unwrap();
    }
    (writer, pid)
}

#[tokio::test]
async fn an_open_transaction_that_holds_the_log_is_named() {
    let world = World::new().await;
    let running = Running::start(&world, hasty()).await;
    let (mut writer, pid) = hole(&world).await;
    deeds(running.host.store(), &good(1)).await;
    let stall = still(&running, "the log").await;
    let text = stall.to_string();
    for part in [
        &format!("server process {pid} (the culprit)"),
        "idle in transaction",
        "may still add an event",
        "INSERT INTO eventfabric.events",
    ] {
        assert!(text.contains(part), "no {part} in: {text}");
    }
    sqlx::query("ROLLBACK").execute(&mut writer).await.unwrap();
    moving(&running).await;
    running.stop().await;
}

#[tokio::test]
async fn a_prepared_transaction_that_holds_the_log_is_named() {
    let world = World::new().await;
    let running = Running::start(&world, hasty()).await;
    let (mut writer, _) = hole(&world).await;
    let gid = format!("stall {}", world.db.name);
    let run = async |conn: &mut PgConnection, how: &str| {
        sqlx::query(AssertSqlSafe(format!("{how} '{gid}'"))).execute(conn).await.unwrap();
    };
    run(&mut writer, "PREPARE TRANSACTION").await;
    writer.close().await.unwrap();
    deeds(running.host.store(), &good(1)).await;
    let stall = still(&running, "the log").await;
    assert!(stall.reason.contains(&format!("ROLLBACK PREPARED '{gid}'")), "{}", stall.reason);
    let mut other = PgConnection::connect_with(&world.db.superuser()).await.unwrap();
    run(&mut other, "ROLLBACK PREPARED").await;
    moving(&running).await;
    running.stop().await;
}

#[tokio::test]
async fn a_lock_that_a_projection_waits_for_is_named() {
    let world = World::new().await;
    let running = Running::start(&world, hasty()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deploy_guest(&running.host, "hostile_async").await;
    let mut lock = world.eyes.begin().await.unwrap();
    let pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *lock).await.unwrap();
    sqlx::query("LOCK TABLE hostile_catchup.seen, hostile_async.seen")
        .execute(&mut *lock)
        .await
        .unwrap();
    deeds(running.host.store(), &good(2)).await;
    for what in ["the projection hostile_catchup", "the outbox"] {
        // Between two attempts nobody waits for the lock.
        until("the lock is named", async || {
            still(&running, what).await.reason.contains(&format!("server process {pid}"))
        })
        .await;
    }
    lock.rollback().await.unwrap();
    moving(&running).await;
    running.stop().await;
}

#[tokio::test]
async fn workers_of_another_program_that_hold_the_outbox_are_named() {
    let world = World::new().await;
    let running = Running::start(&world, hasty()).await;
    deploy_guest(&running.host, "hostile_async").await;
    world
        .execute(
            "WITH event AS (
                 INSERT INTO eventfabric.events
                     (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
                 VALUES (gen_random_uuid(), 'Deeds', '1', 1, 'Deed', 1, '{\"type\": \"Deed\", \"version\": 1}')
                 RETURNING global_position)
             INSERT INTO eventfabric.outbox (global_position, locked_at, locked_by)
             SELECT global_position, now(), 'worker-7' FROM event",
        )
        .await;
    let stall = still(&running, "the outbox").await;
    assert!(stall.reason.contains("worker-7"), "{}", stall.reason);
    world.execute("DELETE FROM eventfabric.outbox").await;
    moving(&running).await;
    running.stop().await;
}

#[tokio::test]
async fn a_paused_projection_is_told_with_its_reason_and_is_no_fault() {
    let db = eventfabric_tests::database().await;
    let api = Api::with(db, hasty(), open()).await;
    deploy_guest(&api.host, "hostile_catchup").await;
    let pool = api.host.store().pool().clone();
    plugin::pause(&pool, "hostile_catchup", Some("ada"), Some("moving house")).await.unwrap();
    deeds(api.host.store(), &good(1)).await;
    let mut stalls = api.host.stalls();
    let stalls = stalls.wait_for(|stalls| !stalls.is_empty()).await.unwrap().clone();
    let text = stalls[0].to_string();
    assert!(text.starts_with("the projection hostile_catchup has stood still for"), "{text}");
    assert!(text.contains(" by ada (moving house)") && stalls[0].paused, "{text}");
    until("it is ready", async || ask(api.get("/readyz")).await.status == 200).await;
    api.stop().await;
}

#[tokio::test]
async fn readiness_names_who_is_in_the_way() {
    let api = Api::with(eventfabric_tests::database().await, hasty(), open()).await;
    deploy_guest(&api.host, "hostile_catchup").await;
    let mut other = PgConnection::connect_with(&api.db.superuser()).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE hostile_catchup.seen").execute(&mut *lock).await.unwrap();
    deeds(api.host.store(), &good(1)).await;
    until("it says who", async || {
        let answer = ask(api.get("/readyz")).await;
        let text = answer.body.to_string();
        answer.status == 503
            && text.contains("the projection hostile_catchup has stood still for")
            && text.contains("LOCK TABLE hostile_catchup.seen")
    })
    .await;
    lock.rollback().await.unwrap();
    until("it is ready", async || ask(api.get("/readyz")).await.status == 200).await;
    api.stop().await;
}

#[tokio::test]
async fn a_stall_is_in_the_log_with_its_end() {
    let (world, plugins) = (World::new().await, folder(&["hostile_catchup"]));
    let host =
        Process::host(&world, Some(plugins.path()), &[("EVENTFABRIC_RUNNER__STALL", "400ms")]);
    host.until_log("running").await;
    let (mut writer, pid) = hole(&world).await;
    deeds(&world.store().await, &good(1)).await;
    host.until_log("the log has stood still for").await;
    host.until_log(&format!("server process {pid} (the culprit)")).await;
    sqlx::query("COMMIT").execute(&mut writer).await.unwrap();
    host.until_log("the log moves again, after").await;
    host.signal("TERM");
    host.succeeded().await;
}

#[tokio::test]
async fn who_blocks_whom_is_told_without_more_rights_than_a_host_has() {
    let world = World::new().await;
    let pool = world.db.pool(2).await;
    let mut first = world.db.connect().await;
    let mut holder = first.begin().await.unwrap();
    let lock = "LOCK TABLE eventfabric.projections IN ACCESS EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *holder).await.unwrap();
    let (mut second, now) = (world.db.connect().await, Duration::from_secs(3600));
    let waiter: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut second).await.unwrap();
    let waiting = tokio::spawn(async move {
        sqlx::query("SELECT FROM eventfabric.projections").execute(&mut second).await
    });
    until("one waits for the other", async || {
        let found = blockers(&pool, now).await.unwrap();
        found
            .iter()
            .any(|blocker| blocker.blocks == [waiter] && blocker.query.as_deref() == Some(lock))
    })
    .await;
    holder.rollback().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(blockers(&pool, now).await.unwrap(), []);
}

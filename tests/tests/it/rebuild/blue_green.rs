//! A version that comes with new tables takes the place of the active one with them, at once; and the way
//! back is to hand the old tables what has come since.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventfabric::event::StreamId;
use eventfabric::plugin::{self, Action, Origin};
use eventfabric::runner::{
    Canary, DeployError, Deployed, Host, RebuildError, RebuildOptions, RebuildProgress, Tables,
    deploy_rebuilt, retire, roll_back_rebuilt,
};
use eventfabric::store::{LetterFilter, requeue};
use eventfabric_tests::wasm;
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::runners::rig::{
    Process, Running, World, append, curable, deploy_bytes, deploy_guest, other_version, quick,
};
use super::{assert_all_seen, deeds, ok, options, until_seen};
use crate::cli::run as command;

/// The new version is not the one of the folder, nor the host's.
async fn blue_green(
    host: &Host,
    bytes: Vec<u8>,
    options: &RebuildOptions,
) -> Result<Deployed, DeployError> {
    let progress = watch::Sender::new(RebuildProgress::default());
    deploy_watched(host, bytes, options, &progress, &CancellationToken::new()).await
}

async fn deploy_watched(
    host: &Host,
    bytes: Vec<u8>,
    options: &RebuildOptions,
    progress: &watch::Sender<RebuildProgress>,
    stop: &CancellationToken,
) -> Result<Deployed, DeployError> {
    let origin = Origin { action: Action::Deploy, by: "a test", source: "a file", reason: None };
    let tables = Tables { options, progress, stop };
    deploy_rebuilt(host.registry(), bytes.into(), &origin, &Canary::from(100), &tables).await
}

async fn back(host: &Host, name: &str, rebuild: bool) -> Result<Deployed, DeployError> {
    let progress = watch::Sender::new(RebuildProgress::default());
    let options = RebuildOptions { keep_old: true, ..options() };
    let tables = Tables { options: &options, progress: &progress, stop: &CancellationToken::new() };
    let canary = Canary::from(100);
    roll_back_rebuilt(host.registry(), name, None, "a test", &canary, rebuild, &tables).await
}

fn keeping() -> RebuildOptions {
    RebuildOptions { keep_old: true, ..options() }
}

fn ledger(version: u8) -> Vec<u8> {
    std::fs::read(wasm(&format!("ledger_v{version}"))).unwrap()
}

/// Every event is in the tables once, and all rows are of this version.
async fn assert_entered(world: &World, version: i64) {
    let differ = "SELECT count(*) FROM eventfabric.events e
                  FULL JOIN ledger.entries s ON s.position = e.global_position
                  WHERE s.position IS NULL OR e.global_position IS NULL";
    world.until_number(differ, 0).await;
    let others = format!("SELECT count(*) FROM ledger.entries WHERE made_by <> {version}");
    assert_eq!(world.number(&others).await, 0);
    let counted = "SELECT n::bigint - (SELECT count(*) FROM ledger.entries) FROM ledger.totals";
    assert_eq!(world.number(counted).await, 0);
}

/// Reads both tables again and again. Answers how often, and the versions that it saw.
fn read(pool: PgPool, stop: Arc<AtomicBool>) -> JoinHandle<(u64, Vec<i32>)> {
    tokio::spawn(async move {
        let (mut times, mut seen) = (0, Vec::new());
        while !stop.load(Ordering::Relaxed) {
            let (missing, others, version): (i64, i64, i32) = sqlx::query_as(
                "SELECT t.n::bigint - count(e.position),
                        count(*) FILTER (WHERE e.made_by <> t.made_by), t.made_by
                 FROM ledger.totals t LEFT JOIN ledger.entries e ON true
                 GROUP BY t.n, t.made_by",
            )
            .fetch_one(&pool)
            .await
            .unwrap();
            assert_eq!((missing, others), (0, 0), "a mix of tables");
            times += 1;
            if seen.last() != Some(&version) {
                seen.push(version);
            }
        }
        (times, seen)
    })
}

#[tokio::test]
async fn readers_see_one_version_or_the_other_while_events_come() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_bytes(&running.host, ledger(1)).await;
    deeds(running.host.store(), "default", 8, ok()).await;
    world.until_number("SELECT count(*) FROM ledger.entries", 56).await;
    let stop = Arc::new(AtomicBool::new(false));
    let readers = [read(world.eyes.clone(), stop.clone()), read(world.eyes.clone(), stop.clone())];
    let (host, told) = (running.host.clone(), stop.clone());
    let writer = tokio::spawn(async move {
        let mut events = 56;
        // Not faster than a debug build can handle.
        let mut pace = tokio::time::interval(Duration::from_millis(200));
        while !told.load(Ordering::Relaxed) {
            pace.tick().await;
            deeds(host.store(), "default", 1, ok()).await;
            events += 7;
        }
        events
    });
    let forth = blue_green(&running.host, ledger(2), &keeping()).await.unwrap();
    assert!(forth.rebuilt.as_ref().unwrap().events >= 56 && forth.tried >= 56, "{forth:?}");
    let back = back(&running.host, "ledger", false).await.unwrap();
    // It was handed what has come since and not the rest.
    assert!(back.rebuilt.as_ref().unwrap().resumed, "{back:?}");
    stop.store(true, Ordering::Relaxed);
    let events = writer.await.unwrap();
    for reader in readers {
        let (times, seen) = reader.await.unwrap();
        assert!(times > 4);
        assert_eq!(seen, [1, 2, 1]);
    }
    world.until_number("SELECT count(*) FROM ledger.entries", events).await;
    assert_entered(&world, 1).await;
    running.stop().await;
}

/// The tables of the version before are handed what has come since, in every mode, with events of two
/// tenants on their way.
async fn there_and_back(name: &str) {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    let v1 = deploy_guest(&running.host, name).await.version;
    let (host, store) = (&running.host, running.host.store());
    deeds(store, "default", 3, ok()).await;
    deeds(store, "b", 1, ok()).await;
    let there = blue_green(host, other_version(name), &keeping()).await.unwrap();
    assert_eq!(there.before.as_ref(), Some(&v1));
    deeds(store, "default", 2, ok()).await;
    deeds(store, "c", 1, ok()).await;
    assert_all_seen(&world, name).await;
    let handled = back(host, name, false).await.unwrap();
    assert_eq!(handled.version, v1);
    let handed = handled.rebuilt.unwrap().events;
    assert!((21..49).contains(&handed), "not the whole log, and not nothing: {handed}");
    deeds(store, "default", 1, ok()).await;
    assert_all_seen(&world, name).await;
    // And forth again, to the tables that are kept now.
    let tables = Tables {
        options: &keeping(),
        progress: &watch::Sender::new(RebuildProgress::default()),
        stop: &CancellationToken::new(),
    };
    let version = &there.version[..12];
    let (registry, canary) = (host.registry(), Canary::from(100));
    let again =
        roll_back_rebuilt(registry, name, Some(version), "a test", &canary, false, &tables).await;
    let again = again.unwrap().rebuilt.unwrap();
    assert!(again.resumed && again.events < 49, "{again:?}");
    deeds(store, "b", 1, ok()).await;
    assert_all_seen(&world, name).await;
    running.stop().await;
}

#[tokio::test]
async fn a_catch_up_version_goes_there_and_back() {
    there_and_back("hostile_catchup").await;
}

#[tokio::test]
async fn an_async_version_goes_there_and_back() {
    there_and_back("hostile_async").await;
}

#[tokio::test]
async fn an_inline_version_goes_there_and_back() {
    there_and_back("hostile_inline").await;
}

#[tokio::test]
async fn a_dead_letter_that_was_handled_meanwhile_is_handled_in_the_old_tables_too() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_async").await;
    let (host, store) = (&running.host, running.host.store());
    deeds(store, "default", 1, ok()).await;
    append(store, StreamId::new("Deeds", "1"), "Deed", &[curable()]).await;
    let letters = "SELECT count(*) FROM eventfabric.outbox_dead_letters";
    world.until_number(letters, 1).await;
    until_seen(&world, "hostile_async", 7).await;
    blue_green(host, other_version("hostile_async"), &keeping()).await.unwrap();
    let cured = |schema: &str| format!("INSERT INTO {schema}.seen VALUES (-7, 'cure')");
    world.execute(&cured("hostile_async")).await;
    world.execute(&cured("hostile_async__old")).await;
    requeue(store.pool(), &LetterFilter::default()).await.unwrap();
    until_seen(&world, "hostile_async", 9).await;
    let handed = back(host, "hostile_async", false).await.unwrap().rebuilt.unwrap().events;
    assert_eq!(handed, 1);
    world.execute("DELETE FROM hostile_async.seen WHERE position = -7").await;
    assert_all_seen(&world, "hostile_async").await;
    running.stop().await;
}

#[tokio::test]
async fn what_a_tenant_had_not_come_to_is_made_up_for_in_the_old_tables() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let (host, store) = (&running.host, running.host.store());
    deeds(store, "b", 1, ok()).await;
    append(store, StreamId::new("Deeds", "1").in_tenant("b"), "Deed", &[curable()]).await;
    deeds(store, "b", 1, ok()).await;
    deeds(store, "default", 2, ok()).await;
    until_seen(&world, "hostile_catchup", 7 + 14).await;
    world.stopped("hostile_catchup").await;
    // The new version stops there, too, until it is cured.
    blue_green(host, other_version("hostile_catchup"), &keeping()).await.unwrap();
    world.stopped("hostile_catchup").await;
    for schema in ["hostile_catchup", "hostile_catchup__old"] {
        world.execute(&format!("INSERT INTO {schema}.seen VALUES (-7, 'cure')")).await;
    }
    plugin::resume(store.pool(), "hostile_catchup").await.unwrap();
    until_seen(&world, "hostile_catchup", 7 + 1 + 7 + 14 + 1).await;
    let handed = back(host, "hostile_catchup", false).await.unwrap().rebuilt.unwrap().events;
    assert_eq!(handed, 8, "the events of the tenant that was behind");
    world.execute("DELETE FROM hostile_catchup.seen WHERE position = -7").await;
    assert_all_seen(&world, "hostile_catchup").await;
    running.stop().await;
}

#[tokio::test]
async fn one_that_fails_in_the_middle_changes_nothing_and_goes_on_there() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    let (host, store) = (&running.host, running.host.store());
    let v1 = deploy_bytes(host, ledger(1)).await.version;
    deeds(store, "default", 4, ok()).await;
    let bad = append(store, StreamId::new("Deeds", "9"), "Deed", &[json!({"refused_by": 2})]).await;
    // Beyond what is tried before it begins.
    deeds(store, "default", 20, ok()).await;
    world.until_number("SELECT count(*) FROM ledger.entries", 169).await;
    let error = blue_green(host, ledger(2), &keeping()).await.unwrap_err();
    assert!(
        matches!(&error, DeployError::Rebuild(RebuildError::Event { position, .. })
            if *position == bad[0]),
        "{error:?}"
    );
    let active = "SELECT active_sha256 FROM eventfabric.projections";
    assert_eq!(world.texts(active).await, [v1]);
    deeds(store, "default", 1, ok()).await;
    world.until_number("SELECT count(*) FROM ledger.entries", 176).await;
    assert_entered(&world, 1).await;
    let last = plugin::deployments(&world.eyes, "ledger", 1).await.unwrap().remove(0);
    assert!(last.rebuilt && last.error.unwrap().contains("version 2 refuses it"));
    let position = bad[0].to_string();
    command(&world.db, &["dismiss", &position, "--reason", "a test", "--by", "Ada"]).await.well();
    let deployed = blue_green(host, ledger(2), &keeping()).await.unwrap();
    assert!(deployed.rebuilt.unwrap().resumed);
    let entries = "SELECT count(*) FROM ledger.entries WHERE made_by = 2";
    world.until_number(entries, 175).await;
    running.stop().await;
}

#[tokio::test]
async fn one_that_traps_on_trial_does_not_begin() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "counter_v1").await;
    deeds(running.host.store(), "default", 1, ok()).await;
    let bad = std::fs::read(wasm("counter_bad")).unwrap();
    let error = blue_green(&running.host, bad, &keeping()).await.unwrap_err();
    assert!(error.to_string().starts_with("on trial with 7 events"), "{error}");
    super::assert_tidy(&world, "counter").await;
    let first = blue_green(&running.host, ledger(2), &keeping()).await.unwrap_err();
    assert!(first.to_string().contains("no active version"), "{first}");
    running.stop().await;
}

#[tokio::test]
async fn another_version_that_becomes_active_meanwhile_is_not_replaced() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    let host = running.host.clone();
    deploy_guest(&host, "hostile_catchup").await;
    deeds(host.store(), "default", 2, ok()).await;
    // A report keeps the new tables from their place.
    let mut report = world.eyes.begin().await.unwrap();
    let sql = "SELECT count(*) FROM hostile_catchup.seen";
    sqlx::query(sql).execute(&mut *report).await.unwrap();
    let working = host.clone();
    let deploying = tokio::spawn(async move {
        blue_green(&working, other_version("hostile_catchup"), &keeping()).await
    });
    let ready = "SELECT count(*) FROM eventfabric.projection_rebuilds WHERE target_position = 14";
    world.until_number(ready, 1).await;
    let mut third = other_version("hostile_catchup");
    third.extend([0, 6, 4, b't', b'e', b's', b't', 3]);
    let third = deploy_bytes(&host, third).await.version;
    report.rollback().await.unwrap();
    let error = deploying.await.unwrap().unwrap_err();
    assert!(error.to_string().starts_with("another version became active meanwhile"), "{error}");
    let active = "SELECT active_sha256 FROM eventfabric.projections";
    assert_eq!(world.texts(active).await, [third]);
    running.stop().await;
}

#[tokio::test]
async fn an_index_of_an_operator_is_not_lost_and_one_of_a_migration_may_go() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_bytes(&running.host, ledger(1)).await;
    world.execute("CREATE INDEX mine ON ledger.entries (position, made_by)").await;
    let error = blue_green(&running.host, ledger(2), &keeping()).await.unwrap_err();
    assert!(error.to_string().contains("the index mine, which its migrations"), "{error}");
    world.execute("DROP INDEX ledger.mine").await;
    // That of the first migration is not in the second version's.
    blue_green(&running.host, ledger(2), &keeping()).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn by_hand_it_is_killed_continued_taken_back_and_retired() {
    let world = World::new().await;
    let _host = Process::host(&world, None, &[]);
    let (v1, v2) = (wasm("ledger_v1"), wasm("ledger_v2"));
    let (v1, v2) = (v1.to_str().unwrap(), v2.to_str().unwrap());
    command(&world.db, &["plugin", "deploy", v1]).await.well();
    let store = world.store().await;
    deeds(&store, "default", 60, ok()).await;
    world.until_number("SELECT count(*) FROM ledger.entries", 420).await;
    // Without tables of its own it can't be.
    command(&world.db, &["plugin", "deploy", v2]).await.failed(1, &["has changed", "--rebuild"]);
    let deploy = ["plugin", "deploy", v2, "--rebuild", "--by", "Ada"];
    let mut killed =
        Process::start(&world, &deploy, &[("EVENTFABRIC_RUNNER__CATCH_UP__BATCH", "5")]);
    let come =
        "SELECT (sum(events) >= 100)::int::bigint FROM eventfabric.projection_rebuild_shards";
    world.until_number(come, 1).await;
    killed.signal("KILL");
    assert!(!killed.ended().await.success());
    deeds(&store, "default", 1, ok()).await;
    world.until_number("SELECT count(*) FROM ledger.entries", 427).await;
    assert_entered(&world, 1).await;
    let said = command(&world.db, &deploy).await.well();
    assert!(said.err.contains("going on with tables that were filled before"), "{}", said.err);
    assert!(said.out.contains("in place of") && said.out.contains("427 events"), "{}", said.out);
    assert_entered(&world, 2).await;
    // The tables are all its own.
    let versions = command(&world.db, &["plugin", "versions", "ledger"]).await.well().out;
    assert!(versions.contains(" 1-427 ") && versions.matches("-427").count() == 1, "{versions}");
    deeds(&store, "default", 1, ok()).await;
    world.until_number("SELECT count(*) FROM ledger.entries", 434).await;
    let said = command(&world.db, &["plugin", "rollback", "ledger", "--json"]).await.well().json();
    assert_eq!(said["rebuilt"]["events"], json!(7), "{said}");
    assert_entered(&world, 1).await;
    command(&world.db, &["plugin", "retire", "ledger"]).await.well();
    command(&world.db, &["plugin", "retire", "ledger"]).await.failed(4, &["no tables are kept"]);
    let kept = "SELECT count(*) FROM pg_namespace WHERE nspname = 'ledger__old'";
    assert_eq!(world.number(kept).await, 0);
    let version = &eventfabric::plugin::versions(&world.eyes, "ledger").await.unwrap()[0].version;
    let forth = ["plugin", "rollback", "ledger", &version[..9]];
    command(&world.db, &forth).await.failed(1, &["--rebuild"]);
    let forth = [&forth[..], &["--rebuild", "--keep-old=false"]].concat();
    command(&world.db, &forth).await.well();
    assert_entered(&world, 2).await;
    assert_eq!(world.number(kept).await, 0);
    let history = command(&world.db, &["plugin", "history", "ledger"]).await.well().out;
    for what in ["deployed with new tables", "rolled back to, with its tables", "dropped the kept"]
    {
        assert!(history.contains(what), "no `{what}` in {history}");
    }
}

#[tokio::test]
async fn retired_tables_are_not_gone_back_to() {
    let world = World::new().await;
    let host = Host::open(world.db.options(), quick(), None).await.unwrap();
    deploy_bytes(&host, ledger(1)).await;
    blue_green(&host, ledger(2), &keeping()).await.unwrap();
    assert!(retire(host.registry(), "ledger", "a test").await.unwrap());
    assert!(!retire(host.registry(), "ledger", "a test").await.unwrap());
    let error = back(&host, "ledger", false).await.unwrap_err();
    assert!(error.to_string().contains("--rebuild"), "{error}");
    assert!(back(&host, "ledger", true).await.unwrap().rebuilt.is_some());
}

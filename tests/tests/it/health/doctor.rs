//! `eventfabric doctor`: what is wrong, where, and what to do.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Utc;
use eventfabric::embedded::start;
use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::plugin::{self, PluginLimits};
use eventfabric::runner::HostConfig;
use eventfabric::runner::doctor::{Finding, Patient, Severity, examine};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::super::cli::{Said, run};
use super::super::embedded::Dir;
use super::super::runners::rig::{Running, World, deeds, deploy_guest, good, quick};

/// The server of the tests gives up safety for speed, and the doctor says so.
const IGNORE: [&str; 2] = ["--ignore", "settings"];

async fn doctor(world: &World, more: &[&str]) -> Said {
    run(&world.db, &[&["doctor"], &IGNORE[..], more].concat()).await
}

/// What a check has found, as JSON.
async fn findings(world: &World, check: &str) -> Vec<Value> {
    let said = doctor(world, &["--json"]).await.json();
    let made = said["checks"].as_array().unwrap();
    let made = made.iter().find(|made| made["check"] == check);
    made.unwrap_or_else(|| panic!("no check {check}"))["findings"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_healthy_database_is_called_healthy_and_an_unsafe_server_is_not() {
    let world = World::new().await;
    let said = doctor(&world, &[]).await.well();
    for check in ["server", "clock", "migrations", "projections", "stalls", "tables"] {
        assert!(said.out.contains(&format!("ok       {check}")), "{}", said.out);
    }
    assert_eq!(doctor(&world, &["--json"]).await.well().json()["healthy"], true);
    let said = run(&world.db, &["doctor"]).await.failed(1, &["findings"]);
    assert!(said.out.contains("problem  settings: fsync: it is off"), "{}", said.out);
    assert!(said.out.contains("do: turn it on"), "{}", said.out);
}

#[tokio::test]
async fn what_is_not_migrated_is_not_looked_into_any_further() {
    let world = World::of(eventfabric_tests::bare_database().await);
    let said = doctor(&world, &[]).await.failed(1, &["1 finding"]);
    assert!(said.out.contains("do: run `eventfabric migrate`"), "{}", said.out);
    assert!(!said.out.contains("dead letters"), "{}", said.out);
}

#[tokio::test]
async fn a_database_that_is_newer_than_the_program_is_called_so() {
    let world = World::new().await;
    world.execute("INSERT INTO eventfabric.schema_migrations (name) VALUES ('900_later')").await;
    let said = doctor(&world, &[]).await.failed(1, &["1 finding"]);
    assert!(said.out.contains("it records 900_later"), "{}", said.out);
    assert!(said.out.contains("do: use the version of eventfabric that has"), "{}", said.out);
}

#[tokio::test]
async fn projections_that_do_not_run_are_told_with_their_reason() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deploy_guest(&running.host, "hostile_async").await;
    let pool = running.host.store().pool().clone();
    plugin::pause(&pool, "hostile_async", Some("ada"), Some("too loud")).await.unwrap();
    deeds(running.host.store(), &[json!({"do": "poison"})]).await;
    world.stopped("hostile_catchup").await;
    running.stop().await;
    let found = findings(&world, "projections").await;
    let (paused, failed) = (&found[0], &found[1]);
    assert_eq!(paused["severity"], "warning");
    assert!(paused["what"].as_str().unwrap().contains("by ada (too loud)"), "{paused}");
    assert_eq!(
        (&failed["severity"], &failed["place"]),
        (&json!("problem"), &json!("projection hostile_catchup"))
    );
    assert!(failed["what"].as_str().unwrap().contains("poison"), "{failed}");
    assert!(failed["advice"].as_str().unwrap().contains("resume hostile_catchup"), "{failed}");
}

#[tokio::test]
async fn dead_letters_and_a_queue_that_nobody_empties_are_told() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_async").await;
    deeds(running.host.store(), &[json!({"do": "poison"})]).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox_dead_letters", 1).await;
    running.stop().await;
    let letters = findings(&world, "dead letters").await;
    assert_eq!(letters[0]["place"], "projection hostile_async");
    assert!(letters[0]["what"].as_str().unwrap().starts_with("1 events were given up"));
    assert_eq!(findings(&world, "outbox").await, [Value::Null; 0]);
    deeds(&world.store().await, &good(3)).await;
    world.execute("UPDATE eventfabric.outbox SET created_at = now() - interval '1 hour'").await;
    let waits = findings(&world, "outbox").await;
    assert!(waits[0]["what"].as_str().unwrap().starts_with("3 rows wait, the oldest since"));
    assert_eq!(waits[0]["severity"], "problem");
}

#[tokio::test]
async fn work_that_nobody_does_is_told_with_the_transaction_in_the_way() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deeds(running.host.store(), &good(1)).await;
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 1).await;
    running.stop().await;
    for sql in [
        "UPDATE eventfabric.projection_checkpoints SET updated_at = now() - interval '1 hour'",
        "UPDATE eventfabric.projections SET activated_at = now() - interval '1 hour'",
    ] {
        world.execute(sql).await;
    }
    assert_eq!(findings(&world, "stalls").await, [Value::Null; 0]);
    let old = NewEvent {
        occurred_at: Some(Utc::now() - chrono::Duration::minutes(10)),
        ..NewEvent::new("Deed", &json!({})).unwrap()
    };
    let stream = StreamId::new("Deeds", "1");
    world.store().await.append(stream, ExpectedVersion::Any, vec![old]).await.unwrap();
    let found = findings(&world, "stalls").await;
    assert_eq!(found[0]["place"], "projection hostile_catchup");
    let what = found[0]["what"].as_str().unwrap();
    assert!(what.contains("no transaction that this role can see is in the way"), "{what}");
    // With somebody in the way.
    let mut other = world.db.connect().await;
    let mut open = other.begin().await.unwrap();
    let pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *open).await.unwrap();
    sqlx::query("LOCK TABLE eventfabric.events IN ROW EXCLUSIVE MODE")
        .execute(&mut *open)
        .await
        .unwrap();
    let patient = Patient { open: Duration::ZERO, stall: Duration::ZERO, ..patient(&world).await };
    let checked = examine(&patient).await;
    for check in ["stalls", "transactions"] {
        let made = checked.iter().find(|made| made.check == check).unwrap();
        let told = made.findings.iter().any(|finding| {
            finding.severity == Severity::Problem
                && finding.what.contains(&format!("server process {pid}"))
        });
        assert!(told, "{made:?}");
    }
    open.rollback().await.unwrap();
}

async fn patient(world: &World) -> Patient {
    Patient::new(world.db.pool(2).await, HostConfig::default())
}

/// What a check has found.
async fn found(patient: &Patient, check: &str) -> Vec<Finding> {
    let checked = examine(patient).await.into_iter().find(|made| made.check == check);
    checked.unwrap_or_else(|| panic!("no check {check}")).findings
}

#[tokio::test]
async fn a_disk_without_room_and_a_folder_that_can_not_be_written_to_are_told() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let cache = |dir: &str| HostConfig {
        cache_dir: Some(folder.path().join(dir)),
        ..HostConfig::default()
    };
    let well = Patient { config: cache("not/yet"), least_free: 0, ..patient(&world).await };
    assert_eq!(found(&well, "disk").await, []);
    let private = Some(folder.path().to_owned());
    let full = Patient { least_free: u64::MAX, private, ..well };
    let told = found(&full, "disk").await;
    let severities: Vec<Severity> = told.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Problem], "{told:?}");
    assert!(
        told[0].place.ends_with("not/yet") && told[0].what.contains("MiB are free"),
        "{told:?}"
    );
    assert!(told[1].what.contains("without room the server stops"), "{told:?}");
    std::fs::write(folder.path().join("file"), "").unwrap();
    let file = Patient { config: cache("file/below"), least_free: 0, ..patient(&world).await };
    let told = found(&file, "disk").await;
    assert!(told[0].what.contains("can't be written to"), "{told:?}");
}

#[tokio::test]
async fn wal_that_is_kept_for_nobody_is_told_with_its_slot() {
    let dir = Dir::new();
    let server = start(&dir.postgres()).await.unwrap();
    let mut admin = PgConnection::connect_with(&server.administrator()).await.unwrap();
    sqlx::query("SELECT pg_create_physical_replication_slot('left', true)")
        .execute(&mut admin)
        .await
        .unwrap();
    let pool = eventfabric::db::pool(server.options(), 1);
    let patient = Patient::new(pool, HostConfig::default());
    assert!(found(&patient, "disk").await.iter().all(|told| !told.place.contains("slot")));
    let told = found(&Patient { kept: -1, ..patient }, "disk").await;
    let told = told.iter().find(|told| told.place == "replication slot left").unwrap();
    assert!(told.what.contains("which nobody reads"), "{told:?}");
    assert!(told.advice.contains("pg_drop_replication_slot('left')"), "{told:?}");
    admin.close().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn settings_that_do_not_go_together_are_told() {
    let world = World::new().await;
    let mut config = HostConfig { append_timeout: Duration::from_secs(5), ..HostConfig::default() };
    config.runner.poll = Duration::from_secs(60);
    config.runner.catch_up.batch = 0;
    config.limits.plugin = BTreeMap::from([("nobody".to_owned(), PluginLimits::default())]);
    let patient = Patient { config, ..patient(&world).await };
    let told = found(&patient, "host settings").await;
    assert_eq!(told[0].severity, Severity::Problem);
    assert!(told[0].what.contains("runner.catch_up.batch is 0"), "{told:?}");
    let places: Vec<&str> = told.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!(places, ["settings", "append_timeout", "runner.stall"]);
    let told = found(&patient, "names").await;
    assert_eq!((told[0].place.as_str(), told.len()), ("limits.plugin.nobody", 1));
}

#[tokio::test]
async fn hosts_of_other_versions_and_plugins_that_are_not_for_this_one_are_told() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    running.stop().await;
    let patient = patient(&world).await;
    assert_eq!(found(&patient, "versions").await, []);
    world
        .execute(
            "INSERT INTO eventfabric.hosts (host_id, name, version)
             VALUES (gen_random_uuid(), 'old:1', '0.0.1')",
        )
        .await;
    world.execute("UPDATE eventfabric.plugin_versions SET bytes = '\\x0061736d01000000'").await;
    let told = found(&patient, "versions").await;
    assert_eq!((told[0].place.as_str(), told[0].severity), ("host old:1", Severity::Warning));
    assert!(told[0].what.contains("0.0.1"), "{told:?}");
    assert_eq!(told[1].severity, Severity::Problem);
    assert!(told[1].what.contains("not a component"), "{told:?}");
    // A host knows what it runs.
    assert_eq!(found(&Patient { components: false, ..patient }, "versions").await.len(), 1);
}

#[tokio::test]
async fn a_host_that_wants_more_connections_than_there_are_is_told() {
    let world = World::new().await;
    let checked = examine(&Patient { connections: 10_000, ..patient(&world).await }).await;
    let settings = checked.iter().find(|made| made.check == "settings").unwrap();
    let told = settings.findings.iter().find(|finding| finding.place == "max_connections").unwrap();
    assert!(told.what.contains("may open 10000 connections"), "{}", told.what);
}

#[tokio::test]
async fn attacks_on_the_operators_own_database_are_stopped_and_leave_nothing() {
    let world = World::new().await;
    let mut conn = PgConnection::connect_with(&world.db.options()).await.unwrap();
    let count = "SELECT (SELECT count(*) FROM pg_class) + (SELECT count(*) FROM pg_proc)
                     + (SELECT count(*) FROM eventfabric.plugin_schemas)";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&mut conn).await.unwrap();
    let said = run(&world.db, &["doctor", "--attack"]).await.well();
    assert!(said.out.contains("wall one    RESET ROLE: "), "{}", said.out);
    assert!(said.out.contains("wall two    a table in public: "), "{}", said.out);
    assert!(said.out.contains("a limit     a statement of 50 MB: "), "{}", said.out);
    assert!(said.out.contains(" attacks, 0 not stopped. Nothing of them is left"), "{}", said.out);
    let after: i64 = sqlx::query_scalar(count).fetch_one(&mut conn).await.unwrap();
    assert_eq!(before, after);
}

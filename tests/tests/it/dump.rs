//! A dump, restored under its name on a server that has never seen the database, is whole: hosts go on with it.

use std::process::Command;

use eventfabric_tests::TestDb;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::cli::run;
use super::runners::rig::{Running, World, deeds, deploy_guest, good, quick};

const GUESTS: [&str; 3] = ["hostile_async", "hostile_catchup", "hostile_inline"];

/// A program of the tests' own server, on the database.
async fn program(db: &TestDb, name: &str) -> Command {
    let mut conn = PgConnection::connect_with(&db.superuser()).await.unwrap();
    let dir: String = sqlx::query_scalar("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    let mut command = Command::new(std::path::Path::new(&dir).join(name));
    command.arg("--dbname").arg(db.superuser_url());
    command
}

fn run_program(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Handled deeds, of all guests.
async fn until_seen(world: &World, deeds: i64) {
    for guest in GUESTS {
        world.until_number(&format!("SELECT count(*) FROM {guest}.seen"), deeds).await;
    }
}

#[tokio::test]
async fn a_database_is_dumped_and_restored_and_its_hosts_go_on() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    for guest in GUESTS {
        deploy_guest(&running.host, guest).await;
    }
    deeds(running.host.store(), &good(3)).await;
    until_seen(&world, 3).await;
    running.stop().await;
    // One of each kind of function: with rows, with parameters, with both, with neither.
    let by_position = "SELECT note FROM seen WHERE position = $1";
    for sql in [
        by_position,
        "SELECT count(*) FROM seen",
        "UPDATE seen SET position = position WHERE position = $1 AND $2",
        "WITH gone AS (DELETE FROM seen WHERE position = $1 RETURNING position)
         INSERT INTO seen (position, note) SELECT position, $2 FROM gone",
        "DELETE FROM seen WHERE position < 0",
    ] {
        run(&world.db, &["plugin", "learn", "hostile_catchup", sql]).await.well();
    }
    let functions = "SELECT count(*) FROM pg_proc
                     WHERE pronamespace = 'eventfabric_calls'::regnamespace";
    let made = world.number(functions).await;
    assert!(made > 5, "{made}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    run_program(program(&world.db, "pg_dump").await.args(["--format=custom", "--file"]).arg(&file));
    let mut restore = program(&world.db, "pg_restore").await;
    restore.args(["--exit-on-error", "--single-transaction"]).arg(&file);
    let (name, owner) = (&world.db.name, world.db.options().get_username().to_owned());
    let mut server =
        PgConnection::connect_with(&world.db.superuser().database("postgres")).await.unwrap();
    for sql in [
        format!("DROP DATABASE {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name} OWNER {owner} TEMPLATE template0"),
    ] {
        server.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    run_program(&mut restore);

    let world = World::of(world.db);
    assert_eq!(world.number(functions).await, made);
    run(&world.db, &["doctor", "--ignore", "settings"]).await.well();
    let running = Running::start(&world, quick()).await;
    deeds(running.host.store(), &good(2)).await;
    // By a function of the dump.
    let query = json!({"do": "query", "sql": by_position, "params": [1]});
    deeds(running.host.store(), &[query]).await;
    until_seen(&world, 6).await;
    assert_eq!(run(&world.db, &["dlq", "list", "--json"]).await.well().json(), json!([]));
    running.stop().await;
}

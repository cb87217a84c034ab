//! A database that is not there, not ready or not willing: what happened, and the cure.

use eventfabric_tests::{bare_database, database};
use sqlx::Executor as _;
use tokio::net::TcpListener;

use super::{run, run_at};

/// A command of each kind.
const COMMANDS: [&[&str]; 7] = [
    &["migrate"],
    &["append", "--aggregate", "A", "--id", "1", "--type", "T"],
    &["events"],
    &["projections", "list"],
    &["projections", "status"],
    &["dlq", "list"],
    &["run"],
];

/// Every command fails with 5 and says these things: not what a pool says that has tried for long.
async fn unreachable(url: &str, words: &[&str]) {
    for command in COMMANDS {
        run_at(url, command).await.failed(5, words);
    }
}

#[tokio::test]
async fn a_port_without_a_server_ends_with_5_at_once() {
    // Bound and closed: nobody listens there now.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let url = format!("postgres://someone:secret@127.0.0.1:{port}/nowhere");
    unreachable(&url, &["cannot reach the database", "is it running", "--database-url"]).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_ends_with_5_within_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("postgres://someone:secret@127.0.0.1:{port}/nowhere");
    let (events, migrate) = tokio::join!(run_at(&url, &["events"]), run_at(&url, &["migrate"]));
    for said in [events, migrate] {
        said.failed(5, &["does not answer", "--database-url"]);
    }
}

#[tokio::test]
async fn a_host_name_that_is_not_known_ends_with_5() {
    let url = "postgres://someone@no-such-host.invalid/nowhere";
    run_at(url, &["events"]).await.failed(5, &["cannot reach the database"]);
}

#[tokio::test]
async fn a_wrong_password_is_called_so_and_never_shown() {
    let db = database().await;
    let url = db.url();
    let (before, rest) = url.split_once("://").unwrap();
    let (user, place) = rest.rsplit_once('@').unwrap();
    let user = user.split(':').next().unwrap();
    let url = format!("{before}://{user}:not-the-secret@{place}");
    for command in COMMANDS {
        let said = run_at(&url, command).await.failed(5, &["refuses this login", user]);
        assert!(!said.err.contains("not-the-secret"), "{}", said.err);
    }
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_named() {
    let db = database().await;
    let url = db.url().replace(&db.name, "no_such_database");
    for command in COMMANDS {
        run_at(&url, command).await.failed(5, &["no_such_database", "does not exist"]);
    }
}

#[tokio::test]
async fn a_url_that_is_none_is_said_to_be_so_without_showing_it() {
    let said = run_at("mysql//user:secret@x", &["events"]).await;
    let said = said.failed(2, &["--database-url is not of the form postgres://"]);
    assert!(!said.err.contains("secret"), "{}", said.err);
}

#[tokio::test]
async fn a_database_that_is_not_migrated_says_migrate() {
    let db = bare_database().await;
    for command in COMMANDS.into_iter().filter(|command| !matches!(command[0], "migrate" | "run")) {
        run(&db, command).await.failed(1, &["eventfabric migrate"]);
    }
    run(&db, &["run", "--no-migrate"]).await.failed(1, &["eventfabric migrate"]);
    run(&db, &["wait", "--caught-up"]).await.failed(1, &["eventfabric migrate"]);
}

#[tokio::test]
async fn a_database_that_is_partly_migrated_says_migrate() {
    let db = database().await;
    db.connect()
        .await
        .execute(
            "DROP SCHEMA eventfabric_calls;
             DROP TABLE eventfabric.plugin_statements, eventfabric.plugin_migrations,
                        eventfabric.plugin_schemas;
             DELETE FROM eventfabric.schema_migrations WHERE name = '013_sandbox'",
        )
        .await
        .unwrap();
    let append = COMMANDS[1];
    run(&db, append).await.failed(1, &["lacks a migration (013_sandbox)", "eventfabric migrate"]);
    run(&db, &["migrate"]).await.well();
    run(&db, append).await.well();
}

#[tokio::test]
async fn a_read_only_database_is_said_to_be_so() {
    for db in [database().await, bare_database().await] {
        let sql = format!("ALTER DATABASE {} SET default_transaction_read_only = on", db.name);
        db.connect().await.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
        let migrated = run(&db, &["migrate"]).await;
        if migrated.code == 0 {
            run(&db, COMMANDS[1]).await.failed(1, &["the database is read-only", "standby"]);
            run(&db, &["events"]).await.well();
        } else {
            migrated.failed(1, &["the database is read-only", "default_transaction_read_only"]);
        }
    }
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let db = database().await;
    let insert = "INSERT INTO eventfabric.schema_migrations (name) VALUES ('900_later')";
    db.connect().await.execute(insert).await.unwrap();
    for command in [COMMANDS[0], COMMANDS[1], &["run"], &["import", "-"]] {
        let said = run(&db, command).await;
        said.failed(1, &[&db.name, "900_later", "use a newer eventfabric"]);
    }
}

#[tokio::test]
async fn a_setting_that_does_not_exist_is_named_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.toml");
    std::fs::write(&file, "[runner]\nspeed = 11\n").unwrap();
    let said = run_at("postgres://x", &["events", "--config", file.to_str().unwrap()]).await;
    said.failed(2, &["speed", "mine.toml:2"]);
    let said = run_at("postgres://x", &["events", "--config", "/no/such.toml"]).await;
    said.failed(2, &["/no/such.toml"]);
}

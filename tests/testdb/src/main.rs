//! `testdb run COMMAND…`: runs a command with the tests' server in `EVENTFABRIC_TEST_SERVER` and
//! `EVENTFABRIC_TEST_DATABASE_URL`, and
//! stops the server if it was not running before.
//!
//! `testdb scratch COMMAND…`: runs a command with an empty, migrated database in `DATABASE_URL`.
//!
//! `testdb durable COMMAND…`: the same on a server with the settings that PostgreSQL has by default.
//!
//! `testdb stop`: stops the server that tests have left running; `testdb stop-in DIR` the one in DIR.
//!
//! `testdb reachable DIR`: prints DIR, or what stands for it where PostgreSQL's user can't get to
//! it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use eventfabric_embedded::Embedded;
use eventfabric_testdb::{SERVER, durable_server, server, server_dir, workspace};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::process::Command;

/// Where the SDK's test double for PostgreSQL finds a database.
const SDK_TESTS: &str = "EVENTFABRIC_TEST_DATABASE_URL";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt().with_target(false).without_time().with_writer(std::io::stderr).init();
    let mut args = std::env::args_os().skip(1);
    let verb = args.next().and_then(|verb| verb.into_string().ok()).unwrap_or_default();
    if verb == "stop" {
        let stopped = eventfabric_embedded::discard(&server_dir()).await?;
        println!("{}", if stopped { "stopped" } else { "was not running" });
        return Ok(ExitCode::SUCCESS);
    }
    if verb == "reachable" || verb == "stop-in" {
        let dir = args.next().map(std::path::PathBuf::from).context("testdb reachable DIR")?;
        if verb == "reachable" {
            println!("{}", eventfabric_embedded::reachable(&dir)?.display());
        } else {
            eventfabric_embedded::stop(&dir).await?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut command =
        Command::new(args.next().context("testdb run|scratch|durable COMMAND… | stop")?);
    command.args(args);

    let server = if verb == "durable" { durable_server().await? } else { server().await? };
    if server.started {
        sweep(&server).await?;
    }
    let code = match verb.as_str() {
        "run" => {
            let url = server.administrator_url();
            // The SDK's tests against PostgreSQL roll back what they do.
            run(command.env(SDK_TESTS, &url).env(SERVER, &url)).await
        }
        "scratch" | "durable" => scratch(&server, &mut command).await,
        other => bail!("testdb run|scratch|durable COMMAND… | stop, not {other}"),
    };
    if server.started {
        // What a measurement has made may be looked at; and the cluster may be large.
        if verb == "durable" {
            server.stop().await?
        } else {
            server.discard().await?
        };
    }
    code
}

/// Drops what tests that were killed have left, and the templates of other migrations. Only on a
/// server that has just started: nobody uses them.
async fn sweep(server: &Embedded) -> anyhow::Result<()> {
    let mut admin = PgConnection::connect_with(&server.administrator()).await?;
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT datname::text FROM pg_database
         WHERE datname ~ '^(test|scratch|unfinished|template)_[0-9a-f]+$'",
    )
    .fetch_all(&mut admin)
    .await?;
    for name in left {
        admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await?;
    }
    admin.close().await?;
    Ok(())
}

async fn run(command: &mut Command) -> anyhow::Result<ExitCode> {
    let program = command.as_std().get_program().to_owned();
    let status = command.status().await.with_context(|| format!("cannot run {program:?}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn scratch(server: &Embedded, command: &mut Command) -> anyhow::Result<ExitCode> {
    let name = format!("scratch_{}", uuid::Uuid::new_v4().simple());
    let mut admin = PgConnection::connect_with(&server.administrator()).await?;
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
    let code = match migrate(server, &name).await {
        Ok(()) => {
            let url = server.administrator_url().replace("/postgres?", &format!("/{name}?"));
            run(command.env("DATABASE_URL", url)).await
        }
        Err(error) => Err(error),
    };
    admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await?;
    admin.close().await?;
    code
}

/// Applies the files of `/migrations` as they are now. (Not by the library: this program must run
/// when the library does not compile yet, because its statements have changed.)
async fn migrate(server: &Embedded, database: &str) -> anyhow::Result<()> {
    let mut conn = PgConnection::connect_with(&server.administrator().database(database)).await?;
    conn.execute("CREATE SCHEMA eventfabric").await?;
    conn.execute(
        "CREATE TABLE eventfabric.schema_migrations (
             name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
    )
    .await?;
    let folder = workspace().join("migrations");
    let mut files: Vec<_> = std::fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    for file in files {
        let sql = std::fs::read_to_string(&file)?;
        conn.execute(sqlx::raw_sql(AssertSqlSafe(sql)))
            .await
            .with_context(|| file.display().to_string())?;
    }
    conn.close().await?;
    Ok(())
}

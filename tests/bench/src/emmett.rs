//! (h) The same events through `@event-driven-io/emmett-postgresql`, where Node and npm are there: in
//! a process of its own, on the same server, in turns.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use eventfabric::store::EventStore;
use serde::Deserialize;
use tokio::process::Command;

use crate::append::{Caller, rate};
use crate::host::{self, Running};
use crate::place::Database;
use crate::table::{Row, compare, in_turns};
use crate::{Bench, guest, week};

/// What the program there answers.
#[derive(Deserialize)]
struct Answer {
    rate: f64,
    departed: Option<i64>,
}

#[derive(Clone, Copy)]
enum Way {
    Ours(&'static str),
    Theirs(&'static str),
}

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let Some(dir) = install().await? else {
        println!("emmett: skipped, as node and npm are not here or can't get it");
        return Ok(Vec::new());
    };
    let mut table = append(bench, &dir).await?;
    table.extend(project(bench, &dir).await?);
    Ok(table)
}

/// Gets the library into a folder outside of the sources.
async fn install() -> anyhow::Result<Option<PathBuf>> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("emmett");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench-emmett");
    std::fs::create_dir_all(&dir)?;
    for file in ["package.json", "emmett.mjs"] {
        std::fs::copy(sources.join(file), dir.join(file))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--silent"]).current_dir(&dir);
    let installed = npm.status().await.is_ok_and(|status| status.success());
    Ok(installed.then_some(dir))
}

async fn run(db: &Database, dir: &Path, arguments: &[&str]) -> anyhow::Result<Answer> {
    let mut node = Command::new("node");
    node.arg("emmett.mjs").args(arguments).current_dir(dir).env("DATABASE_URL", db.url());
    let output = node.output().await.context("node")?;
    let said = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(
        output.status.success(),
        "emmett.mjs: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let answer = said.lines().last().unwrap_or_default();
    serde_json::from_str(answer).with_context(|| format!("emmett.mjs said {answer:?}"))
}

async fn append(bench: &Bench, dir: &Path) -> anyhow::Result<Vec<Row>> {
    let (ours, theirs) =
        (bench.place.database("beside").await?, bench.place.database("emmett").await?);
    let pool = eventfabric::db::pool(ours.owner.clone(), 20);
    let store = EventStore::new(pool.clone()).with_group_commit();
    let seconds = bench.time().as_secs().to_string();
    let mut table = Vec::new();
    for callers in [1_usize, 8] {
        let case = format!("append, {callers} callers of 1 event");
        let ways = [("append", Way::Ours("")), ("emmett", Way::Theirs("append"))];
        let measure = async |way| match way {
            Way::Ours(_) => {
                let callers = (0..callers).map(|_| Caller::append(store.clone(), 1)).collect();
                rate(callers, bench.time()).await
            }
            Way::Theirs(verb) => {
                let arguments = [verb, &callers.to_string(), "1", &seconds];
                Ok(run(&theirs, dir, &arguments).await?.rate)
            }
        };
        let mut rows = in_turns(bench.rounds(), &ways, &case, "commits/s", measure).await?;
        compare(&mut rows, "append", "emmett", None);
        table.append(&mut rows);
    }
    pool.close().await;
    ours.remove().await?;
    theirs.remove().await?;
    Ok(table)
}

async fn project(bench: &Bench, dir: &Path) -> anyhow::Result<Vec<Row>> {
    let events = if bench.quick { 1_000 } else { 10_000 };
    let file = dir.join("events.ndjson");
    std::fs::write(&file, week::lines(events)?.join("\n"))?;
    let file = file.to_str().context("a path that can be written down")?;
    let db = bench.place.database("beside").await?;
    week::fill(&db, events as i64).await?;
    host::install(&db, &bench.guests, guest::CATCH_UP, 1).await?;
    let departed = "SELECT count(*) FROM eventfabric.events WHERE type = 'FlightDeparted'";
    let departed = db.number(departed).await?;
    let case = format!("carriers, {events} events");
    let ways = [
        ("wasm, execute", Way::Ours("carriers execute")),
        ("wasm, merged", Way::Ours("carriers merged")),
        ("emmett, an event", Way::Theirs("each")),
        ("emmett, a batch", Way::Theirs("batch")),
    ];
    let measure = async |way| match way {
        Way::Ours(way) => {
            let name = guest::name(guest::CATCH_UP, 0);
            db.execute(&format!(
                "TRUNCATE {name}.carriers; DELETE FROM eventfabric.projection_checkpoints"
            ))
            .await?;
            let end = db.number("SELECT max(global_position) FROM eventfabric.events").await?;
            let running = Running::start(&db, host::config(guest::CATCH_UP, 1, way)).await?;
            let rate = host::rate(&db, host::CHECKPOINTS, end).await?;
            running.stop().await?;
            Ok(rate)
        }
        Way::Theirs(way) => {
            // It keeps checkpoints, too.
            let fresh = bench.place.database("emmett").await?;
            let answer = run(&fresh, dir, &["project", file, way]).await?;
            fresh.remove().await?;
            anyhow::ensure!(answer.departed == Some(departed), "emmett has missed events");
            Ok(answer.rate)
        }
    };
    let mut rows = in_turns(3, &ways, &case, "events/s", measure).await?;
    compare(&mut rows, "wasm, execute", "emmett, an event", None);
    compare(&mut rows, "wasm, merged", "emmett, a batch", None);
    db.remove().await?;
    Ok(rows)
}

//! (g) Rebuilding a projection from the log with one shard and with two, by the host's own command.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::Context as _;
use tokio::process::Command;

use crate::place::Database;
use crate::table::{Row, compare, in_turns};
use crate::{Bench, guest, host, week};

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let Some(program) = &bench.program else {
        println!("rebuild: skipped, as the program eventfabric was not built for it");
        return Ok(Vec::new());
    };
    let db = bench.place.database("rebuild").await?;
    let events = bench.events();
    week::fill(&db, events).await?;
    host::install(&db, &bench.guests, guest::CATCH_UP, 1).await?;
    let mut table = Vec::new();
    for handled in ["carriers merged", "aircraft merged"] {
        let ways = [("1 shard", 1), ("2 shards", 2)];
        let case = format!("{handled}, {events} events");
        let measure = async |shards| one(&db, program, handled, shards, events).await;
        let mut rows = in_turns(bench.rounds(), &ways, &case, "events/s", measure).await?;
        compare(&mut rows, "2 shards", "1 shard", None);
        table.append(&mut rows);
    }
    db.remove().await?;
    Ok(table)
}

/// Events a second of the whole command, its start and the swap of the tables included.
async fn one(
    db: &Database,
    program: &Path,
    handled: &str,
    shards: u32,
    events: i64,
) -> anyhow::Result<f64> {
    let name = guest::name(guest::CATCH_UP, 0);
    let mut rebuild = Command::new(program);
    rebuild
        .args(["projections", "rebuild", &name, "--shards", &shards.to_string()])
        .env("EVENTFABRIC_DATABASE_URL", db.url())
        .env(format!("EVENTFABRIC_PLUGIN__{}__WAY", name.to_uppercase()), handled)
        .stdout(Stdio::null());
    let start = Instant::now();
    let output = rebuild.output().await.context("eventfabric")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "projections rebuild: {}\n{said}", output.status);
    Ok(events as f64 / start.elapsed().as_secs_f64())
}

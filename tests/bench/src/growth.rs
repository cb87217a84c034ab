//! Whether rates stay what they are when there is more: events in the log, projections.

use crate::host::{self, Running};
use crate::place::Database;
use crate::table::{Row, compare, in_turns};
use crate::{Bench, guest, process, week};

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut table = events(bench).await?;
    table.extend(projections(bench).await?);
    Ok(table)
}

/// The same projection over logs of different lengths.
async fn events(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let sizes: &[(&str, i64)] = match bench.quick {
        true => &[("10000 events", 10_000), ("100000 events", 100_000)],
        false => {
            &[("10000 events", 10_000), ("100000 events", 100_000), ("1000000 events", 1_000_000)]
        }
    };
    let mut logs = Vec::new();
    for (_, events) in sizes {
        let db = bench.place.database(&format!("growth_{events}")).await?;
        week::fill(&db, *events).await?;
        host::install(&db, &bench.guests, guest::CATCH_UP, 1).await?;
        logs.push(db);
    }
    let ways: Vec<(&str, usize)> =
        sizes.iter().zip(0..).map(|((name, _), it)| (*name, it)).collect();
    let mut table = Vec::new();
    let mut memory = vec![Vec::new(); sizes.len()];
    for way in ["carriers batch", "aircraft merged"] {
        let measure = async |log: usize| {
            let (rate, mebibytes) = catch_up(&logs[log], 1, way).await?;
            memory[log].push(mebibytes);
            Ok(rate)
        };
        let mut rows = in_turns(3, &ways, way, "events/s", measure).await?;
        for (name, _) in &ways[1..] {
            compare(&mut rows, name, ways[0].0, Some(0.8));
        }
        table.append(&mut rows);
    }
    for ((name, _), figures) in ways.iter().zip(memory) {
        table.push(Row::new("memory of the host", name, "MiB", figures));
    }
    for db in logs {
        db.remove().await?;
    }
    Ok(table)
}

/// The same log with more and more projections; each event counts once for each.
async fn projections(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut places = Vec::new();
    for count in [1, 10, 100] {
        let db = bench.place.database(&format!("growth_projections_{count}")).await?;
        week::fill(&db, 10_000).await?;
        host::install(&db, &bench.guests, guest::CATCH_UP, count).await?;
        places.push((db, count));
    }
    let ways = [("1 projection", 0), ("10 projections", 1), ("100 projections", 2)];
    let measure = async |place: usize| {
        let (db, count) = &places[place];
        Ok(catch_up(db, *count, "carriers batch").await?.0)
    };
    let case = "carriers batch, 10000 events";
    let mut rows = in_turns(3, &ways, case, "handled events/s", measure).await?;
    compare(&mut rows, "10 projections", "1 projection", None);
    compare(&mut rows, "100 projections", "1 projection", None);
    for (db, _) in places {
        db.remove().await?;
    }
    Ok(rows)
}

/// Handled events a second, and the memory of this process at the end.
async fn catch_up(db: &Database, count: usize, way: &str) -> anyhow::Result<(f64, f64)> {
    for number in 0..count {
        let schema = guest::name(guest::CATCH_UP, number);
        db.execute(&format!("TRUNCATE {schema}.carriers, {schema}.aircraft")).await?;
    }
    db.execute("DELETE FROM eventfabric.projection_checkpoints").await?;
    db.execute("CHECKPOINT").await?;
    let end = db.number("SELECT max(global_position) FROM eventfabric.events").await?;
    let running = Running::start(db, host::config(guest::CATCH_UP, count, way)).await?;
    let rate = host::rate(db, host::CHECKPOINTS, end * count as i64).await?;
    let mebibytes = process::memory()?;
    running.stop().await?;
    Ok((rate, mebibytes))
}

//! What projections cost that have nothing to do, one beside a hundred, and the memory of each.

use std::time::Duration;

use crate::host::{self, Running};
use crate::place::Database;
use crate::table::{Row, compare, within};
use crate::{Bench, guest, process, week};

/// Events that they have handled before.
const EVENTS: i64 = 1_000;
const MANY: usize = 100;

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let (few, many) =
        (bench.place.database("idle_1").await?, bench.place.database("idle_100").await?);
    for (db, count) in [(&few, 1), (&many, MANY)] {
        week::fill(db, EVENTS).await?;
        host::install(db, &bench.guests, guest::CATCH_UP, count).await?;
    }
    let time = Duration::from_secs(if bench.quick { 5 } else { 20 });
    let mut figures = [const { Vec::new() }; 8];
    for _ in 0..bench.rounds().min(3) {
        for (place, (db, count)) in [(&few, 1), (&many, MANY)].into_iter().enumerate() {
            let cost = one(db, count, time).await?;
            for (part, figure) in cost.into_iter().enumerate() {
                figures[place * 4 + part].push(figure);
            }
        }
    }
    few.remove().await?;
    many.remove().await?;
    let names = ["1 projection", "100 projections"];
    let row = |place: usize, part: usize, case, unit| {
        Row::new(case, names[place], unit, figures[place * 4 + part].clone())
    };
    let mut table = Vec::new();
    for (part, case, unit) in [
        (0, "time on a core, host", "%"),
        (1, "time on a core, server", "%"),
        (2, "transactions", "a second"),
    ] {
        let mut rows = [row(0, part, case, unit), row(1, part, case, unit)];
        match part {
            0 => within(&mut rows[1], 2.0),
            2 => compare(&mut rows, names[0], names[1], Some(0.9)),
            _ => {}
        }
        table.extend(rows);
    }
    table.push(row(1, 3, "memory of a projection", "MiB"));
    Ok(table)
}

/// Host and server in percent of a core, transactions a second, MiB a projection.
async fn one(db: &Database, count: usize, time: Duration) -> anyhow::Result<[f64; 4]> {
    let before = process::memory()?;
    let running = Running::start(db, host::config(guest::CATCH_UP, count, "nothing")).await?;
    let mebibytes = (process::memory()? - before) / count as f64;
    let end = db.number("SELECT max(global_position) FROM eventfabric.events").await?;
    host::until(db, host::CHECKPOINTS, end * count as i64).await?;
    let transactions = "SELECT xact_commit + xact_rollback FROM pg_stat_database
                        WHERE datname = current_database()";
    // What the catching up leaves behind is no part of it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (own, server, done) =
        (process::own()?, process::server(db).await?, db.number(transactions).await?);
    tokio::time::sleep(time).await;
    let percent = |time_on: Duration| 100.0 * time_on.as_secs_f64() / time.as_secs_f64();
    let cost = [
        percent(process::own()?.saturating_sub(own)),
        percent(process::server(db).await?.saturating_sub(server)),
        (db.number(transactions).await? - done) as f64 / time.as_secs_f64(),
        mebibytes,
    ];
    running.stop().await?;
    Ok(cost)
}

//! What a quiet projection has left beside one that uses up all that it may, again and again.
//!
//! The noisy one keeps one core busy, in the host or in the server. What is left by fair sharing is the other
//! cores: all of the rate where the quiet one needs no more than these when it is alone, and less in
//! proportion where it does. Any second projection costs the first one something, so it is also measured beside
//! one that does nothing, and beside one that does as much as itself.

use std::time::{Duration, Instant};

use eventfabric::plugin::PluginLimits;

use crate::host::{self, Running};
use crate::place::Database;
use crate::table::{Row, compare, median};
use crate::{Bench, cores, guest, process, week};

/// How long the noisy one may go on each time.
const TURN: Duration = Duration::from_secs(1);

/// What should come of what is left.
const GOAL: f64 = 0.9;

const QUIET: &str = "carriers execute";
const IDLE: &str = "beside one that does nothing";
const EQUAL: &str = "beside its like";
const BESIDE: [(&str, &str); 5] = [
    (IDLE, "nothing"),
    (EQUAL, QUIET),
    ("beside an endless loop", "loop"),
    ("beside endless SQL", "endless sql"),
    ("beside hunger for memory", "memory"),
];

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut table = Vec::new();
    for (mode, guest) in [("catch-up", guest::CATCH_UP), ("async", guest::ASYNC)] {
        let events = bench.events() / 2;
        let (alone, beside) = (
            bench.place.database(&format!("{guest}_alone")).await?,
            bench.place.database(&format!("{guest}_beside")).await?,
        );
        for (db, count) in [(&alone, 1), (&beside, 2)] {
            week::fill(db, events).await?;
            host::install(db, &bench.guests, guest, count).await?;
        }
        let (mut rates, mut used) = ([const { Vec::new() }; BESIDE.len() + 1], Vec::new());
        for _ in 0..bench.rounds() {
            let (rate, cores) = one(&alone, guest, None, events).await?;
            rates[0].push(rate);
            used.push(cores);
            for ((_, way), rates) in BESIDE.iter().zip(&mut rates[1..]) {
                rates.push(one(&beside, guest, Some(way), events).await?.0);
            }
        }
        let case = format!("{mode}, {QUIET}, {events} events");
        let names = std::iter::once("alone").chain(BESIDE.iter().map(|(name, _)| *name));
        let mut rows: Vec<Row> = names
            .zip(rates)
            .map(|(name, rates)| Row::new(&case, name, "events/s", rates))
            .collect();
        let left = ((cores() as f64 - 1.0) / median(&used)).min(1.0);
        for (name, _) in BESIDE {
            let noisy = name != IDLE && name != EQUAL;
            compare(&mut rows, name, "alone", noisy.then_some(GOAL * left));
            if noisy {
                compare(&mut rows, name, IDLE, None);
                compare(&mut rows, name, EQUAL, None);
            }
        }
        table.append(&mut rows);
        table.push(Row::new(&case, "alone, host and server", "cores", used));
        alone.remove().await?;
        beside.remove().await?;
    }
    Ok(table)
}

/// Events a second of the quiet one, and how many cores host and server have used meanwhile.
async fn one(
    db: &Database,
    guest: &str,
    other: Option<&str>,
    events: i64,
) -> anyhow::Result<(f64, f64)> {
    let quiet = guest::name(guest, 0);
    db.execute(&format!(
        "TRUNCATE {quiet}.carriers, eventfabric.outbox, eventfabric.projection_retries,
                  eventfabric.projection_parked;
         DELETE FROM eventfabric.projection_checkpoints;
         UPDATE eventfabric.projections SET state = 'running', last_error = NULL;
         INSERT INTO eventfabric.outbox (global_position, tenant_id)
         SELECT global_position, tenant_id FROM eventfabric.events ORDER BY global_position"
    ))
    .await?;
    db.execute("VACUUM ANALYZE eventfabric.outbox").await?;
    db.execute("CHECKPOINT").await?;
    let mut config = host::config(guest, 1 + usize::from(other.is_some()), QUIET);
    if let Some(way) = other {
        let other = guest::name(guest, 1);
        let way = [("way".to_owned(), way.to_owned())];
        config.plugins.insert(other.clone(), std::sync::Arc::new(way.into()));
        let limits = PluginLimits { batch: Some(TURN), ..PluginLimits::default() };
        config.limits.plugin.insert(other, limits);
    }
    // It goes on for as long as the other one works.
    let (catch_up, queue) = (&mut config.runner.catch_up, &mut config.runner.r#async);
    (catch_up.stop_after, catch_up.max_attempts) = (u32::MAX, u32::MAX);
    (queue.stop_after, queue.max_attempts, queue.max_retries) = (u32::MAX, i32::MAX, i32::MAX);
    for backoff in [&mut catch_up.backoff, &mut queue.backoff] {
        backoff.cap = backoff.base;
    }
    let running = Running::start(db, config).await?;
    let progress = format!(
        "SELECT sum(departed + arrived + diverted + cancelled)::bigint FROM {quiet}.carriers"
    );
    let (own, server, start) = (process::own()?, process::server(db).await?, Instant::now());
    let rate = host::rate(db, &progress, events).await?;
    let used =
        process::own()?.saturating_sub(own) + process::server(db).await?.saturating_sub(server);
    let cores = used.as_secs_f64() / start.elapsed().as_secs_f64();
    running.stop().await?;
    Ok((rate, cores))
}

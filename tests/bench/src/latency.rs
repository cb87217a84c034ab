//! (e) From the end of an append to the moment at which its event is visible in a read model, at a
//! steady rate that leaves the host time to sleep. What is appended in the first second meets a host that has
//! just begun (no connection is open, no statement known), and is left out.
//!
//! A trigger on the read model's table sends the position of each event by NOTIFY: the server hands
//! that out once the batch has been committed, and a listener needs no polling that would disturb.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use eventfabric::event::{ExpectedVersion, StreamId};
use eventfabric::store::EventStore;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::task::JoinSet;

use crate::append::departure;
use crate::host::{self, Running};
use crate::place::Database;
use crate::table::{Row, within};
use crate::{Bench, guest};

/// Appends a second, by so many callers in turns.
const RATE: u32 = 200;
const CALLERS: u32 = 8;

/// How long the rate has to be steady before it counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// How long the last event may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut modes = Vec::new();
    for (mode, guest) in [("catch-up", guest::CATCH_UP), ("async", guest::ASYNC)] {
        let db = bench.place.database(&format!("latency_{}", guest)).await?;
        host::install(&db, &bench.guests, guest, 1).await?;
        let schema = guest::name(guest, 0);
        db.execute(&format!(
            "CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
             $$BEGIN PERFORM pg_catalog.pg_notify('visible', NEW.position::text); RETURN NULL; END$$;
             CREATE TRIGGER tell AFTER INSERT ON {schema}.seen
             FOR EACH ROW EXECUTE FUNCTION public.tell()"
        ))
        .await?;
        modes.push((mode, guest, db, [const { Vec::new() }; 4]));
    }
    let time = if bench.quick { Duration::from_secs(5) } else { Duration::from_secs(20) };
    for _ in 0..3 {
        for (_, guest, db, figures) in &mut modes {
            let mut latencies = one(db, guest, time).await?;
            latencies.sort();
            for (figures, part) in figures.iter_mut().zip([0.5, 0.99, 0.999, 1.0]) {
                let place = ((latencies.len() as f64 * part).ceil() as usize).max(1) - 1;
                figures.push(latencies[place].as_secs_f64() * 1000.0);
            }
        }
    }
    let mut table = Vec::new();
    for (mode, _, db, figures) in modes {
        for (part, figures) in ["p50", "p99", "p99.9", "longest"].into_iter().zip(figures) {
            let mut row = Row::new(&format!("{mode}, {RATE} events/s"), part, "ms", figures);
            if part == "p99" {
                within(&mut row, 10.0);
            }
            table.push(row);
        }
        db.remove().await?;
    }
    Ok(table)
}

/// The latency of each event.
async fn one(db: &Database, guest: &str, time: Duration) -> anyhow::Result<Vec<Duration>> {
    let mut config = host::config(guest, 1, "seen");
    config.group_commit = false;
    let running = Running::start(db, config).await?;
    let listening = PgPoolOptions::new().max_connections(1).connect_with(db.owner.clone()).await?;
    let mut listener = PgListener::connect_with(&listening).await?;
    listener.listen("visible").await?;
    let counts = Instant::now() + WARM_UP;
    let appending = tokio::spawn(append(running.host.store().clone(), WARM_UP + time));
    let mut visible = HashMap::<i64, Instant>::new();
    let mut committed: Option<Vec<(i64, Instant)>> = None;
    tokio::pin!(appending);
    while committed.as_ref().is_none_or(|committed| visible.len() < committed.len()) {
        tokio::select! {
            heard = tokio::time::timeout(WARM_UP + time + PATIENCE, listener.recv()) => {
                let heard = heard.context("an event has not become visible")??;
                visible.insert(heard.payload().parse()?, Instant::now());
            }
            done = &mut appending, if committed.is_none() => committed = Some(done??),
        }
    }
    running.stop().await?;
    let committed = committed.unwrap_or_default().into_iter();
    committed
        .filter(|(_, committed)| *committed >= counts)
        .map(|(position, committed)| {
            let visible = visible.get(&position).context("an event is not visible")?;
            // It can be seen before its writer has heard that it was committed.
            Ok(visible.saturating_duration_since(committed))
        })
        .collect()
}

/// Positions, and when their commits were known.
async fn append(store: EventStore, time: Duration) -> anyhow::Result<Vec<(i64, Instant)>> {
    let mut callers = JoinSet::new();
    let (start, every) = (tokio::time::Instant::now(), Duration::from_secs(1) / RATE);
    for caller in 0..CALLERS {
        let (store, stream) = (store.clone(), StreamId::new("Aircraft", format!("N{caller}")));
        callers.spawn(async move {
            let mut ticks = tokio::time::interval_at(start + every * caller, every * CALLERS);
            let mut committed = Vec::new();
            while start.elapsed() < time {
                ticks.tick().await;
                let event = vec![departure()?];
                let appended = store.append(stream.clone(), ExpectedVersion::Any, event).await?;
                committed.push((appended.events[0].position, Instant::now()));
            }
            anyhow::Ok(committed)
        });
    }
    let mut all = Vec::new();
    while let Some(committed) = callers.join_next().await {
        all.append(&mut committed??);
    }
    Ok(all)
}

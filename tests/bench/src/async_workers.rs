//! (c) Async delivery of a full outbox, by one worker and by four of one host.

use anyhow::Context as _;
use eventfabric::runner::RunnerConfig;
use serde_json::json;

use crate::host::{self, Running};
use crate::place::Database;
use crate::table::{Row, compare, in_turns};
use crate::{Bench, guest, limit, week};

/// How a full outbox is emptied.
#[derive(Clone, Copy)]
pub struct Way {
    /// How many of one host.
    pub workers: usize,
    /// The setting `transaction_mode`, where the host has it.
    pub transactions: Option<&'static str>,
}

/// Events that are delivered in batches. They take a second or two; of a quarter of that the start of the workers is
/// as much as their work.
const BATCHED: i64 = 50_000;

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let has_modes = runner(1, Some("row")).is_ok();
    let modes: &[_] = if has_modes { &[Some("batch"), Some("row")] } else { &[None] };
    let mut table = Vec::new();
    for &transactions in modes {
        let events = if transactions == Some("row") { bench.events() / 2 } else { BATCHED };
        let db = bench.place.database("async").await?;
        week::fill(&db, events).await?;
        host::install(&db, &bench.guests, guest::ASYNC, 1).await?;
        for handled in ["carriers merged", "carriers batch", "carriers execute"] {
            let ways = [
                ("1 worker", Way { workers: 1, transactions }),
                ("4 workers", Way { workers: 4, transactions }),
            ];
            let each =
                transactions.map_or_else(String::new, |mode| format!(", transaction a {mode}"));
            let case = format!("{handled}, {events} events{each}");
            let measure = async |way| one(&db, way, handled, events).await;
            let mut rows = in_turns(bench.rounds(), &ways, &case, "events/s", measure).await?;
            compare(&mut rows, "4 workers", "1 worker", Some(1.0));
            table.append(&mut rows);
        }
        db.remove().await?;
    }
    Ok(table)
}

fn runner(workers: usize, transactions: Option<&str>) -> serde_json::Result<RunnerConfig> {
    let mut queue = json!({ "workers": workers });
    if let Some(mode) = transactions {
        queue["transaction_mode"] = mode.into();
    }
    serde_json::from_value(json!({ "async": queue }))
}

/// Empties a full outbox, and sees that every event was applied once.
pub async fn one(db: &Database, way: Way, handled: &str, events: i64) -> anyhow::Result<f64> {
    let name = guest::name(guest::ASYNC, 0);
    db.execute(&format!(
        "TRUNCATE {name}.carriers; TRUNCATE eventfabric.outbox;
         INSERT INTO eventfabric.outbox (global_position, tenant_id)
         SELECT global_position, tenant_id FROM eventfabric.events ORDER BY global_position"
    ))
    .await?;
    db.execute("VACUUM ANALYZE eventfabric.outbox").await?;
    db.execute("CHECKPOINT").await?;
    let mut config = host::config(guest::ASYNC, 1, handled);
    config.runner = runner(way.workers, way.transactions).context("the runner's settings")?;
    let running = Running::start(db, config).await?;
    let progress = format!(
        "SELECT sum(departed + arrived + diverted + cancelled)::bigint FROM {name}.carriers"
    );
    let rate = host::rate(db, &progress, events).await?;
    running.stop().await?;
    let made = db.digest(&format!("{name}.carriers")).await?;
    let wanted = db.digest(&limit::wanted("carriers")).await?;
    anyhow::ensure!(made == wanted, "carriers is not what it should be");
    Ok(rate)
}

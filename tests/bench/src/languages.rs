//! The plugin `carriers` in every language: its size, its loading, a batch, and deliveries a second.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use eventfabric::db::Tx;
use eventfabric::plugin::{HandleStats, Limits, Runtime};
use eventfabric::runner::{Host, HostConfig, deploy};
use eventfabric::store::{LogFilter, log_page};

use crate::host::{self, Running};
use crate::place::Database;
use crate::table::{Row, compare, median};
use crate::{Bench, limit, plugin, week};

/// The projection's name, in every language.
const NAME: &str = "carriers";
/// Events of a batch.
const BATCH: i64 = 500;
/// A batch is handled so often; the median counts.
const REPEATS: usize = 40;

/// A language and its component.
#[derive(Clone)]
pub struct Language {
    name: String,
    file: PathBuf,
}

/// `LANGUAGE=FILE`
impl std::str::FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = text.split_once('=').ok_or("say LANGUAGE=FILE")?;
        Ok(Self { name: name.to_owned(), file: file.into() })
    }
}

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let db = bench.place.database("languages").await?;
    let events = bench.events();
    week::fill(&db, events).await?;
    let mut table = Vec::new();
    for language in &bench.languages {
        table.append(&mut alone(bench, &db, language).await?);
    }
    let case = format!("{NAME}, async, {events} events");
    let mut rates = vec![Vec::new(); bench.languages.len()];
    for _ in 0..bench.rounds() {
        for (language, rates) in bench.languages.iter().zip(&mut rates) {
            rates.push(deliver(&db, language, events).await?);
        }
    }
    let named = bench.languages.iter().zip(rates);
    let mut rows: Vec<Row> =
        named.map(|(language, rates)| Row::new(&case, &language.name, "events/s", rates)).collect();
    if let Some((first, others)) = bench.languages.split_first() {
        for language in others {
            compare(&mut rows, &language.name, &first.name, Some(0.33));
        }
    }
    table.append(&mut rows);
    db.remove().await?;
    Ok(table)
}

fn config() -> HostConfig {
    host::config(NAME, 0, "")
}

fn bytes(file: &Path) -> anyhow::Result<Arc<[u8]>> {
    Ok(std::fs::read(file).with_context(|| file.display().to_string())?.into())
}

async fn install(db: &Database, language: &Language) -> anyhow::Result<()> {
    let host = Host::open(db.owner.clone(), config(), None).await?;
    deploy(host.registry(), bytes(&language.file)?, "the benchmark", 0).await?;
    host.close().await;
    Ok(())
}

/// What does not depend on the other languages.
async fn alone(bench: &Bench, db: &Database, language: &Language) -> anyhow::Result<Vec<Row>> {
    let bytes = bytes(&language.file)?;
    let row = |way: &str, unit, rounds| Row::new(&language.name, way, unit, rounds);
    let size = vec![bytes.len() as f64 / 1e3];
    let without = Runtime::new(None, Limits::default())?;
    let compiled = without.load(bytes.clone()).await?.compile_time.as_secs_f64();
    let with = Runtime::new(config().cache_dir, Limits::default())?;
    with.load(bytes.clone()).await?;
    let mut cached = Vec::new();
    for _ in 0..bench.rounds() {
        cached.push(with.load(bytes.clone()).await?.compile_time.as_secs_f64() * 1e3);
    }
    let mut reloaded = reloads(bench, db, language, &with, &bytes).await?;
    install(db, language).await?;
    let (mut made, mut inside, mut sql, mut memory) = (vec![], vec![], vec![], vec![]);
    for _ in 0..bench.rounds() {
        let batches = batches(db).await?;
        let of =
            |part: fn(&HandleStats) -> f64| median(&batches.iter().map(part).collect::<Vec<_>>());
        made.push(of(|it| it.instantiate.as_secs_f64() * 1e6));
        let events = BATCH as f64;
        inside.push(of(|it| it.call.saturating_sub(it.sql).as_secs_f64() * 1e6) / events);
        sql.push(of(|it| it.sql.as_secs_f64() * 1e6) / events);
        memory.push(of(|it| it.memory as f64) / f64::from(1 << 20));
    }
    let mut table = vec![
        row("size", "kB", size),
        row("compiled", "s", vec![compiled]),
        row("loaded from the cache", "ms", cached),
        row("instance made", "µs", made),
        row("in the plugin", "µs/event", inside),
        row("in SQL", "µs/event", sql),
        row("memory after a batch", "MiB", memory),
    ];
    table.append(&mut reloaded);
    Ok(table)
}

/// Three versions by turns, all compiled before: every other one is laid into the folder, where a file that
/// is what it was is no new version.
async fn reloads(
    bench: &Bench,
    db: &Database,
    language: &Language,
    runtime: &Runtime,
    bytes: &[u8],
) -> anyhow::Result<Vec<Row>> {
    let version = |number: u8| -> Arc<[u8]> {
        // A custom section of two bytes: the length of its name, the name.
        [bytes, &[0, 2, 1, number]].concat().into()
    };
    let versions = [version(b'a'), version(b'b'), version(b'c')];
    for version in &versions {
        runtime.load(version.clone()).await?;
    }
    let mut turns = versions.iter().cycle();
    let next = || turns.next().cloned().context("there is a next one");
    plugin::reloads(bench, db, config(), NAME, &language.name, versions.len(), next).await
}

/// A batch of 500 events, rolled back each time.
async fn batches(db: &Database) -> anyhow::Result<Vec<HandleStats>> {
    let host = Host::open(db.owner.clone(), config(), None).await?;
    let active = host.registry().snapshot();
    let active = active.current(NAME).context("the plugin is active")?;
    let pool = host.store().pool();
    let types = active.plugin.description.event_types.clone();
    let filter = LogFilter { types, ..LogFilter::default() };
    let events = log_page(pool, &filter, BATCH).await?.events;
    anyhow::ensure!(events.len() == BATCH as usize, "there are {} events only", events.len());
    let mut all = Vec::new();
    for _ in 0..REPEATS {
        let tx = Tx::begin(pool, Duration::from_secs(10)).await?;
        let (tx, handled) =
            active.plugin.handle(tx, &active.sql, &events, &Arc::new(BTreeMap::new())).await;
        all.push(handled.map_err(|failure| anyhow::anyhow!("{}", failure.message))?);
        tx.context("the transaction is lost")?.rollback().await?;
    }
    host.close().await;
    Ok(all)
}

/// Empties a full outbox by one worker, and sees that every event was applied once.
async fn deliver(db: &Database, language: &Language, events: i64) -> anyhow::Result<f64> {
    install(db, language).await?;
    db.execute(&format!(
        "TRUNCATE {NAME}.carriers; TRUNCATE eventfabric.outbox;
         INSERT INTO eventfabric.outbox (global_position, tenant_id)
         SELECT global_position, tenant_id FROM eventfabric.events ORDER BY global_position"
    ))
    .await?;
    db.execute("VACUUM ANALYZE eventfabric.outbox").await?;
    db.execute("CHECKPOINT").await?;
    let running = Running::start(db, config()).await?;
    let progress = format!(
        "SELECT sum(departed + arrived + diverted + cancelled)::bigint FROM {NAME}.carriers"
    );
    let rate = host::rate(db, &progress, events).await?;
    running.stop().await?;
    let made = db.digest(&format!("{NAME}.carriers")).await?;
    let wanted = db.digest(&limit::wanted("carriers")).await?;
    anyhow::ensure!(made == wanted, "carriers is not what it should be");
    Ok(rate)
}

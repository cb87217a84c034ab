//! (f) What a plugin costs: compiling, a hot reload, instances, calls and crossings.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use eventfabric::db::Tx;
use eventfabric::plugin::{HandleStats, Limits, Runtime};
use eventfabric::runner::{Host, HostConfig, deploy};
use eventfabric::store::{LogFilter, log_page};

use crate::host::{self, Running};
use crate::place::Database;
use crate::table::{Row, median};
use crate::{Bench, guest, week};

/// Events of a batch.
const BATCH: i64 = 500;
/// A batch is handled so often; the median counts.
const REPEATS: usize = 40;
/// Plugins of a host that starts.
const PLUGINS: usize = 100;

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let db = bench.place.database("plugin").await?;
    week::fill(&db, 10_000).await?;
    host::install(&db, &bench.guests, guest::CATCH_UP, 1).await?;
    let mut table = compile(bench).await?;
    table.extend(reload(bench, &db).await?);
    table.push(start_up(bench).await?);
    table.extend(calls(bench, &db).await?);
    db.remove().await?;
    Ok(table)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Code of a version that was never seen: a custom section changes the hash.
fn version(dir: &Path) -> anyhow::Result<Arc<[u8]>> {
    let mut bytes = guest::numbered(dir, guest::CATCH_UP, 0)?.to_vec();
    let chance = uuid::Uuid::new_v4().to_string();
    let chance = &chance.as_bytes()[..16];
    bytes.extend([0, 21, 4]);
    bytes.extend(b"test");
    bytes.extend(chance);
    Ok(bytes.into())
}

async fn compile(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let bytes = guest::numbered(&bench.guests, guest::CATCH_UP, 0)?;
    let cache = host::config(guest::CATCH_UP, 1, "nothing").cache_dir;
    let without = Runtime::new(None, Limits::default())?;
    let with = Runtime::new(cache, Limits::default())?;
    with.load(bytes.clone()).await?;
    let (mut compiled, mut cached) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds() {
        compiled.push(milliseconds(without.load(bytes.clone()).await?.compile_time));
        cached.push(milliseconds(with.load(bytes.clone()).await?.compile_time));
    }
    Ok(vec![
        Row::new("loading", "compiled", "ms", compiled),
        Row::new("loading", "from the cache", "ms", cached),
    ])
}

/// New versions while the host runs: handed to it, and laid into its folder.
async fn reload(bench: &Bench, db: &Database) -> anyhow::Result<Vec<Row>> {
    let config = host::config(guest::CATCH_UP, 1, "carriers merged");
    let name = guest::name(guest::CATCH_UP, 0);
    reloads(bench, db, config, &name, "hot reload", 0, || version(&bench.guests)).await
}

/// Versions of a plugin by turns, handed to a running host, and laid into its folder. The first `warm_up` rounds
/// are told apart: what a host has not met before is stored, and its file has to settle.
pub async fn reloads(
    bench: &Bench,
    db: &Database,
    config: HostConfig,
    name: &str,
    case: &str,
    warm_up: usize,
    mut next: impl FnMut() -> anyhow::Result<Arc<[u8]>>,
) -> anyhow::Result<Vec<Row>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench-plugins");
    // What another line has left there would be deployed, too.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(name).with_extension("wasm");
    std::fs::write(&file, next()?)?;
    let running = Running::start_with(db, config, Some(folder)).await?;
    let registry = running.host.registry().clone();
    let active = || registry.snapshot().current(name).map(|active| active.generation);
    let (mut handed, mut laid) = (Vec::new(), Vec::new());
    let mut first = Vec::new();
    while !running.host.is_running() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for round in 0..warm_up + if bench.quick { 20 } else { 100 } {
        let bytes = next()?;
        let deployed = deploy(&registry, bytes, "the benchmark", 100).await?;
        if round >= warm_up {
            handed.push(milliseconds(deployed.took));
        }
        let bytes = next()?;
        let before = active();
        let mut changes = registry.changes();
        let start = Instant::now();
        let beside = file.with_extension("part");
        std::fs::write(&beside, bytes)?;
        std::fs::rename(&beside, &file)?;
        while active() == before {
            let wait = tokio::time::timeout(Duration::from_secs(30), changes.changed());
            wait.await.context("the new version has not become active")??;
        }
        let times = if round < warm_up { &mut first } else { &mut laid };
        times.push(milliseconds(start.elapsed()));
    }
    running.stop().await?;
    let slowest = [percentile(&handed, 0.99), percentile(&laid, 0.99)];
    let mut rows = match first.is_empty() {
        true => Vec::new(),
        false => vec![Row::new(case, "laid into the folder for the first time", "ms", first)],
    };
    rows.extend([
        Row::new(case, "handed to the host, to active", "ms", handed),
        Row::new(case, "the same, 99th percentile", "ms", vec![slowest[0]]),
        Row::new(case, "laid into the folder, to active", "ms", laid),
        Row::new(case, "the same, 99th percentile", "ms", vec![slowest[1]]),
    ]);
    Ok(rows)
}

fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// From the start of a host to the moment when all of its plugins can run, which come from the cache.
async fn start_up(bench: &Bench) -> anyhow::Result<Row> {
    let db = bench.place.database("start_up").await?;
    host::install(&db, &bench.guests, guest::CATCH_UP, PLUGINS).await?;
    let mut times = Vec::new();
    for _ in 0..bench.rounds() {
        let config = host::config(guest::CATCH_UP, PLUGINS, "nothing");
        let start = Instant::now();
        let host = Host::open(db.owner.clone(), config, None).await?;
        let snapshot = host.registry().snapshot();
        let loaded = (0..PLUGINS)
            .filter(|number| snapshot.current(&guest::name(guest::CATCH_UP, *number)).is_some())
            .count();
        anyhow::ensure!(loaded == PLUGINS, "{loaded} of {PLUGINS} plugins are loaded");
        times.push(milliseconds(start.elapsed()));
        host.close().await;
    }
    db.remove().await?;
    Ok(Row::new("start of a host", &format!("with {PLUGINS} plugins of the cache"), "ms", times))
}

/// A batch of 500 events, rolled back each time.
async fn calls(bench: &Bench, db: &Database) -> anyhow::Result<Vec<Row>> {
    let config = host::config(guest::CATCH_UP, 1, "nothing");
    let host = Host::open(db.owner.clone(), config, None).await?;
    let ways = ["nothing", "carriers execute", "carriers batch", "carriers merged"];
    let mut instances = Vec::new();
    let mut inside = vec![Vec::new(); ways.len()];
    let mut sql = vec![Vec::new(); ways.len()];
    for _ in 0..bench.rounds() {
        for (way, (inside, sql)) in ways.iter().zip(inside.iter_mut().zip(&mut sql)) {
            let batches = batches(&host, way).await?;
            let of = |part: fn(&HandleStats) -> Duration| {
                median(&batches.iter().map(|it| part(it).as_secs_f64() * 1e6).collect::<Vec<_>>())
            };
            instances.push(of(|it| it.instantiate));
            inside.push(of(|it| it.call.saturating_sub(it.sql)) / BATCH as f64);
            sql.push(of(|it| it.sql) / BATCH as f64);
        }
    }
    host.close().await;
    let crossings: Vec<f64> =
        inside[1].iter().zip(&inside[0]).map(|(with, without)| with - without).collect();
    let mut table = vec![Row::new("instance", "made", "µs", instances)];
    for (way, (inside, sql)) in ways.iter().zip(inside.into_iter().zip(sql)) {
        table.push(Row::new(&format!("handle, {way}"), "in the plugin", "µs/event", inside));
        if *way != "nothing" {
            table.push(Row::new(&format!("handle, {way}"), "in SQL", "µs/event", sql));
        }
    }
    table.push(Row::new("call of a host function", "crossing and back", "µs", crossings));
    Ok(table)
}

async fn batches(host: &Host, way: &str) -> anyhow::Result<Vec<HandleStats>> {
    let active = host.registry().snapshot();
    let active = active.current(&guest::name(guest::CATCH_UP, 0)).context("the guest is active")?;
    let pool = host.store().pool();
    let events = log_page(pool, &LogFilter::default(), BATCH).await?.events;
    let config = Arc::new(BTreeMap::from([("way".to_owned(), way.to_owned())]));
    let mut all = Vec::new();
    for _ in 0..REPEATS {
        let tx = Tx::begin(pool, Duration::from_secs(10)).await?;
        let (tx, handled) = active.plugin.handle(tx, &active.sql, &events, &config).await;
        all.push(handled.map_err(|failure| anyhow::anyhow!("{}", failure.message))?);
        tx.context("the transaction is lost")?.rollback().await?;
    }
    Ok(all)
}

//! `soak`: many deliveries on a PostgreSQL of its own with the settings that it has by default. Prints
//! how it stands after each round, and fails when something has grown.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use eventfabric::store::migrate;
use eventfabric_soak::{Sample, Soak, judge};
use sqlx::postgres::PgPoolOptions;

#[derive(Parser)]
#[command(about = "Delivers many events, and shows that nothing is left behind")]
struct Arguments {
    /// Deliveries: an event to an async and a catch-up projection is two
    #[arg(long, default_value_t = 1_000_000)]
    deliveries: i64,
    /// Rounds, after each of which it is looked
    #[arg(long, default_value_t = 10)]
    rounds: i64,
    /// The folder of the built guests
    #[arg(long)]
    guests: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let target = eventfabric_testdb::target_dir();
    let dir = eventfabric_embedded::reachable(&target.join("soak-postgres"))?;
    eventfabric_embedded::stop(&dir).await?;
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    }
    let server = eventfabric_embedded::start(&dir).await?;
    let (owner, database) = (server.options(), server.options());
    let database = database.get_database().unwrap_or("eventfabric");
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(owner.clone());
    migrate::migrate(&pool).await?;
    pool.close().await;
    let soak = Soak {
        deliveries: arguments.deliveries,
        rounds: arguments.rounds,
        superuser: server.administrator().database(database),
        owner,
        guests: arguments.guests,
        cache_dir: Some(target.join("soak-cache")),
    };
    heading();
    let begun = Instant::now();
    let samples = soak.run(|sample| line(sample, begun)).await;
    server.stop().await?;
    let findings = judge(&samples?);
    for finding in &findings {
        println!("found: {finding}");
    }
    std::fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn heading() {
    println!("sizes in KiB after a vacuum; pages of a claim of 500 rows before and after it");
    println!(
        "{:>10} {:>8} {:>7} {:>6} {:>6} {:>7} {:>7} {:>11} {:>8} {:>8} {:>8}",
        "deliveries",
        "seconds",
        "dead",
        "before",
        "after",
        "outbox",
        "retries",
        "checkpoints",
        "streams",
        "hot chk",
        "hot str"
    );
}

fn line(sample: &Sample, begun: Instant) {
    let size = |table| sample.bytes[table] / 1024;
    println!(
        "{:>10} {:>8} {:>7} {:>6} {:>6} {:>7} {:>7} {:>11} {:>8} {:>7}% {:>7}%",
        sample.deliveries,
        begun.elapsed().as_secs(),
        sample.dead,
        sample.claim_before,
        sample.claim,
        size("outbox"),
        size("projection_retries"),
        size("projection_checkpoints"),
        size("stream_versions"),
        sample.hot["projection_checkpoints"],
        sample.hot["stream_versions"]
    );
}

//! What processes cost, as Linux counts it.

use std::time::Duration;

use crate::place::Database;

/// Ticks of a second in `/proc`: fixed on Linux for programs, whatever the kernel's own rate.
const TICKS: f64 = 100.0;
const PAGE: f64 = 4096.0;

/// Memory of this process, in MiB.
pub fn memory() -> anyhow::Result<f64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = pages.split_whitespace().nth(1).unwrap_or_default().parse()?;
    Ok(pages * PAGE / 1024.0 / 1024.0)
}

/// Time on a processor of this process.
pub fn own() -> anyhow::Result<Duration> {
    of("self")
}

/// The same of a database's connections and of the server's own processes.
pub async fn server(db: &Database) -> anyhow::Result<Duration> {
    let pids: Vec<i32> = sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() OR datname IS NULL",
    )
    .fetch_all(&db.eyes)
    .await?;
    // One that has ended meanwhile counts no more.
    Ok(pids.iter().filter_map(|pid| of(&pid.to_string()).ok()).sum())
}

fn of(pid: &str) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before may hold anything, but ends with the last parenthesis.
    let numbers = stat.rsplit(')').next().unwrap_or_default();
    let mut numbers = numbers.split_whitespace().skip(11);
    let mut next = || numbers.next().unwrap_or_default().parse::<f64>();
    Ok(Duration::from_secs_f64((next()? + next()?) / TICKS))
}

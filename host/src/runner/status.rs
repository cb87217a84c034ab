//! How the projections stand, as the database has it, whoever runs them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::plugin::{Cost, Paused};
use crate::store::tenants;

/// How one projection stands.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct ProjectionStatus {
    /// The projection.
    pub name: String,
    /// How it is fed.
    pub mode: String,
    /// The SHA-256 of the active version.
    pub version: String,
    /// `running`, `paused` or `failed`.
    pub state: String,
    /// The error that stopped it.
    pub last_error: Option<String>,
    /// Since when, by whom and why no host runs it.
    pub paused: Option<Paused>,
    /// Catch-up: everything up to here is handled.
    pub position: Option<i64>,
    /// The greatest position of the log that is visible.
    pub log_end: i64,
    /// Catch-up: visible events after its checkpoints, of whatever type; counted up to a million a
    /// tenant. Async: rows of the outbox, its own retries, and the positions of older events that it is
    /// still to be given.
    pub behind: i64,
    /// How old the oldest of them is, in seconds: by the time of the event, or for an async one since it
    /// was queued. 0 where there is none.
    pub lag_seconds: f64,
    /// Async: events that wait for another attempt.
    pub retries: i64,
    /// Async: events that were given up.
    pub dead_letters: i64,
    /// Catch-up: in how many parts its events are handled at the same time.
    pub shards: i32,
    /// Catch-up: the hosts that have moved its checkpoints within the last minute, as machine:process.
    pub owners: Vec<String>,
    /// A rebuild of it that has begun.
    pub rebuild: Option<RebuildStatus>,
    /// What its active version has cost the hosts that run it, or have run it within the last hour.
    pub cost: Option<Cost>,
}

/// How a rebuild stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RebuildStatus {
    /// Somebody is at it; otherwise it waits to be continued.
    pub running: bool,
    /// The SHA-256 of the version that fills the new tables.
    pub version: String,
    /// It began after this position.
    pub starts_after: i64,
    /// How far the slowest of its parts has come.
    pub position: i64,
    /// Where it has to come to, as far as is known.
    pub target: i64,
    /// In how many parts.
    pub shards: i32,
    /// Events that were handed to the plugin.
    pub events: i64,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Why it ended the last time.
    pub last_error: Option<String>,
}

impl RebuildStatus {
    /// How much of the log was read, in percent.
    pub fn percent(&self) -> i64 {
        let whole = (self.target - self.starts_after).max(1);
        ((self.position - self.starts_after) * 100 / whole).clamp(0, 100)
    }
}

/// What there is still to do in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    /// Events and rows that wait, over all projections.
    pub behind: i64,
    /// How many projections there are.
    pub projections: usize,
    /// Projections that have stopped.
    pub failed: usize,
}

/// How all projections stand.
pub async fn statuses(pool: &PgPool) -> sqlx::Result<Vec<ProjectionStatus>> {
    look(pool, None).await
}

/// How one projection stands, without counting what the others have to do.
pub async fn status(pool: &PgPool, name: &str) -> sqlx::Result<Option<ProjectionStatus>> {
    Ok(look(pool, Some(name)).await?.pop())
}

async fn look(pool: &PgPool, name: Option<&str>) -> sqlx::Result<Vec<ProjectionStatus>> {
    let tenants = tenants(pool).await?;
    let rows =
        sqlx::query_file!("src/runner/sql/statuses.sql", &tenants, name).fetch_all(pool).await?;
    Ok(rows
        .into_iter()
        .map(|row| ProjectionStatus {
            behind: match row.mode.as_str() {
                "async" => row.queued + row.retries + row.backfill,
                _ => row.behind,
            },
            state: match row.paused_at {
                Some(_) => "paused".to_owned(),
                None => row.state,
            },
            paused: row.paused_at.map(|at| Paused {
                at,
                by: row.paused_by,
                reason: row.pause_reason,
            }),
            rebuild: row.rebuild_started_at.map(|started_at| RebuildStatus {
                running: row.rebuild_running,
                version: row.rebuild_version.unwrap_or_default(),
                starts_after: row.rebuild_starts_after.unwrap_or(0),
                position: row.rebuild_position.unwrap_or(0),
                target: row.rebuild_target.unwrap_or(0),
                shards: row.rebuild_shards.unwrap_or(1),
                events: row.rebuild_events.unwrap_or(0),
                started_at,
                last_error: row.rebuild_error,
            }),
            cost: row.calls.map(|calls| Cost {
                events: row.events.cast_unsigned(),
                calls: calls.cast_unsigned(),
                failed_calls: row.failed_calls.cast_unsigned(),
                wasm_us: row.wasm_us.cast_unsigned(),
                sql_us: row.sql_us.cast_unsigned(),
                statements: row.statements.cast_unsigned(),
                rows_read: row.rows_read.cast_unsigned(),
                rows_written: row.rows_written.cast_unsigned(),
                bytes: row.bytes.cast_unsigned(),
            }),
            name: row.name,
            mode: row.mode,
            version: row.version,
            last_error: row.last_error,
            position: row.position,
            log_end: row.log_end,
            lag_seconds: row.lag_seconds,
            retries: row.retries,
            dead_letters: row.dead_letters,
            shards: row.shards,
            owners: row.owners,
        })
        .collect())
}

/// Events that a projection got through with between two looks, a second: those that have come, without
/// those that wait more than before. `None` when it is another projection, or no time has passed.
pub fn rate(before: &ProjectionStatus, after: &ProjectionStatus, time: Duration) -> Option<f64> {
    if before.name != after.name || time.is_zero() {
        return None;
    }
    let come = after.log_end - before.log_end;
    let handled = come - (after.behind - before.behind);
    Some(handled.max(0) as f64 / time.as_secs_f64())
}

/// What there is still to do.
pub async fn progress(pool: &PgPool) -> sqlx::Result<Progress> {
    let statuses = statuses(pool).await?;
    Ok(Progress {
        projections: statuses.len(),
        behind: statuses.iter().map(|status| status.behind).sum(),
        failed: statuses.iter().filter(|status| status.state == "failed").count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(name: &str, log_end: i64, behind: i64) -> ProjectionStatus {
        ProjectionStatus { name: name.to_owned(), log_end, behind, ..ProjectionStatus::default() }
    }

    #[test]
    fn the_rate_is_of_what_was_handled_and_not_of_what_has_come() {
        let time = Duration::from_secs(2);
        let rate_of = |before, after| rate(&before, &after, time);
        // 100 have come, and there is less to do by 60: 160 in 2 s.
        assert_eq!(rate_of(look("a", 1000, 500), look("a", 1100, 440)), Some(80.0));
        // 100 have come and all of them wait.
        assert_eq!(rate_of(look("a", 1000, 0), look("a", 1100, 100)), Some(0.0));
        assert_eq!(rate_of(look("a", 0, 0), look("b", 1, 0)), None);
        assert_eq!(rate(&look("a", 0, 0), &look("a", 1, 0), Duration::ZERO), None);
    }
}

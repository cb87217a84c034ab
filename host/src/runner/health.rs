//! How the delivery stands: what waits, for how long, how fast it goes, and what was given up.

use std::time::Instant;

use serde::Serialize;

use super::stall::paused;
use super::status::statuses;
use crate::plugin::{Paused, Registered};
use crate::store::{Backlog, EventStore, StoreError};

/// How the delivery of one database stands.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    /// What waits in the outbox, by topic and age, and the retries and dead letters by projection.
    pub outbox: Backlog,
    /// The projections, by name.
    pub projections: Vec<ProjectionHealth>,
    #[serde(skip)]
    at: Instant,
}

/// How one projection stands.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProjectionHealth {
    /// The projection.
    pub name: String,
    /// How it is fed.
    pub mode: String,
    /// `running`, `paused` or `failed`.
    pub state: &'static str,
    /// Why it does not run, or what is in its way.
    pub reason: Option<String>,
    /// Catch-up: everything up to here is handled.
    pub position: Option<i64>,
    /// Events that it has still to handle.
    pub behind: i64,
    /// How old the first of them is.
    pub lag_seconds: Option<f64>,
    /// Positions of the log that a catch-up projection has moved on, rows that an async one's outbox has
    /// got rid of, a second; known from the second look on, see [`Health::since`].
    pub rate: Option<f64>,
    /// Events that wait for another attempt.
    pub retries: i64,
    /// Those of them that are due.
    pub due: i64,
    /// Events that were given up.
    pub dead_letters: i64,
}

/// How the delivery stands.
///
/// # Errors
/// When the database can't be asked, or does not answer in time.
pub async fn health(store: &EventStore) -> Result<Health, StoreError> {
    let pool = store.pool();
    let at = Instant::now();
    let outbox = store.backlog(None).await?;
    let statuses = statuses(pool).await?;
    let due = sqlx::query_file!("src/runner/sql/due.sql").fetch_all(pool).await?;
    let projections = statuses.into_iter().map(|status| {
        let due = due.iter().find(|due| due.name == status.name);
        let failed = status.state == "failed";
        let (state, reason) = standing(status.paused.as_ref(), failed, status.last_error);
        ProjectionHealth {
            state,
            reason,
            lag_seconds: (status.behind > 0).then_some(status.lag_seconds),
            due: due.map_or(0, |due| due.due),
            name: status.name,
            mode: status.mode,
            position: status.position,
            behind: status.behind,
            rate: None,
            retries: status.retries,
            dead_letters: status.dead_letters,
        }
    });
    Ok(Health { outbox, projections: projections.collect(), at })
}

/// In which state a projection is, and why it does not run or what is in its way.
fn standing(
    pause: Option<&Paused>,
    failed: bool,
    error: Option<String>,
) -> (&'static str, Option<String>) {
    match pause {
        Some(pause) => {
            let why = paused(pause.at, pause.by.as_deref(), pause.reason.as_deref());
            ("paused", Some(why))
        }
        None if failed => ("failed", error),
        None => ("running", error),
    }
}

impl ProjectionHealth {
    /// The same in the state that a registry has read since.
    #[must_use]
    pub fn now(mut self, registered: &Registered) -> Self {
        let error = registered.last_error.clone();
        (self.state, self.reason) = standing(registered.paused.as_ref(), registered.failed, error);
        self
    }
}

impl Health {
    /// The same with the rates between an earlier look and this one: what a catch-up projection has
    /// moved on, what the outbox has got rid of.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        if seconds <= 0.0 {
            return self;
        }
        let delivered = self.outbox.delivered - earlier.outbox.delivered;
        for projection in &mut self.projections {
            let before = earlier.projections.iter().find(|before| before.name == projection.name);
            let moved = match (projection.position, before.and_then(|before| before.position)) {
                (Some(now), Some(before)) => Some(now - before),
                _ if projection.mode == "async" => Some(delivered),
                _ => None,
            };
            projection.rate = moved.map(|moved| moved.max(0) as f64 / seconds);
        }
        self
    }
}

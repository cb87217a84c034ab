//! How the projections stand, as the database has it, whoever runs them.

use sqlx::PgPool;

use crate::store::tenants;

/// How one projection stands.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ProjectionStatus {
    /// The projection.
    pub name: String,
    /// How it is fed.
    pub mode: String,
    /// The SHA-256 of the active version.
    pub version: String,
    /// `running` or `failed`.
    pub state: String,
    /// The error that stopped it.
    pub last_error: Option<String>,
    /// Catch-up: everything up to here is handled.
    pub position: Option<i64>,
    /// Catch-up: visible events after its checkpoints, of whatever type; counted up to a million a
    /// tenant. Async: rows of the outbox and its own retries.
    pub behind: i64,
    /// Async: events that wait for another attempt.
    pub retries: i64,
    /// Async: events that were given up.
    pub dead_letters: i64,
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
    let tenants = tenants(pool).await?;
    let rows = sqlx::query_file!("src/runner/sql/statuses.sql", &tenants).fetch_all(pool).await?;
    Ok(rows
        .into_iter()
        .map(|row| ProjectionStatus {
            behind: match row.mode.as_str() {
                "async" => row.queued + row.retries,
                _ => row.behind,
            },
            name: row.name,
            mode: row.mode,
            version: row.version,
            state: row.state,
            last_error: row.last_error,
            position: row.position,
            retries: row.retries,
            dead_letters: row.dead_letters,
        })
        .collect())
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

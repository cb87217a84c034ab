//! Events that one async projection could not handle yet. A row for each (projection, event), so
//! that its failure never repeats another projection's work.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::row::event_of;
use crate::event::Event;

/// An event to put aside for one projection.
#[derive(Debug, Clone)]
pub struct Aside {
    /// The row of the outbox that it came from.
    pub outbox_id: i64,
    /// The place of the event in the log.
    pub position: i64,
    /// Its tenant.
    pub tenant: String,
    /// Its topic.
    pub topic: Option<String>,
    /// Attempts so far.
    pub attempts: i32,
    /// Until the next one.
    pub delay: Duration,
    /// Why it failed; `None` when it was not tried.
    pub error: Option<String>,
}

/// A due retry that the transaction has locked, with its event.
#[derive(Debug, Clone)]
pub struct Retry {
    /// The row of the outbox that it came from.
    pub outbox_id: i64,
    /// Attempts so far.
    pub attempts: i32,
    /// The first failure.
    pub first_failed_at: DateTime<Utc>,
    /// The event. A dismissed one is not delivered.
    pub event: Event,
}

/// Puts events aside for one projection, in the transaction that acknowledges them for the others.
pub async fn put_aside(
    conn: &mut PgConnection,
    projection: &str,
    version: &str,
    events: &[Aside],
) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    sqlx::query_file!(
        "src/store/sql/retry_add.sql",
        projection,
        version,
        &events.iter().map(|e| e.outbox_id).collect::<Vec<_>>(),
        &events.iter().map(|e| e.position).collect::<Vec<_>>(),
        &events.iter().map(|e| e.tenant.clone()).collect::<Vec<_>>(),
        &events.iter().map(|e| e.topic.clone()).collect::<Vec<_>>() as &[Option<String>],
        &events.iter().map(|e| e.attempts).collect::<Vec<_>>(),
        &events.iter().map(|e| e.delay.as_secs_f64()).collect::<Vec<_>>(),
        &events.iter().map(|e| e.error.clone()).collect::<Vec<_>>() as &[Option<String>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Claims due retries of a projection; none when `generation` is no longer its activation.
pub async fn claim_retries(
    conn: &mut PgConnection,
    projection: &str,
    limit: i64,
    generation: i64,
) -> sqlx::Result<Vec<Retry>> {
    sqlx::query_file!("src/store/sql/retry_claim.sql", projection, limit, generation)
        .fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| {
            Ok(Retry {
                outbox_id: row.outbox_id,
                attempts: row.attempts,
                first_failed_at: row.first_failed_at,
                event: event_of!(row)?,
            })
        })
        .collect()
}

/// Takes handled events out of the retries.
pub async fn retry_done(
    conn: &mut PgConnection,
    projection: &str,
    positions: &[i64],
) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/sql/retry_done.sql", projection, positions).execute(conn).await?;
    Ok(())
}

/// Notes one more failed attempt.
pub async fn retry_later(
    conn: &mut PgConnection,
    projection: &str,
    position: i64,
    attempts: i32,
    delay: Duration,
    error: &str,
    version: &str,
) -> sqlx::Result<()> {
    sqlx::query_file!(
        "src/store/sql/retry_later.sql",
        projection,
        position,
        attempts,
        delay.as_secs_f64(),
        error,
        version
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How long until the next retry of a projection is due; zero when one is; `None` when there is
/// none.
pub async fn next_retry(
    executor: impl PgExecutor<'_>,
    projection: &str,
) -> sqlx::Result<Option<Duration>> {
    let row =
        sqlx::query_file!("src/store/sql/retry_next.sql", projection).fetch_one(executor).await?;
    Ok(row.seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}

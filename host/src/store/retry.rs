//! Events that one async projection could not handle yet. A row for each (projection, event), so
//! that its failure never repeats another projection's work; or, for those that it was not even handed, a row for
//! many, so that it costs the others next to nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::row::event_of;
use crate::event::{Event, StreamId};

/// Fewer events than this are not parked: rows of their own cost less than taking them apart again.
const PARKED: usize = 8;

/// An event to put aside for one projection.
#[derive(Debug, Clone)]
pub struct Aside {
    /// The row of the outbox that it came from; 0: it was read from the log.
    pub outbox_id: i64,
    /// The place of the event in the log.
    pub position: i64,
    /// Its stream.
    pub stream: StreamId,
    /// Its topic.
    pub topic: Option<String>,
    /// Attempts so far.
    pub attempts: i32,
    /// Until the next one.
    pub delay: Duration,
    /// Why it failed; `None` when it was not tried.
    pub error: Option<String>,
    /// It waits for something else than time: an earlier event of its stream, or the end of a
    /// [backfill](super::lock_backfill).
    pub held: bool,
}

/// What there is to try again for a projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The projection.
    pub projection: String,
    /// How long until the next retry is due; zero when one is; `None` when there is none.
    pub next: Option<Duration>,
    /// Some are held.
    pub held: bool,
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
        &events.iter().map(|e| e.stream.tenant.clone()).collect::<Vec<_>>(),
        &events.iter().map(|e| e.stream.aggregate.clone()).collect::<Vec<_>>(),
        &events.iter().map(|e| e.stream.id.clone()).collect::<Vec<_>>(),
        &events.iter().map(|e| e.topic.clone()).collect::<Vec<_>>() as &[Option<String>],
        &events.iter().map(|e| e.attempts).collect::<Vec<_>>(),
        &events.iter().map(|e| e.delay.as_secs_f64()).collect::<Vec<_>>(),
        &events.iter().map(|e| e.error.clone()).collect::<Vec<_>>() as &[Option<String>],
        &events.iter().map(|e| e.held).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// As [`put_aside`] for events that were not tried and wait for nothing but their projection: many of one tenant
/// become one row, which [`unpark`] makes retries of.
pub async fn park(
    conn: &mut PgConnection,
    projection: &str,
    version: &str,
    events: Vec<Aside>,
) -> sqlx::Result<()> {
    let mut tenants: BTreeMap<String, Vec<Aside>> = BTreeMap::new();
    for event in events {
        tenants.entry(event.stream.tenant.clone()).or_default().push(event);
    }
    let mut few = Vec::new();
    for (tenant, events) in tenants {
        if events.len() < PARKED {
            few.extend(events);
            continue;
        }
        sqlx::query_file!(
            "src/store/sql/park.sql",
            projection,
            tenant,
            version,
            &events.iter().map(|e| e.position).collect::<Vec<_>>(),
            &events.iter().map(|e| e.outbox_id).collect::<Vec<_>>(),
            &events.iter().map(|e| e.topic.clone()).collect::<Vec<_>>() as &[Option<String>],
        )
        .execute(&mut *conn)
        .await?;
    }
    put_aside(conn, projection, version, &few).await
}

/// Makes retries of what has been parked longest for a projection and nobody has in hand, of so many rows at most.
/// Answers how many events they were.
pub async fn unpark(conn: &mut PgConnection, projection: &str, rows: i64) -> sqlx::Result<i64> {
    let unparked = sqlx::query_file!("src/store/sql/unpark.sql", projection, rows);
    Ok(unparked.fetch_one(conn).await?.events)
}

/// Claims due retries of a projection; none when `generation` is no longer its activation. `from_log`:
/// only those that were read from the log, for a projection that is still on its way there.
pub async fn claim_retries(
    conn: &mut PgConnection,
    projection: &str,
    limit: i64,
    generation: i64,
    from_log: bool,
) -> sqlx::Result<Vec<Retry>> {
    sqlx::query_file!("src/store/sql/retry_claim.sql", projection, limit, generation, from_log)
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

/// What there is to try again for each of these projections.
pub async fn due_retries(
    executor: impl PgExecutor<'_>,
    projections: &[String],
) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query_file!("src/store/sql/retry_due.sql", projections);
    let rows = rows.fetch_all(executor).await?;
    let due = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Ok(rows
        .into_iter()
        .map(|row| Due { projection: row.projection, next: row.seconds.map(due), held: row.held })
        .collect())
}

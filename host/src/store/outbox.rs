//! The queue of events for async projections. A row is claimed by its lock, handled and deleted in
//! one transaction, so a crash gives it back by itself.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use sqlx::{PgConnection, PgExecutor};

use super::read::PAGE_BYTES;
use super::row::event_of;
use crate::event::Event;

/// An outbox row that the transaction has locked, with its event.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The row.
    pub outbox_id: i64,
    /// The event. A dismissed one is not delivered.
    pub event: Event,
}

/// What a claim has got.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Oldest first.
    pub rows: Vec<Claimed>,
    /// Rows whose event is gone: taken out of the log by hand.
    pub orphans: Vec<i64>,
    /// There can be more: the claim ended at its limit.
    pub full: bool,
}

/// A worker of another program (the TypeScript library's) that takes rows from the same queue.
#[derive(Debug, Clone)]
pub struct ForeignWorker {
    /// Its name.
    pub worker: Option<String>,
    /// When it took its newest row.
    pub locked_at: DateTime<Utc>,
}

/// Claims up to `limit` rows, oldest first. None while another program's worker holds claims
/// younger than `foreign_lease`, or when `epoch` is not what [`async_epoch`] answers now. Ends early
/// at [`PAGE_BYTES`] of payload.
pub async fn claim(
    conn: &mut PgConnection,
    limit: i64,
    foreign_lease: Duration,
    epoch: i64,
) -> sqlx::Result<Batch> {
    let mut rows = sqlx::query_file!(
        "src/store/sql/outbox_claim.sql",
        limit,
        foreign_lease.as_secs_f64(),
        epoch
    )
    .fetch(conn);
    let mut batch = Batch { rows: Vec::new(), orphans: Vec::new(), full: false };
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await? {
        let outbox_id = row.outbox_id;
        match (|| Some(event_of!(row, ?)))().transpose()? {
            Some(event) => {
                bytes += event.payload.get().len();
                batch.rows.push(Claimed { outbox_id, event });
            }
            None => batch.orphans.push(outbox_id),
        }
        let rows = batch.rows.len() + batch.orphans.len();
        batch.full = bytes >= PAGE_BYTES || rows as i64 == limit;
        if batch.full {
            break;
        }
    }
    Ok(batch)
}

/// A number that changes with every activation of an async projection.
pub async fn async_epoch(executor: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    let row =
        sqlx::query_file!("src/store/sql/mode_epoch.sql", "async").fetch_one(executor).await?;
    Ok(row.epoch)
}

/// Takes delivered rows out of the outbox.
pub async fn acknowledge(conn: &mut PgConnection, ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/sql/outbox_ack.sql", ids).execute(conn).await?;
    Ok(())
}

/// The other program's worker that the queue belongs to now, if there is one.
pub async fn foreign_worker(
    executor: impl PgExecutor<'_>,
    foreign_lease: Duration,
) -> sqlx::Result<Option<ForeignWorker>> {
    sqlx::query_file_as!(
        ForeignWorker,
        "src/store/sql/outbox_foreign.sql",
        foreign_lease.as_secs_f64()
    )
    .fetch_optional(executor)
    .await
}

/// How many rows wait.
pub async fn outbox_depth(executor: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    let row = sqlx::query_file!("src/store/sql/outbox_depth.sql").fetch_one(executor).await?;
    Ok(row.depth)
}

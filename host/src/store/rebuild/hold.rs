//! Holding off, for a moment, whoever writes to the tables of a projection: what is on its way is waited
//! for, and nothing begins until the transaction ends. How long to wait is the transaction's matter.

use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// What a projection is, held as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The SHA-256 of its active version.
    pub version: String,
    /// The topics that were decided for it.
    pub topics: Option<Value>,
    /// It gets no event at or below this position.
    pub starts_after: i64,
}

/// How far a catch-up projection has come: it has handled everything up to here of this shard of a
/// tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePosition {
    /// The tenant.
    pub tenant: String,
    /// Which part of its streams, from 0.
    pub shard: i32,
    /// Of how many.
    pub shards: i32,
    /// The position.
    pub position: i64,
}

/// Holds a rebuild and its projection as they are. `None` when the rebuild was begun anew, or has ended.
pub async fn hold(
    conn: &mut PgConnection,
    projection: &str,
    rebuild: Uuid,
) -> sqlx::Result<Option<Held>> {
    sqlx::query_file_as!(Held, "src/store/rebuild/sql/hold.sql", projection, rebuild)
        .fetch_optional(conn)
        .await
}

/// How far a catch-up projection has come.
pub async fn live_positions(
    executor: impl PgExecutor<'_>,
    projection: &str,
) -> sqlx::Result<Vec<LivePosition>> {
    sqlx::query_file_as!(LivePosition, "src/store/rebuild/sql/live_positions.sql", projection)
        .fetch_all(executor)
        .await
}

/// Holds off the batches of a catch-up projection, and tells how far it has come. Tenants that are new
/// can still begin, until [`keep_positions`].
pub async fn hold_positions(
    conn: &mut PgConnection,
    projection: &str,
) -> sqlx::Result<Vec<LivePosition>> {
    sqlx::query_file_as!(LivePosition, "src/store/rebuild/sql/hold_checkpoints.sql", projection)
        .fetch_all(conn)
        .await
}

/// Keeps everybody from moving a checkpoint, or making one for a new tenant. Others' projections wait
/// as well, so this is for the very end.
pub async fn keep_positions(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/rebuild/sql/keep_checkpoints.sql").execute(conn).await?;
    Ok(())
}

/// Holds off deliveries from the outbox, and with them appends.
pub async fn hold_deliveries(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/rebuild/sql/hold_outbox.sql").execute(conn).await?;
    Ok(())
}

/// Holds off retries of single events.
pub async fn hold_retries(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/rebuild/sql/hold_retries.sql").execute(conn).await?;
    Ok(())
}

/// Holds off appends.
pub async fn hold_log(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/rebuild/sql/hold_log.sql").execute(conn).await?;
    Ok(())
}

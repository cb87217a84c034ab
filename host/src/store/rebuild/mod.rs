//! What the database knows of rebuilds: which have begun, how far their shards have come, and which
//! events they have passed because the projection had not handled them yet. What is a plugin's is the
//! sandbox's; here are positions.

mod hold;
mod kept;
mod open;

use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::read::page_of;
use super::row::EventRow;
use super::{Page, StoreError};

pub use hold::{
    Held, LivePosition, hold, hold_deliveries, hold_log, hold_positions, hold_retries,
    keep_positions, live_positions,
};
pub use kept::{forget_kept, keep, kept, note_ranges, revive};
pub use open::{Open, blocked_streams, made_up, note_open, open_events, still_open};

/// Whether an async projection is still on its way through the events that were there before it.
pub async fn is_backfilled(executor: impl PgExecutor<'_>, projection: &str) -> sqlx::Result<bool> {
    let row = sqlx::query_file!("src/store/rebuild/sql/is_backfilled.sql", projection);
    Ok(row.fetch_one(executor).await?.is)
}

/// A rebuild that has begun.
#[derive(Debug, Clone, PartialEq)]
pub struct Rebuild {
    /// Another one for each that begins anew.
    pub id: Uuid,
    /// The SHA-256 of the plugin that fills the shadow.
    pub version: String,
    /// The shadow gets no event at or below this position.
    pub starts_after: i64,
    /// What else decides which events it gets.
    pub wants: Value,
    /// In how many parts the log is read.
    pub shards: i32,
    /// Events beyond the beginning that the shadow holds already.
    pub beyond: Vec<i64>,
}

/// One part of a rebuild.
#[derive(Debug, Clone)]
pub struct Shard {
    /// The projection.
    pub projection: String,
    /// The rebuild.
    pub rebuild: Uuid,
    /// Which part, from 0.
    pub number: i32,
    /// Of how many.
    pub of: i32,
}

/// How far a part has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardPosition {
    /// Which part, from 0.
    pub shard: i32,
    /// Everything up to here was read.
    pub position: i64,
    /// Events that were handed to the plugin.
    pub events: i64,
}

/// Makes this session the only one that rebuilds a projection, until it ends. Answers whether it is.
pub async fn claim(executor: impl PgExecutor<'_>, projection: &str) -> sqlx::Result<bool> {
    let row = sqlx::query_file!("src/store/rebuild/sql/claim.sql", projection);
    Ok(row.fetch_one(executor).await?.claimed)
}

/// The rebuild of a projection that has begun.
pub async fn find(
    executor: impl PgExecutor<'_>,
    projection: &str,
) -> sqlx::Result<Option<Rebuild>> {
    sqlx::query_file_as!(Rebuild, "src/store/rebuild/sql/find.sql", projection)
        .fetch_optional(executor)
        .await
}

/// Begins a rebuild where there is none.
pub async fn begin(
    executor: impl PgExecutor<'_>,
    projection: &str,
    version: &str,
    starts_after: i64,
    wants: &Value,
    shards: i32,
) -> sqlx::Result<Rebuild> {
    let row = sqlx::query_file!(
        "src/store/rebuild/sql/begin.sql",
        projection,
        version,
        starts_after,
        wants,
        shards
    )
    .fetch_one(executor)
    .await?;
    let (version, wants) = (version.to_owned(), wants.clone());
    Ok(Rebuild { id: row.rebuild_id, version, starts_after, wants, shards, beyond: Vec::new() })
}

/// Forgets a rebuild.
pub async fn forget(executor: impl PgExecutor<'_>, projection: &str) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/rebuild/sql/forget.sql", projection).execute(executor).await?;
    Ok(())
}

/// Notes where a rebuild has to come to, for who watches.
pub async fn note_target(
    executor: impl PgExecutor<'_>,
    projection: &str,
    rebuild: Uuid,
    position: i64,
) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/rebuild/sql/note_target.sql", projection, rebuild, position)
        .execute(executor)
        .await?;
    Ok(())
}

/// Notes why a rebuild has ended before it was done.
pub async fn note_error(
    executor: impl PgExecutor<'_>,
    projection: &str,
    rebuild: Uuid,
    error: &str,
) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/rebuild/sql/note_error.sql", projection, rebuild, error)
        .execute(executor)
        .await?;
    Ok(())
}

/// How far the parts have come, in their order.
pub async fn shards(
    executor: impl PgExecutor<'_>,
    projection: &str,
) -> sqlx::Result<Vec<ShardPosition>> {
    sqlx::query_file_as!(ShardPosition, "src/store/rebuild/sql/shards.sql", projection)
        .fetch_all(executor)
        .await
}

/// Locks a part for the rest of the transaction, and tells how far it has come. `None` when the rebuild
/// was begun anew, or has ended.
pub async fn lock_shard(conn: &mut PgConnection, shard: &Shard) -> sqlx::Result<Option<i64>> {
    let row = sqlx::query_file!(
        "src/store/rebuild/sql/lock_shard.sql",
        shard.projection,
        shard.rebuild,
        shard.number
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| row.position))
}

/// Moves a part that this transaction has locked, by so many events.
pub async fn save_shard(
    conn: &mut PgConnection,
    shard: &Shard,
    position: i64,
    events: i64,
) -> sqlx::Result<()> {
    sqlx::query_file!(
        "src/store/rebuild/sql/save_shard.sql",
        shard.projection,
        shard.number,
        position,
        events
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One page of the log for a part, dismissed events included: positions in (`after`, `until`], these
/// types (empty: all), at most `limit`, and some 16 MiB of payload.
pub async fn page(
    executor: impl PgExecutor<'_>,
    shard: &Shard,
    after: i64,
    until: i64,
    types: &[String],
    limit: i64,
) -> Result<Page, StoreError> {
    let types = (!types.is_empty()).then(|| types.to_vec());
    let rows = sqlx::query_file_as!(
        EventRow,
        "src/store/rebuild/sql/page.sql",
        after,
        until,
        limit,
        types as Option<Vec<String>>,
        shard.number,
        shard.of
    )
    .fetch(executor);
    page_of(rows, limit).await
}

/// Events by their positions, dismissed ones included, in order; those that are gone are left out.
pub async fn events_at(
    executor: impl PgExecutor<'_>,
    positions: &[i64],
) -> Result<Page, StoreError> {
    let rows = sqlx::query_file_as!(EventRow, "src/store/rebuild/sql/events_at.sql", positions)
        .fetch(executor);
    page_of(rows, i64::MAX).await
}

/// The greatest position that is visible.
pub async fn log_end(executor: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    let row = sqlx::query_file!("src/store/rebuild/sql/log_end.sql").fetch_one(executor).await?;
    Ok(row.position)
}

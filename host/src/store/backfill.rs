//! The events that were there before an async projection, where it is to get all: read from the log up
//! to a position, and from the outbox after it.
//!
//! Until then the workers of the outbox put what is new to the projection aside, held; what of it is at
//! or below that position goes when the work is done, because it was met in the log, and the rest is
//! let go. So each event comes to the projection by one of the two ways, whichever host does what.

use sqlx::PgConnection;

/// How far a projection is on its way through older events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backfill {
    /// Everything up to here is handled, or put aside.
    pub position: i64,
    /// Where it ends.
    pub target: i64,
}

impl Backfill {
    /// Whether there is nothing left but [`end_backfill`].
    pub fn is_done(&self) -> bool {
        self.position >= self.target
    }
}

/// Takes the work for the length of the transaction. `None` where another transaction has it, where
/// there is none, or when `generation` is no longer the projection's activation.
pub async fn lock_backfill(
    conn: &mut PgConnection,
    projection: &str,
    generation: i64,
) -> sqlx::Result<Option<Backfill>> {
    let locked = sqlx::query_file!("src/store/sql/backfill_lock.sql", projection, generation);
    let Some(row) = locked.fetch_optional(&mut *conn).await? else { return Ok(None) };
    let target = match row.target {
        Some(target) => target,
        None => {
            let target = sqlx::query_file!("src/store/sql/backfill_target.sql", projection);
            target.fetch_one(conn).await?.target
        }
    };
    Ok(Some(Backfill { position: row.last_position, target }))
}

/// Whether the projection is still on its way; it stays so until the transaction ends.
pub async fn share_backfill(conn: &mut PgConnection, projection: &str) -> sqlx::Result<bool> {
    let row = sqlx::query_file!("src/store/sql/backfill_share.sql", projection);
    Ok(row.fetch_optional(conn).await?.is_some())
}

/// Drops what the outbox held for the projection up to this position.
pub async fn drop_passed(
    conn: &mut PgConnection,
    projection: &str,
    position: i64,
) -> sqlx::Result<()> {
    let passed = sqlx::query_file!("src/store/sql/backfill_passed.sql", projection, position);
    passed.execute(conn).await?;
    Ok(())
}

/// Notes how far the projection has come.
pub async fn save_backfill(
    conn: &mut PgConnection,
    projection: &str,
    position: i64,
) -> sqlx::Result<()> {
    let saved = sqlx::query_file!("src/store/sql/backfill_save.sql", projection, position);
    saved.execute(conn).await?;
    Ok(())
}

/// Ends the work: from `target` on, the outbox delivers. That is an activation of its own, so every
/// host reads the registry anew before it claims the next row.
pub async fn end_backfill(
    conn: &mut PgConnection,
    projection: &str,
    target: i64,
) -> sqlx::Result<()> {
    // First, for it waits for the workers that still put something aside; only then is all of that seen.
    sqlx::query_file!("src/store/sql/backfill_end.sql", projection).execute(&mut *conn).await?;
    drop_passed(conn, projection, target).await?;
    let start = sqlx::query_file!("src/store/sql/backfill_start_after.sql", projection, target);
    start.execute(conn).await?;
    Ok(())
}

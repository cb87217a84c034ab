//! Tables that a rebuild by another version has replaced, and that are kept: which events they hold, so that
//! they can be handed the others.

use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

/// The version whose tables are kept of a projection.
pub async fn kept(executor: impl PgExecutor<'_>, projection: &str) -> sqlx::Result<Option<String>> {
    let row = sqlx::query_file!("src/store/rebuild/sql/kept.sql", projection);
    Ok(row.fetch_optional(executor).await?.map(|row| row.version))
}

/// Notes, before the rebuild is forgotten that replaces them, that the tables of a version are kept, which
/// have come to this position and hold the events `beyond` it.
pub async fn keep(
    conn: &mut PgConnection,
    projection: &str,
    version: &str,
    position: i64,
    beyond: &[i64],
) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/rebuild/sql/keep.sql", projection, version, position, beyond)
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets what is kept.
pub async fn forget_kept(executor: impl PgExecutor<'_>, projection: &str) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/rebuild/sql/forget_kept.sql", projection)
        .execute(executor)
        .await?;
    Ok(())
}

/// Notes that this version has handled all that the tables of a catch-up projection hold, from the event after a
/// position on.
pub async fn note_ranges(
    conn: &mut PgConnection,
    projection: &str,
    version: &str,
    starts_after: i64,
) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/rebuild/sql/ranges.sql", projection, version, starts_after)
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes of what is kept a rebuild that has come as far, if it is of this version, and adds to what it wants.
/// Answers whether it is.
pub async fn revive(
    conn: &mut PgConnection,
    projection: &str,
    version: &str,
    also: &Value,
    shards: i32,
) -> sqlx::Result<bool> {
    let row =
        sqlx::query_file!("src/store/rebuild/sql/revive.sql", projection, version, shards, also);
    Ok(row.fetch_one(conn).await?.is)
}

//! How far a catch-up projection has come. The lock on a checkpoint is the lease on its work: it
//! ends with the transaction, and so with the session of a host that dies.

use sqlx::{PgConnection, PgExecutor};

/// How far a projection has come in the events of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The tenant.
    pub tenant: String,
    /// Everything of this tenant up to here is handled.
    pub position: i64,
}

/// All checkpoints of a projection.
pub async fn checkpoints(
    executor: impl PgExecutor<'_>,
    projection: &str,
) -> sqlx::Result<Vec<Checkpoint>> {
    sqlx::query_file_as!(Checkpoint, "src/store/sql/checkpoints.sql", projection)
        .fetch_all(executor)
        .await
}

/// Makes the checkpoint of a tenant at this position, where it has none. Answers whether it did.
pub async fn create_checkpoint(
    executor: impl PgExecutor<'_>,
    projection: &str,
    tenant: &str,
    position: i64,
) -> sqlx::Result<bool> {
    let done =
        sqlx::query_file!("src/store/sql/checkpoint_create.sql", projection, tenant, position)
            .execute(executor)
            .await?;
    Ok(done.rows_affected() > 0)
}

/// Locks a checkpoint for the rest of the transaction. `None` when another host works on it, when it
/// is not there, or when `generation` is no longer the projection's activation.
pub async fn lock_checkpoint(
    conn: &mut PgConnection,
    projection: &str,
    tenant: &str,
    generation: i64,
) -> sqlx::Result<Option<i64>> {
    let row =
        sqlx::query_file!("src/store/sql/checkpoint_lock.sql", projection, tenant, generation)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(|row| row.last_global_position))
}

/// Moves a checkpoint that this transaction has locked.
pub async fn save_checkpoint(
    conn: &mut PgConnection,
    projection: &str,
    tenant: &str,
    position: i64,
    version: &str,
) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/sql/checkpoint_save.sql", projection, tenant, position, version)
        .execute(conn)
        .await?;
    Ok(())
}

/// Moves all checkpoints of a projection, those of `tenants` included that have none yet, and forgets
/// which later events it was to try again or has given up. Waits for batches that are on their way.
/// Answers the position, which is at most the end of the log.
pub async fn reset_checkpoints(
    conn: &mut PgConnection,
    projection: &str,
    position: i64,
    tenants: &[String],
) -> sqlx::Result<i64> {
    let row =
        sqlx::query_file!("src/store/sql/checkpoint_reset.sql", projection, position, tenants)
            .fetch_one(&mut *conn)
            .await?;
    sqlx::query_file!("src/store/sql/checkpoint_reset_open.sql", projection, row.position)
        .execute(conn)
        .await?;
    Ok(row.position)
}

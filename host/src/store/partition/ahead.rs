//! Partitions are made before they are needed, and where they were not, when they are.

use sqlx::PgPool;

use super::PartitionError;
use crate::store::{StoreError, describe};

/// Makes partitions until there is room for `ahead` of them beyond the last position, and answers
/// their names. A log without partitions gets none. Any number of programs may do so at once;
/// nobody who reads or appends waits for it.
///
/// # Errors
/// When the role may not make tables in the schema, or the database can't be reached.
pub async fn create_ahead(pool: &PgPool, ahead: i32) -> Result<Vec<String>, PartitionError> {
    let made = sqlx::query_file!("src/store/partition/sql/create.sql", ahead.max(0))
        .fetch_all(pool)
        .await?;
    let names: Vec<String> = made.into_iter().map(|row| row.name).collect();
    if !names.is_empty() {
        tracing::info!(partitions = names.join(", "), "made partitions of the log");
    }
    Ok(names)
}

/// Makes the partitions that an append of so many events lacks.
pub(in crate::store) async fn make_room(pool: &PgPool, events: usize) -> Result<(), StoreError> {
    let made = sqlx::query_file!("src/store/partition/sql/make_room.sql", events as i64)
        .fetch_all(pool)
        .await
        .map_err(|error| {
            StoreError::InvalidAppend(format!(
                "the log has no partition for these events, and none can be made: {}; see \
                 `eventfabric partitions create`",
                describe(&error)
            ))
        })?;
    for partition in made {
        tracing::warn!(
            partition = partition.name,
            "an append had to make a partition of the log: is no host running, or are its \
             partitions too small?"
        );
    }
    Ok(())
}

/// Whether this is the error of an append for whose positions there is no partition (yet), or no
/// longer the one that it had in mind.
pub fn is_missing(error: &sqlx::Error) -> bool {
    let Some(db) = error.as_database_error() else { return false };
    // A broken CHECK constraint has the same code, and a name.
    db.code().as_deref() == Some("23514")
        && db.constraint().is_none()
        && db.table().is_some_and(|table| table.starts_with("events"))
}

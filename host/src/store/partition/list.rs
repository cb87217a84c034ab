//! Which partitions there are.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::PartitionError;

/// How a partition stands to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A part of the log.
    Attached,
    /// A part of the log that takes what no other one does (not made by this program).
    Default,
    /// On its way out: `detach` was interrupted, and finishes when it is called again.
    Detaching,
    /// A table of its own, that can be attached again.
    Detached,
    /// Was detached, and its table is gone.
    Dropped,
}

/// A partition of the log.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Partition {
    /// Its table, in the schema `eventfabric`.
    pub name: String,
    /// The first position that it holds; `None`: the least.
    pub from: Option<i64>,
    /// The first position that it does not hold any more; `None`: it has no end.
    pub to: Option<i64>,
    /// How it stands to the log.
    pub state: State,
    /// Whether the next position is one of its own.
    pub current: bool,
    /// How many events it holds, as the server estimates it; `None` before its first ANALYZE.
    pub events: Option<i64>,
    /// Bytes on disk, with indexes.
    pub bytes: i64,
    /// When it was detached.
    pub detached_at: Option<DateTime<Utc>>,
}

/// The partitions of the log, detached ones included, by position.
///
/// # Errors
/// [`PartitionError::NotPartitioned`], and when the database can't be read.
pub async fn partitions(pool: &PgPool) -> Result<Vec<Partition>, PartitionError> {
    let shape = super::shape(pool).await?;
    if !shape.partitioned {
        return Err(PartitionError::NotPartitioned);
    }
    let next = shape.last_position + 1;
    let rows = sqlx::query_file!("src/store/partition/sql/list.sql").fetch_all(pool).await?;
    let partitions = rows.into_iter().map(|row| {
        let state = match row.state.as_str() {
            "detaching" => State::Detaching,
            "detached" => State::Detached,
            "dropped" => State::Dropped,
            "default" => State::Default,
            _ => State::Attached,
        };
        Partition {
            current: state == State::Attached
                && row.from_position.is_none_or(|from| from <= next)
                && row.to_position.is_none_or(|to| next < to),
            name: row.name,
            from: row.from_position,
            to: row.to_position,
            state,
            events: Some(row.rows).filter(|rows| *rows >= 0),
            bytes: row.bytes,
            detached_at: row.detached_at,
        }
    });
    Ok(partitions.collect())
}

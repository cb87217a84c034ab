//! The log in partitions by position, for those who ask for it: old events can be moved away or
//! dropped by the partition, and the indexes that appends touch stay small.
//!
//! The work is done by functions in the database (`migrations/016_partitions.sql`); here is what
//! calls them in the right order and under bearable locks.
//!
//! A partitioned table promises uniqueness only together with its partition key. So
//! `eventfabric.event_keys` holds the id and the stream version of every event, under unique
//! indexes, written by a trigger in the transaction of any writer.

mod ahead;
mod detach;
mod enable;
mod list;

use crate::code::codes;

use sqlx::PgPool;

pub(super) use ahead::make_room;
pub use ahead::{create_ahead, is_missing};
pub use detach::{attach, detach, detached};
pub use enable::{Enabled, Step, enable};
pub use list::{Partition, State, partitions};

use super::describe;

/// Positions in a partition, where nothing else is said.
pub const DEFAULT_SIZE: i64 = 10_000_000;
/// Partitions that wait for events, where nothing else is said.
pub const DEFAULT_AHEAD: i32 = 3;

/// Why the partitions were not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartitionError {
    /// The log is one table.
    #[error("the log has no partitions: `eventfabric partitions enable` makes them")]
    NotPartitioned,
    /// Somebody else is at it.
    #[error("another program is partitioning this log: wait until it has finished")]
    Busy,
    /// Objects of the database that would stay with the old rows alone.
    #[error(
        "the log cannot be partitioned under what stands on it: {}; drop these, partition the log, \
         and make them again", .0.join(", ")
    )]
    StandsOn(Vec<String>),
    /// Events are still to come into the partition.
    #[error(
        "{0} cannot be detached yet: not all of its positions have been given, and events that \
         come would have no place"
    )]
    InUse(String),
    /// The partition holds events that somebody has not handled.
    #[error(
        "{name} cannot be detached yet: it holds events that are still to be handled by {}; wait for \
         them (`eventfabric projections status`), or detach it with --unread, and they will never \
         get these events", .who.join(", ")
    )]
    NotRead {
        /// The partition.
        name: String,
        /// Projections, or the outbox.
        who: Vec<String>,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Other transactions kept the log locked.
    #[error(
        "the log was in use for too long ({0} tries): a transaction is open on it (see \
         pg_stat_activity); end it, or try again when there is less to do. Nothing was changed that \
         has to be undone, and what was done will not be done again"
    )]
    Locked(usize),
    /// PostgreSQL said no, or could not be reached.
    #[error("{}", describe(.0))]
    Database(#[from] sqlx::Error),
}

codes!(PartitionError {
    Self::NotPartitioned => "not-partitioned",
    Self::Busy => "partitioning-busy",
    Self::StandsOn(_) => "log-depended-on",
    Self::InUse(_) => "partition-in-use",
    Self::NotRead { .. } => "partition-unread",
    Self::Invalid(_) => "partition-invalid",
    Self::Locked(_) => "log-locked",
} else {
    Self::Database(error) => error,
});

/// What the log is.
struct Shape {
    partitioned: bool,
    last_position: i64,
    size: Option<i64>,
}

async fn shape(executor: impl sqlx::PgExecutor<'_>) -> sqlx::Result<Shape> {
    sqlx::query_file_as!(Shape, "src/store/partition/sql/shape.sql").fetch_one(executor).await
}

/// Whether the log has partitions.
///
/// # Errors
/// When the database can't be read.
pub async fn is_partitioned(pool: &PgPool) -> sqlx::Result<bool> {
    Ok(shape(pool).await?.partitioned)
}

//! Events that a projection could not handle for good.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// A dead letter.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DeadLetter {
    /// Its number, for `dlq requeue`.
    pub id: i64,
    /// The projection that failed; none in a letter of the TypeScript library.
    pub projection: Option<String>,
    /// The version of the plugin that failed last.
    pub plugin_version: Option<String>,
    /// The place of the event in the log.
    pub position: i64,
    /// The tenant of the event.
    pub tenant: String,
    /// Its label in the outbox.
    pub topic: Option<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// Why it failed last.
    pub error: Option<String>,
    /// The first failure.
    pub first_failed_at: Option<DateTime<Utc>>,
    /// When it was given up.
    pub dead_lettered_at: DateTime<Utc>,
    /// The type of the event.
    pub event_type: Option<String>,
    /// The kind of its aggregate.
    pub aggregate: Option<String>,
    /// Its aggregate.
    pub aggregate_id: Option<String>,
}

/// The newest dead letters, of one projection or of all.
pub async fn dead_letters(
    executor: impl PgExecutor<'_>,
    projection: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<DeadLetter>> {
    sqlx::query_file_as!(DeadLetter, "src/store/sql/dead_letters.sql", projection, limit)
        .fetch_all(executor)
        .await
}

/// Gives dead letters back to the projection that failed, and to no other. `None` stands for all.
/// Answers how many.
pub async fn requeue(
    executor: impl PgExecutor<'_>,
    ids: Option<&[i64]>,
    projection: Option<&str>,
) -> sqlx::Result<i64> {
    let row = sqlx::query_file!("src/store/sql/dead_letter_requeue.sql", ids, projection)
        .fetch_one(executor)
        .await?;
    Ok(row.requeued)
}

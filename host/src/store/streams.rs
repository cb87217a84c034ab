//! Which streams there are, and how often they were appended to.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// A stream in a list.
#[derive(Debug, Clone)]
pub struct StreamInfo {
    /// The kind of aggregate.
    pub aggregate: String,
    /// Which aggregate of that kind.
    pub id: String,
    /// The version of its last event.
    pub version: i32,
    /// When it was appended to last.
    pub updated_at: DateTime<Utc>,
}

/// Streams of one kind of aggregate whose ids begin so, in the order of their ids, from after `after` on.
///
/// # Errors
/// When the database can't be asked.
pub async fn streams_of(
    executor: impl PgExecutor<'_>,
    tenant: &str,
    aggregate: &str,
    begins: &str,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<StreamInfo>> {
    sqlx::query_file_as!(
        StreamInfo,
        "src/store/sql/streams_of_aggregate.sql",
        tenant,
        aggregate,
        begins,
        after,
        limit
    )
    .fetch_all(executor)
    .await
}

/// The kinds of aggregates that a tenant has streams of, at most so many.
///
/// # Errors
/// When the database can't be asked.
pub async fn stream_kinds(
    executor: impl PgExecutor<'_>,
    tenant: &str,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    let rows = sqlx::query_file!("src/store/sql/stream_kinds.sql", tenant, limit);
    Ok(rows.fetch_all(executor).await?.into_iter().map(|row| row.aggregate).collect())
}

/// How often a stream was ever appended to, by anybody, as the server counts it: it is told a second later,
/// and may begin anew.
///
/// # Errors
/// When the database can't be asked.
pub async fn appends_so_far(executor: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    Ok(sqlx::query_file!("src/store/sql/appends_so_far.sql").fetch_one(executor).await?.appends)
}

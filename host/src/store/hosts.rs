//! Which hosts run on the database.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// A host that was heard of within the last minute.
#[derive(Debug, Clone)]
pub struct HostInfo {
    /// Machine and process.
    pub name: String,
    /// The version of the host.
    pub version: String,
    /// Since when it runs.
    pub started_at: DateTime<Utc>,
    /// When it was heard of last.
    pub seen_at: DateTime<Utc>,
    /// For how many seconds it has been silent, by the clock of the database.
    pub silent_seconds: f64,
}

/// The hosts, the oldest first. One that has stopped says goodbye, and is not among them.
///
/// # Errors
/// When the database can't be asked.
pub async fn hosts(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<HostInfo>> {
    sqlx::query_file_as!(HostInfo, "src/store/sql/hosts.sql").fetch_all(executor).await
}

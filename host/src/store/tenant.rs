//! Tenants of a shared database.

use sqlx::PgExecutor;

/// The tenants that have events.
pub async fn tenants(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<String>> {
    let rows = sqlx::query_file!("src/store/sql/tenants.sql").fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| row.tenant).collect())
}

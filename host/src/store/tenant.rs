//! Tenants of a shared database.

use sqlx::PgExecutor;

/// Whether a tenant has any stream.
pub async fn tenant_exists(executor: impl PgExecutor<'_>, tenant: &str) -> sqlx::Result<bool> {
    let row =
        sqlx::query_file!("src/store/sql/tenant_exists.sql", tenant).fetch_one(executor).await?;
    Ok(row.known)
}

/// The tenants that have events.
pub async fn tenants(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<String>> {
    let rows = sqlx::query_file!("src/store/sql/tenants.sql").fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| row.tenant).collect())
}

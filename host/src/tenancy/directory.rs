//! Which tenant's database is where: from the settings, from a table, or from both.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::url::{DatabaseUrl, InvalidUrl};
use crate::code::codes;
use crate::event::TenantId;
use crate::store::describe;

/// The tenants that have a database of their own. Cheap to clone; clones are one directory.
///
/// A tenant of the settings hides one of the same name in the table.
#[derive(Clone, Default)]
pub struct Directory {
    fixed: Arc<RwLock<BTreeMap<TenantId, DatabaseUrl>>>,
    table: Option<PgPool>,
}

/// A tenant of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The tenant.
    pub tenant: TenantId,
    /// Its database. (A table can be written to by hand.)
    pub database: Result<DatabaseUrl, InvalidUrl>,
    /// Where the entry stands.
    pub source: Source,
    /// Since when, in the table.
    pub added_at: Option<DateTime<Utc>>,
}

/// Where an entry of the directory stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// In the settings.
    Settings,
    /// In the table `eventfabric.tenants`.
    Table,
}

/// Why the directory did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The tenant is there with another address.
    #[error(
        "tenant {tenant} is in the directory already, at {there}; to move it, take it out \
         (`tenants remove`, which touches no data) and add it again"
    )]
    Exists {
        /// The tenant.
        tenant: TenantId,
        /// Its address, as far as it may be shown.
        there: String,
    },
    /// The tenant stands in the settings, which are not written to by programs.
    #[error("tenant {0} stands in the settings ([tenants]): change it there")]
    InSettings(TenantId),
    /// The directory has no table.
    #[error("there is no table of tenants to write to: give the directory a database")]
    NoTable,
    /// The table could not be read or written.
    #[error("the directory of tenants: {}", describe(.0))]
    Database(#[from] sqlx::Error),
}

codes!(DirectoryError {
    Self::Exists { .. } => "tenant-exists",
    Self::InSettings(_) => "tenant-in-settings",
    Self::NoTable => "tenant-table-missing",
} else {
    Self::Database(error) => error,
});

impl Directory {
    /// The tenants of the settings.
    pub fn fixed(tenants: BTreeMap<TenantId, DatabaseUrl>) -> Self {
        Self { fixed: Arc::new(RwLock::new(tenants)), table: None }
    }

    /// The same with those of the table `eventfabric.tenants` in a migrated database.
    #[must_use]
    pub fn with_table(mut self, pool: PgPool) -> Self {
        self.table = Some(pool);
        self
    }

    /// Takes other tenants from the settings, for all clones.
    pub fn replace_fixed(&self, tenants: BTreeMap<TenantId, DatabaseUrl>) {
        *self.fixed.write().unwrap_or_else(PoisonError::into_inner) = tenants;
    }

    /// A tenant, where the directory has it.
    ///
    /// # Errors
    /// [`DirectoryError::Database`].
    pub async fn find(&self, tenant: &TenantId) -> Result<Option<Entry>, DirectoryError> {
        if let Some(database) = self.of_settings(tenant) {
            return Ok(Some(Entry::of_settings(tenant.clone(), database)));
        }
        let Some(pool) = &self.table else { return Ok(None) };
        let row = sqlx::query_file!("src/tenancy/sql/tenant_find.sql", tenant.as_str())
            .fetch_optional(pool)
            .await?;
        Ok(row.map(|row| Entry {
            tenant: tenant.clone(),
            database: row.database_url.parse(),
            source: Source::Table,
            added_at: Some(row.added_at),
        }))
    }

    /// All tenants, by name.
    ///
    /// # Errors
    /// [`DirectoryError::Database`].
    pub async fn list(&self) -> Result<Vec<Entry>, DirectoryError> {
        let mut entries = BTreeMap::new();
        if let Some(pool) = &self.table {
            let rows = sqlx::query_file!("src/tenancy/sql/tenant_list.sql").fetch_all(pool).await?;
            for row in rows {
                let Ok(tenant) = TenantId::new(row.tenant_id) else { continue };
                let entry = Entry {
                    tenant: tenant.clone(),
                    database: row.database_url.parse(),
                    source: Source::Table,
                    added_at: Some(row.added_at),
                };
                entries.insert(tenant, entry);
            }
        }
        let fixed = self.fixed.read().unwrap_or_else(PoisonError::into_inner);
        for (tenant, database) in fixed.iter() {
            let entry = Entry::of_settings(tenant.clone(), database.clone());
            entries.insert(tenant.clone(), entry);
        }
        Ok(entries.into_values().collect())
    }

    /// Adds a tenant to the table. Answers whether it is new: the same one with the same address
    /// can be added again.
    ///
    /// # Errors
    /// [`DirectoryError::Exists`] when it has another address.
    pub async fn add(
        &self,
        tenant: &TenantId,
        database: &DatabaseUrl,
    ) -> Result<bool, DirectoryError> {
        if self.of_settings(tenant).is_some() {
            return Err(DirectoryError::InSettings(tenant.clone()));
        }
        let pool = self.table.as_ref().ok_or(DirectoryError::NoTable)?;
        let (name, url) = (tenant.as_str(), database.expose());
        let added =
            sqlx::query_file!("src/tenancy/sql/tenant_add.sql", name, url).execute(pool).await?;
        if added.rows_affected() == 1 {
            return Ok(true);
        }
        match self.find(tenant).await? {
            Some(Entry { database: Ok(there), .. }) if there == *database => Ok(false),
            there => {
                let there = there.map(|entry| entry.address()).unwrap_or_default();
                Err(DirectoryError::Exists { tenant: tenant.clone(), there })
            }
        }
    }

    /// Takes a tenant out of the table, and touches nothing else: its database stays as it is.
    /// Answers whether it was there.
    ///
    /// # Errors
    /// [`DirectoryError::InSettings`] for a tenant of the settings.
    pub async fn remove(&self, tenant: &TenantId) -> Result<bool, DirectoryError> {
        if self.of_settings(tenant).is_some() {
            return Err(DirectoryError::InSettings(tenant.clone()));
        }
        let pool = self.table.as_ref().ok_or(DirectoryError::NoTable)?;
        let removed = sqlx::query_file!("src/tenancy/sql/tenant_remove.sql", tenant.as_str())
            .execute(pool)
            .await?;
        Ok(removed.rows_affected() == 1)
    }

    fn of_settings(&self, tenant: &TenantId) -> Option<DatabaseUrl> {
        self.fixed.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }
}

impl Entry {
    fn of_settings(tenant: TenantId, database: DatabaseUrl) -> Self {
        Self { tenant, database: Ok(database), source: Source::Settings, added_at: None }
    }

    /// Where the database is, without its password.
    pub fn address(&self) -> String {
        match &self.database {
            Ok(url) => url.to_string(),
            Err(_) => "(no address)".to_owned(),
        }
    }
}

impl std::fmt::Debug for Directory {
    /// Without the pool, whose options hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("fixed", &self.fixed).finish_non_exhaustive()
    }
}

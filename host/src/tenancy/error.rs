//! Why there is nothing open for a tenant.

use std::time::Duration;

use crate::code::codes;
use crate::event::TenantId;

/// Why a tenant can't be served now. None of these says anything of another tenant.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TenantError {
    /// The directory does not have it.
    #[error("there is no tenant {0}")]
    Unknown(TenantId),
    /// Its database can't be used: away, not migrated, refused.
    #[error(
        "the database of tenant {tenant} cannot be used: {reason}; tried again in {retry_in:.1?}"
    )]
    Unavailable {
        /// The tenant.
        tenant: TenantId,
        /// What happened, and what to do.
        reason: String,
        /// Before this time nothing is tried again, and this error is the answer.
        retry_in: Duration,
    },
    /// As many databases are open as may be, and all of them are in use.
    #[error("all {open} databases that may be open at a time (tenancy.max_open) are in use")]
    Busy {
        /// How many.
        open: usize,
    },
    /// The directory itself can't be read.
    #[error("{0}")]
    Directory(String),
    /// The program ends.
    #[error("stopped meanwhile: {0}")]
    Stopped(String),
}

codes!(TenantError {
    Self::Unknown(_) => "unknown-tenant",
    Self::Unavailable { .. } => "tenant-unavailable",
    Self::Busy { .. } => "tenants-busy",
    Self::Directory(_) => "tenant-directory",
    Self::Stopped(_) => "stopping",
});

impl TenantError {
    /// Its database can't be used.
    pub(crate) fn unavailable(tenant: &TenantId, reason: impl Into<String>) -> Self {
        Self::Unavailable {
            tenant: tenant.clone(),
            reason: reason.into(),
            retry_in: Duration::ZERO,
        }
    }
}

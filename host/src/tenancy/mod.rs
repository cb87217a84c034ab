//! Tenants that have a database of their own: which one ([`Directory`]), and what is open of them
//! ([`Tenants`]). It knows nothing of plugins; what runs there is a [`Kind`] of the runners.

mod config;
mod directory;
mod error;
mod opened;
mod reach;
mod sweep;
mod tenants;
mod url;

#[cfg(test)]
mod tests;

pub use config::TenancyConfig;
pub use directory::{Directory, DirectoryError, Entry, Source};
pub use error::TenantError;
pub use sweep::{Swept, check_all, migrate_all};
pub use tenants::{Kind, Stores, TenantLease, Tenants};
pub use url::{DatabaseUrl, InvalidUrl};

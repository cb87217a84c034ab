//! Tenants: those that share a database, and those that have one of their own.

mod command;
mod crossing;
mod databases;
mod directory;
mod fairness;
mod homes;
mod running;

use eventfabric::event::{Event, TenantId};
use eventfabric::store::{LogFilter, TenantStore};
use futures::TryStreamExt as _;

/// The name of a tenant.
pub fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// Everything that a tenant sees of the log.
pub async fn log(store: &TenantStore) -> Vec<Event> {
    store.read_log(LogFilter::default()).try_collect().await.unwrap()
}

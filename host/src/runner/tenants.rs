//! Hosts on the databases of tenants.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;

use super::host::{Host, HostConfig, LEAST_CONNECTIONS};
use crate::db;
use crate::event::TenantId;
use crate::plugin::Runtime;
use crate::store::migrate;
use crate::tenancy::{Directory, Kind, TenancyConfig, TenantError, TenantLease, Tenants};

/// Hosts with the plugins of each tenant's database, all on one engine.
pub struct Hosts {
    runtime: Runtime,
    config: HostConfig,
    migrate: bool,
}

impl Kind for Hosts {
    type Item = Host;

    fn open(&self, options: PgConnectOptions) -> BoxFuture<'static, Result<Host, String>> {
        let (runtime, config, migrate) = (self.runtime.clone(), self.config.clone(), self.migrate);
        async move {
            if migrate {
                let pool = db::pool(options.clone(), 1);
                let migrated = migrate::migrate(&pool).await;
                db::close(&pool).await;
                migrated.map_err(|error| error.to_string())?;
            }
            let host = Host::open_on(runtime, options, config, None).await;
            host.map_err(|error| format!("{error:#}"))
        }
        .boxed()
    }

    fn close(host: &Host) -> BoxFuture<'_, ()> {
        host.close().boxed()
    }
}

impl Tenants<Hosts> {
    /// Hosts on the databases of the directory, with these settings but the number of connections
    /// (of which a host needs five). `migrate` brings a database up to date before it is used.
    ///
    /// # Errors
    /// Settings that make no sense, or an engine that can't be set up.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn hosts(
        directory: Directory,
        tenancy: TenancyConfig,
        config: HostConfig,
        migrate: bool,
    ) -> anyhow::Result<Self> {
        let max_connections = tenancy.connections.max(LEAST_CONNECTIONS);
        let runtime = config.runtime()?;
        let config = HostConfig { max_connections, ..config };
        Self::of_kind(Hosts { runtime, config, migrate }, directory, tenancy)
    }

    /// The host on a tenant's database, with its plugins: inline ones run with its appends. Name the
    /// tenant in what is written through it, or use [`crate::store::EventStore::tenant`].
    ///
    /// # Errors
    /// [`TenantError`], which concerns this tenant alone.
    pub async fn host(&self, tenant: &TenantId) -> Result<TenantLease<Hosts>, TenantError> {
        self.lease(tenant, false).await
    }
}

//! The databases of tenants, opened when they are asked for.

use std::marker::PhantomData;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;

use super::config::TenancyConfig;
use super::directory::Directory;
use super::error::TenantError;
use super::opened::{Closing, Lease, Opened};
use super::reach::{reach, reason};
use super::url::DatabaseUrl;
use crate::db;
use crate::event::TenantId;
use crate::store::{EventStore, TenantStore, migrate};

/// What answers at once, and is not ready after this time, is taken never to be.
const OPENING: Duration = Duration::from_secs(60);

/// What is opened on the database of a tenant.
pub trait Kind: Send + Sync + 'static {
    /// The open thing.
    type Item: Send + Sync + 'static;

    /// Opens it on a database that answers. An error is in words.
    fn open(&self, options: PgConnectOptions) -> BoxFuture<'static, Result<Self::Item, String>>;

    /// Lets go of its connections.
    fn close(item: &Self::Item) -> BoxFuture<'_, ()>;
}

/// The tenants of a directory, each with a database of its own. Cheap to clone.
///
/// A database is opened when its tenant is first asked for, by one attempt however many ask, and
/// closed when nobody has used it for a while. No more than [`TenancyConfig::max_open`] are open at
/// a time: beyond that, the one that was used longest ago makes room. One that can't be opened is
/// left alone for a moment that doubles from attempt to attempt, and its error is the answer
/// meanwhile, so that a dead database costs the others nothing.
///
/// ```no_run
/// # async fn f() -> anyhow::Result<()> {
/// use eventfabric::event::{ExpectedVersion, NewEvent, StreamName};
/// use eventfabric::tenancy::{Directory, TenancyConfig, Tenants};
///
/// let directory = Directory::fixed(
///     [("acme".parse()?, "postgres://me:secret@db1/acme".parse()?)].into(),
/// );
/// let tenants = Tenants::new(directory, TenancyConfig::default())?;
///
/// let acme = tenants.store(&"acme".parse()?).await?;
/// let opened = NewEvent::new("AccountOpened", &serde_json::json!({"owner": "Ada"}))?;
/// acme.append(StreamName::new("Account", "42"), ExpectedVersion::NoStream, vec![opened]).await?;
/// # Ok(()) }
/// ```
pub struct Tenants<K: Kind = Stores>(Arc<Shared<K>>);

struct Shared<K: Kind> {
    directory: Directory,
    config: TenancyConfig,
    kind: Arc<K>,
    opened: Opened<Database<K>>,
}

/// Something open, and where.
struct Database<K: Kind> {
    url: DatabaseUrl,
    item: K::Item,
    kind: PhantomData<K>,
}

/// The use of what is open for a tenant: hold it for a piece of work, not for ever. It is not closed
/// meanwhile.
pub struct TenantLease<K: Kind>(Lease<Database<K>>);

impl<K: Kind> Tenants<K> {
    /// Opens things of this kind, with the settings.
    ///
    /// # Errors
    /// Settings that make no sense.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn of_kind(kind: K, directory: Directory, config: TenancyConfig) -> anyhow::Result<Self> {
        config.check()?;
        let opened = Opened::new(config.max_open, config.idle, config.patience);
        opened.close_idle_ones();
        let shared = Arc::new(Shared { directory, config, kind: Arc::new(kind), opened });
        follow_directory(Arc::downgrade(&shared), shared.config.follow);
        Ok(Self(shared))
    }

    /// The directory.
    pub fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// The settings.
    pub fn config(&self) -> &TenancyConfig {
        &self.0.config
    }

    /// The tenants whose databases are open.
    pub fn open_ones(&self) -> Vec<TenantId> {
        self.0.opened.tenants()
    }

    /// Closes all databases, in use or not: for a program that ends.
    pub async fn close(&self) {
        self.0.opened.close().await;
    }

    /// Lets go of what is open for a tenant, or of the error that it got, so that the next one to ask
    /// opens it anew.
    pub fn forget(&self, tenant: &TenantId) {
        self.0.opened.forget(tenant);
    }

    /// What is open for a tenant. What is `pinned` takes no place from the others.
    pub(crate) async fn lease(
        &self,
        tenant: &TenantId,
        pinned: bool,
    ) -> Result<TenantLease<K>, TenantError> {
        let lease = self
            .0
            .opened
            .get(tenant, |place| {
                let (directory, config) = (self.0.directory.clone(), self.0.config.clone());
                let (kind, tenant) = (self.0.kind.clone(), tenant.clone());
                async move {
                    let url = find(&directory, &tenant, config.patience).await?;
                    let place = if pinned { None } else { Some(place.take().await?) };
                    let unavailable = |reason| TenantError::unavailable(&tenant, reason);
                    reach(&url, config.patience).await.map_err(unavailable)?;
                    let open = tokio::time::timeout(OPENING, kind.open(url.options()));
                    let late = |_| Err(format!("it was not opened within {OPENING:?}"));
                    let item = open.await.unwrap_or_else(late).map_err(unavailable)?;
                    Ok((Database { url, item, kind: PhantomData }, place))
                }
            })
            .await?;
        Ok(TenantLease(lease))
    }
}

async fn find(
    directory: &Directory,
    tenant: &TenantId,
    patience: Duration,
) -> Result<DatabaseUrl, TenantError> {
    let entry = match tokio::time::timeout(patience, directory.find(tenant)).await {
        Ok(entry) => entry.map_err(|error| TenantError::Directory(error.to_string()))?,
        Err(_) => {
            let message = format!("the directory of tenants does not answer within {patience:?}");
            return Err(TenantError::Directory(message));
        }
    };
    let entry = entry.ok_or_else(|| TenantError::Unknown(tenant.clone()))?;
    entry.database.map_err(|error| {
        TenantError::unavailable(tenant, format!("its address in the directory is {error}"))
    })
}

/// Lets go of tenants that were taken out of the directory, or moved.
fn follow_directory<K: Kind>(tenants: Weak<Shared<K>>, every: Duration) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            let Some(tenants) = tenants.upgrade() else { return };
            let open = tenants.opened.tenants();
            if open.is_empty() {
                continue;
            }
            let Ok(entries) = tenants.directory.list().await else { continue };
            for tenant in open {
                let there = entries.iter().find(|entry| entry.tenant == tenant);
                let url = there.and_then(|entry| entry.database.as_ref().ok());
                if tenants.opened.look(&tenant, |open| Some(&open.url) != url) == Some(true) {
                    tracing::info!(%tenant, "not in the directory any more, or moved: let go");
                    tenants.opened.forget(&tenant);
                }
            }
        }
    });
}

#[cfg(feature = "runtime")]
impl<K: Kind> TenantLease<K> {
    /// Whether the database is there, asked over a connection of its own.
    pub(crate) async fn still_there(&self, patience: Duration) -> Result<(), String> {
        super::reach::still_there(&self.0.url, patience).await
    }
}

impl<K: Kind> Closing for Database<K> {
    fn close(&self) -> BoxFuture<'_, ()> {
        K::close(&self.item)
    }
}

impl<K: Kind> std::ops::Deref for TenantLease<K> {
    type Target = K::Item;

    fn deref(&self) -> &K::Item {
        &self.0.item
    }
}

impl<K: Kind> Clone for Tenants<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Plain stores, without plugins.
pub struct Stores {
    connections: u32,
    patience: Duration,
}

impl Kind for Stores {
    type Item = EventStore;

    fn open(&self, options: PgConnectOptions) -> BoxFuture<'static, Result<EventStore, String>> {
        let pool = db::pool_within(options, self.connections, self.patience);
        async move {
            match ready(&pool).await {
                Ok(()) => Ok(EventStore::new(pool).with_group_commit()),
                Err(reason) => {
                    db::close(&pool).await;
                    Err(reason)
                }
            }
        }
        .boxed()
    }

    fn close(store: &EventStore) -> BoxFuture<'_, ()> {
        db::close(store.pool()).boxed()
    }
}

/// Whether a database has all migrations; says so in words where it has not.
pub(crate) async fn ready(pool: &sqlx::PgPool) -> Result<(), String> {
    let status = migrate::check(pool).await.map_err(|error| match &error {
        migrate::MigrateError::Connection { source, .. } => reason(source),
        error => error.to_string(),
    })?;
    match status.pending.as_slice() {
        [] => Ok(()),
        pending => Err(format!(
            "it lacks {} migrations ({} first): run `eventfabric tenants migrate`",
            pending.len(),
            pending[0]
        )),
    }
}

impl Tenants<Stores> {
    /// Stores on the databases of the directory. A database with inline plugins refuses appends
    /// through them, see [`EventStore::new`].
    ///
    /// # Errors
    /// Settings that make no sense.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn new(directory: Directory, config: TenancyConfig) -> anyhow::Result<Self> {
        let stores = Stores { connections: config.connections, patience: config.patience };
        Self::of_kind(stores, directory, config)
    }

    /// The store of a tenant, on the tenant's database and confined to it: what is written there
    /// belongs to the tenant, should the database be shared with others. It stays open as long as a
    /// clone of it lives, so hold it for a piece of work and ask again for the next one.
    ///
    /// # Errors
    /// [`TenantError`], which concerns this tenant alone.
    pub async fn store(&self, tenant: &TenantId) -> Result<TenantStore, TenantError> {
        let lease = self.lease(tenant, false).await?;
        let store = lease.tenant(tenant);
        Ok(store.holding(Arc::new(lease)))
    }
}

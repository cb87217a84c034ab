//! Where the events of a tenant are: in the database that the directory has for it, or in the one that
//! the command is given. Every command that names a tenant asks here, so that none of them reads or
//! writes a tenant's events in the wrong place.

use std::collections::HashMap;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::connect::{Context, reach};
use super::exit::{self, Exit, UNREACHABLE};
use crate::db;
use crate::event::{DEFAULT_TENANT, TenantId};
use crate::projection::Mode;
use crate::runner::Host;
use crate::tenancy::{DatabaseUrl, Directory, DirectoryError};

impl Context {
    /// A pool on the database that holds a tenant's events; without one on the database that the
    /// command is given, which is where those of all others are.
    pub(super) async fn pool_of(&self, tenant: Option<&str>) -> anyhow::Result<PgPool> {
        match self.own_database(tenant).await? {
            None => self.pool().await,
            Some(own) => {
                let pool = db::pool(own.options(), 4);
                answers(tenant, &pool).await?;
                Ok(pool)
            }
        }
    }

    /// A host on that database, with its active plugins or those of one mode.
    pub(super) async fn host_of(&self, tenant: &str, only: Option<Mode>) -> anyhow::Result<Host> {
        match self.own_database(Some(tenant)).await? {
            None => self.host(only).await,
            Some(own) => {
                answers(Some(tenant), &db::pool(own.options(), 1)).await?;
                Host::open(own.options(), self.settings.host(), only).await
            }
        }
    }

    /// The database of a tenant's own, where the directory has one.
    async fn own_database(&self, tenant: Option<&str>) -> anyhow::Result<Option<DatabaseUrl>> {
        let Some(tenant) = tenant else { return Ok(None) };
        let tenant = id(tenant)?;
        if let Some(own) = self.settings.tenants.get(&tenant) {
            return Ok(Some(own.clone()));
        }
        if !self.has_database() {
            // The command says itself that it needs one.
            return Ok(None);
        }
        listed(&Directory::default().with_table(self.pool().await?), &tenant).await
    }
}

/// Whether lines of an import belong into the one database that it writes to.
pub(super) struct Homes {
    directory: Directory,
    /// The database that the command is given, which is the home of all that the directory lacks.
    given: Option<PgConnectOptions>,
    /// The one that is imported into.
    here: Option<PgConnectOptions>,
    /// What is known of tenants: whether they are at home here.
    known: HashMap<String, bool>,
}

impl Homes {
    /// For an import into the database of this tenant.
    pub(super) async fn new(context: &Context, tenant: &str) -> anyhow::Result<Self> {
        let mut directory = Directory::fixed(context.settings.tenants.clone());
        let mut given = None;
        if context.has_database() {
            directory = directory.with_table(context.pool().await?);
            given = Some(context.options().await?);
        }
        let mut homes = Self { directory, given, here: None, known: HashMap::new() };
        homes.here = homes.of(tenant).await?;
        Ok(homes)
    }

    async fn of(&self, tenant: &str) -> anyhow::Result<Option<PgConnectOptions>> {
        let own = listed(&self.directory, &id(tenant)?).await?;
        Ok(own.map(|own| own.options()).or_else(|| self.given.clone()))
    }

    /// Why a tenant's events do not belong here, where that is so.
    pub(super) async fn refuse(&mut self, tenant: &str) -> anyhow::Result<Option<String>> {
        let at_home = match self.known.get(tenant) {
            Some(at_home) => *at_home,
            None => {
                let (home, here) = (self.of(tenant).await?, self.here.as_ref());
                let at_home = home.as_ref().map(place) == here.map(place);
                self.known.insert(tenant.to_owned(), at_home);
                at_home
            }
        };
        Ok((!at_home).then(|| {
            format!(
                "the events of tenant {tenant} belong into another database than the one that is \
                 imported into: import them by themselves, with --tenant {tenant}"
            )
        }))
    }
}

/// What tells two databases apart.
fn place(options: &PgConnectOptions) -> (&str, u16, Option<&std::path::PathBuf>, Option<&str>) {
    (options.get_host(), options.get_port(), options.get_socket(), options.get_database())
}

fn id(tenant: &str) -> anyhow::Result<TenantId> {
    TenantId::new(tenant).map_err(|error| exit::bad_input(format!("--tenant: {error}")))
}

/// The address that the directory has for a tenant.
async fn listed(directory: &Directory, tenant: &TenantId) -> anyhow::Result<Option<DatabaseUrl>> {
    let entry = match directory.find(tenant).await {
        Ok(entry) => entry,
        // A database without tables has no directory; what it lacks, the command itself says.
        Err(DirectoryError::Database(sqlx::Error::Database(db)))
            if matches!(db.code().as_deref(), Some("42P01" | "3F000")) =>
        {
            None
        }
        Err(error) => return Err(error.into()),
    };
    let Some(entry) = entry else { return Ok(None) };
    let own = entry.database.map_err(|error| {
        anyhow::anyhow!(
            "the directory has no address of tenant {tenant} that can be used ({error}): take it out \
             (`tenants remove`) and add it again"
        )
    })?;
    Ok(Some(own))
}

/// Fails soon, and names the tenant, where its database does not answer.
async fn answers(tenant: Option<&str>, pool: &PgPool) -> anyhow::Result<()> {
    let name = tenant.unwrap_or(DEFAULT_TENANT);
    reach(pool).await.map_err(|error| {
        let why = exit::message(&error);
        let message = format!(
            "the database of tenant {name}, which the directory has for it (`eventfabric tenants \
             list`), cannot be used: {why}"
        );
        Exit { code: UNREACHABLE, message }.into()
    })
}

//! The database that a command works on, and the settings of the process.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::args::Args;
use super::exit::{Exit, UNREACHABLE, USAGE};
use crate::backoff::Backoff;
use crate::embedded::{self, Embedded};
use crate::projection::Mode;
use crate::runner::Host;
use crate::sandbox::Sandbox;
use crate::settings::{Given, Settings, Source};
use crate::store::migrate;
use crate::tenancy::Directory;
use crate::{db, store};

/// How long a server may take to answer: longer than any that lives, shorter than who waits.
const ANSWER: Duration = Duration::from_secs(10);

/// How often to look whether the private server is alive.
const ALIVE: Duration = Duration::from_millis(500);

/// How much later when it did not start.
const REVIVE: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// What every command is given.
pub(super) struct Context {
    pub settings: Settings,
    /// Where they are from.
    pub given: Given,
    /// The settings file that was named.
    pub config: Option<PathBuf>,
    /// The arguments say which database.
    named: bool,
    server: OnceCell<Option<Embedded>>,
}

impl Context {
    pub(super) fn new(args: &Args) -> anyhow::Result<Self> {
        let mut given = Given::read(args.config.as_deref())?;
        let mut settings = Settings::of(&given)?;
        let variable = |name: &str| std::env::var_os(name).is_some();
        if let Some(url) = &args.database_url {
            settings.database_url = Some(url.clone());
            settings.embedded = None;
            given.set("database_url", Source::Flag("--database-url"));
            given.set("embedded", Source::Flag("--database-url"));
        } else if variable("EVENTFABRIC_DATABASE_URL") && !variable("EVENTFABRIC_EMBEDDED") {
            // Over what the settings file says.
            settings.embedded = None;
            given.set("embedded", Source::Environment("EVENTFABRIC_DATABASE_URL".to_owned()));
        }
        if let Some(dir) = &args.embedded {
            settings.embedded = Some(dir.clone());
            given.set("embedded", Source::Flag("--embedded"));
        }
        let named = args.database_url.is_some() || args.embedded.is_some();
        let config = args.config.clone();
        Ok(Self { settings, given, config, named, server: OnceCell::new() })
    }

    /// For who works on a plugin in this folder: the database that the arguments name, or else a private one
    /// that belongs to the folder. What settings and environment name may be in use. It is closed for itself.
    pub(super) fn of_author(&self, folder: &Path) -> anyhow::Result<Self> {
        let mut settings = self.settings.clone();
        if !self.named {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let dir = embedded::reachable(&folder.canonicalize()?.join(embedded::DEFAULT_DIR))?;
            if !dir.exists() {
                eprintln!(
                    "making a private PostgreSQL in {}; the next start is quicker",
                    dir.display()
                );
            }
            settings.embedded = Some(dir);
        }
        let config = self.config.clone();
        let given = self.given.clone();
        Ok(Self { settings, given, config, named: self.named, server: OnceCell::new() })
    }

    /// Where the database is. Starts the private server where one is asked for.
    pub(super) async fn options(&self) -> anyhow::Result<PgConnectOptions> {
        if let Some(dir) = &self.settings.embedded {
            let server = self
                .server
                .get_or_try_init(|| async { embedded::start(dir).await.map(Some) })
                .await?;
            if let Some(server) = server {
                return Ok(server.options());
            }
        }
        let usage = |message: &str| Exit { code: USAGE, message: message.to_owned() };
        let url = self.settings.database_url.as_deref().ok_or_else(|| {
            usage(
                "which database? Give --database-url (or EVENTFABRIC_DATABASE_URL), or --embedded \
                 for a private PostgreSQL",
            )
        })?;
        let form = "--database-url is not of the form postgres://user:password@host:5432/database";
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(usage(form).into());
        }
        PgConnectOptions::from_str(url).map_err(|error| usage(&format!("{form}: {error}")).into())
    }

    /// A pool on a database that answers. A private one is migrated on the way.
    pub(super) async fn pool(&self) -> anyhow::Result<PgPool> {
        let pool = self.pool_as_it_is().await?;
        self.migrate_private(&pool).await?;
        Ok(pool)
    }

    /// A pool on a database that answers, migrated or not.
    pub(super) async fn pool_as_it_is(&self) -> anyhow::Result<PgPool> {
        let pool = db::pool(self.options().await?, 4);
        reach(&pool).await?;
        Ok(pool)
    }

    /// A host on the database, with its active plugins or those of one mode.
    pub(super) async fn host(&self, only: Option<Mode>) -> anyhow::Result<Host> {
        self.host_with(only, 0).await
    }

    /// The same with no fewer connections than these.
    pub(super) async fn host_with(
        &self,
        only: Option<Mode>,
        connections: u32,
    ) -> anyhow::Result<Host> {
        let options = self.options().await?;
        let pool = db::pool(options.clone(), 1);
        reach(&pool).await?;
        self.migrate_private(&pool).await?;
        let mut config = self.settings.host();
        config.max_connections = config.max_connections.max(connections);
        Host::open(options, config, only).await
    }

    /// What keeps the SQL of plugins in bounds, and knows their tables.
    pub(super) async fn sandbox(&self) -> anyhow::Result<Sandbox> {
        Ok(Sandbox::new(db::pool(self.options().await?, 2), self.settings.sandbox.clone()))
    }

    /// Whether the command is given a database.
    pub(super) fn has_database(&self) -> bool {
        self.settings.database_url.is_some() || self.settings.embedded.is_some()
    }

    /// The tenants that have a database of their own: those of the settings, and those of the table in
    /// the database that the command is given, where it is given one.
    pub(super) async fn directory(&self) -> anyhow::Result<Directory> {
        let directory = Directory::fixed(self.settings.tenants.clone());
        if !self.has_database() {
            anyhow::ensure!(
                !self.settings.tenants.is_empty(),
                "which tenants? Name them in the settings ([tenants]), or give the database that \
                 lists them (--database-url)"
            );
            return Ok(directory);
        }
        Ok(directory.with_table(self.pool().await?))
    }

    async fn migrate_private(&self, pool: &PgPool) -> anyhow::Result<()> {
        if self.settings.embedded.is_some() {
            migrate::migrate(pool).await?;
        }
        Ok(())
    }

    /// Keeps the private server alive, where there is one, until `stop` is cancelled.
    pub(super) async fn keep_server(&self, stop: &CancellationToken) {
        let Some(Some(server)) = self.server.get() else { return };
        let mut failures = 0;
        loop {
            let pause = if failures == 0 { ALIVE } else { ALIVE + REVIVE.delay(failures) };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            match server.revive().await {
                Ok(false) => failures = 0,
                Ok(true) => {
                    failures = 0;
                    tracing::warn!(dir = %server.dir.display(),
                        "the private PostgreSQL had died; it was started again");
                }
                Err(error) => {
                    failures += 1;
                    tracing::error!(%error, "the private PostgreSQL has died and does not start");
                }
            }
        }
    }

    /// Stops the private server, where this process has started it.
    pub(super) async fn close(self) {
        if let Some(Some(server)) = self.server.into_inner()
            && let Err(error) = server.stop().await
        {
            tracing::warn!(%error, "the private PostgreSQL was not stopped");
        }
    }
}

/// Fails soon, and in words, where a pool would try for its whole time-out.
pub(super) async fn reach(pool: &PgPool) -> anyhow::Result<()> {
    let options = pool.connect_options();
    let answer = async {
        let mut conn = db::connect(&options).await?;
        sqlx::Connection::ping(&mut conn).await
    };
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(answer) => answer.map_err(unreachable),
        Err(_) => {
            let message = format!(
                "the database does not answer within {ANSWER:?}: is --database-url right, and \
                 does nothing on the way drop the connection?"
            );
            Err(Exit { code: UNREACHABLE, message }.into())
        }
    }
}

fn unreachable(error: sqlx::Error) -> anyhow::Error {
    let message = match &error {
        sqlx::Error::Database(db) if db.code().is_some_and(|code| code.starts_with("28")) => {
            format!("the database refuses this login: {}", db.message())
        }
        _ => store::describe(&error),
    };
    Exit { code: UNREACHABLE, message }.into()
}

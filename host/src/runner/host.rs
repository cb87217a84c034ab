//! A host: everything that runs on one database in one process.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::canary::Canary;
use super::config::RunnerConfig;
use super::folder::Folder;
use super::head::{Head, Hints};
use super::inline::InlinePlugins;
use super::membership::Membership;
use super::relay::Relay;
use super::stall::Stall;
use super::supervisor::{Supervisor, TaskHealth, supervise};
use super::tasks::Shared;
use crate::db;
use crate::plugin::{Limits, NewProjection, PluginConfig, Registry, Runtime};
use crate::projection::Mode;
use crate::sandbox::{Sandbox, SandboxConfig};
use crate::store::seal::Seal;
use crate::store::{APPEND_TIMEOUT, EventStore, migrate};
use crate::upcast::Upcasters;

/// What a host is told.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// The runners.
    pub runner: RunnerConfig,
    /// The limits of the plugins.
    pub limits: Limits,
    /// The limits of their SQL.
    pub sandbox: SandboxConfig,
    /// Settings of plugins, by plugin.
    pub plugins: HashMap<String, PluginConfig>,
    /// How projections begin that are new, by name.
    pub projections: HashMap<String, NewProjection>,
    /// Projections of the host's own.
    pub relays: Vec<Arc<Relay>>,
    /// The label of an aggregate's events in the outbox: what is taken to be the topic of an event that
    /// is no longer there.
    pub topics: BTreeMap<String, String>,
    /// Where compiled plugins are kept; without it each start compiles anew.
    pub cache_dir: Option<PathBuf>,
    /// Plugins are compiled in processes of their own, see
    /// [`Runtime::compiling_apart`](crate::plugin::Runtime::compiling_apart).
    pub compile_apart: bool,
    /// Connections for appends and runners, at most.
    pub max_connections: u32,
    /// Connections for queries that plugins answer, at most. Opened when they are needed.
    pub query_connections: u32,
    /// Appends that arrive together share transactions, see
    /// [`EventStore::with_group_commit`](crate::store::EventStore::with_group_commit).
    pub group_commit: bool,
    /// What an append may take as a whole, its inline plugins included.
    pub append_timeout: Duration,
    /// The keys that seal what is appended, see [`EventStore::with_seal`](crate::store::EventStore::with_seal).
    pub seal: Option<Seal>,
    /// How events of older schema versions are lifted before a plugin gets them. (A plugin may lift
    /// what it gets by itself, too.)
    pub upcasters: Upcasters,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            runner: RunnerConfig::default(),
            limits: Limits::default(),
            sandbox: SandboxConfig::default(),
            plugins: HashMap::new(),
            projections: HashMap::new(),
            relays: Vec::new(),
            topics: BTreeMap::new(),
            cache_dir: None,
            compile_apart: false,
            max_connections: 20,
            query_connections: 4,
            group_commit: true,
            append_timeout: APPEND_TIMEOUT,
            seal: None,
            upcasters: Upcasters::new(),
        }
    }
}

impl HostConfig {
    /// Refuses what no host could work with.
    ///
    /// # Errors
    /// Names the setting.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.runner.check()?;
        self.limits.check()?;
        for (name, new) in &self.projections {
            new.check().with_context(|| format!("projection.{name}"))?;
        }
        anyhow::ensure!(
            self.max_connections >= LEAST_CONNECTIONS,
            "max_connections is {}, and must be at least {LEAST_CONNECTIONS}: listening and following \
             the log take some of their own",
            self.max_connections
        );
        anyhow::ensure!(self.query_connections > 0, "query_connections must be at least 1");
        anyhow::ensure!(
            !self.append_timeout.is_zero(),
            "append_timeout must be longer than nothing"
        );
        Ok(())
    }

    /// Connections that a host opens, at most.
    pub fn connections(&self) -> u32 {
        self.max_connections + CONTROL_CONNECTIONS + self.query_connections
    }

    /// The engine that these settings ask for.
    ///
    /// # Errors
    /// When the folder of compiled plugins can't be used.
    pub fn runtime(&self) -> anyhow::Result<Runtime> {
        let runtime = Runtime::new(self.cache_dir.clone(), self.limits.clone())
            .context("the WebAssembly engine cannot be set up")?
            .with_upcasters(self.upcasters.clone());
        Ok(if self.compile_apart { runtime.compiling_apart() } else { runtime })
    }
}

/// Connections for the host's own errands: judging statements, cancelling queries. They are apart,
/// so that a batch which holds a connection and needs such an errand never waits for itself.
const CONTROL_CONNECTIONS: u32 = 4;

/// After the time of a batch, how long a transaction in which nothing happens is left alone.
pub(super) const LEASE_GRACE: Duration = Duration::from_secs(5);

/// Connections of a host, at least: with fewer it would wait for itself.
pub(super) const LEAST_CONNECTIONS: u32 = 5;

/// The event store of one database with its plugins.
pub struct Host {
    pub(super) store: EventStore,
    pub(super) registry: Arc<Registry>,
    /// Readers take nothing from the runners.
    pub(super) queries: PgPool,
    pub(super) config: HostConfig,
    pub(super) shared: Shared,
    pub(super) health: Arc<TaskHealth>,
    pub(super) running: AtomicBool,
}

impl Host {
    /// Opens a migrated database and loads its active plugins: all of them, or `only` those of one
    /// mode, for a process that just appends.
    ///
    /// # Errors
    /// When the database can't be reached, or is not migrated to what this binary knows.
    pub async fn open(
        options: PgConnectOptions,
        config: HostConfig,
        only: Option<Mode>,
    ) -> anyhow::Result<Self> {
        let runtime = config.runtime()?;
        Self::open_on(runtime, options, config, only).await
    }

    /// The same on an engine that other hosts of this process use, too.
    ///
    /// # Errors
    /// As [`Host::open`].
    pub async fn open_on(
        runtime: Runtime,
        options: PgConnectOptions,
        config: HostConfig,
        only: Option<Mode>,
    ) -> anyhow::Result<Self> {
        config.check()?;
        // A host that stands still in the middle of a batch keeps its locks until the server ends its
        // session: no later than it would have ended the batch itself.
        let longest = config.limits.plugin.values().filter_map(|own| own.batch);
        let longest = longest.chain(config.relays.iter().map(|relay| relay.time));
        let longest = longest.fold(config.limits.batch, Duration::max);
        let lease = (longest + LEASE_GRACE).as_millis().to_string();
        let options = options.options([("idle_in_transaction_session_timeout", lease)]);
        let pool = db::pool(options.clone(), config.max_connections);
        let control = db::pool(options.clone(), CONTROL_CONNECTIONS);
        let queries = db::pool(options, config.query_connections);
        let status = migrate::check(&pool).await?;
        anyhow::ensure!(
            status.pending.is_empty(),
            "the database lacks {} ({}): run `eventfabric migrate`",
            if status.pending.len() == 1 { "a migration" } else { "migrations" },
            status.pending.join(", ")
        );
        let sandbox = Sandbox::new(control, config.sandbox.clone());
        let registry = Registry::new(pool.clone(), runtime, sandbox, config.plugins.clone(), only)
            .with_new(config.projections.clone());
        let registry = Arc::new(registry);
        registry.sync().await?;
        let mut store = EventStore::new(pool)
            .with_inline(Arc::new(InlinePlugins::new(registry.clone())))
            .with_append_timeout(config.append_timeout);
        if config.group_commit {
            store = store.with_group_commit();
        }
        if let Some(seal) = &config.seal {
            store = store.with_seal(seal.clone());
        }
        let shared = Shared {
            hints: watch::Sender::new(Hints::default()),
            head: watch::Sender::new(Head::default()),
            retries: watch::Sender::new(0),
            tail: Arc::default(),
            idle: Arc::default(),
            losses: Arc::default(),
            members: Arc::new(Membership::new(&config.relays)),
            stalls: watch::Sender::new(Vec::new()),
        };
        Ok(Self {
            store,
            registry,
            queries,
            config,
            shared,
            health: Arc::default(),
            running: AtomicBool::new(false),
        })
    }

    /// The store, with the inline plugins of the database.
    pub fn store(&self) -> &EventStore {
        &self.store
    }

    /// On how many of the last events a version is tried before it becomes the active one.
    pub fn canary(&self) -> Canary {
        self.config.runner.canary()
    }

    /// The plugins.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Closes its connections.
    pub async fn close(&self) {
        tokio::join!(
            db::close(self.store.pool()),
            db::close(&self.queries),
            self.registry.sandbox().close()
        );
    }

    /// The end of the log, which moves while [`Host::run`] runs.
    pub fn head(&self) -> watch::Receiver<Head> {
        self.shared.head.subscribe()
    }

    /// Whether the projections run: [`Host::run`] has deployed what there was to deploy, and was not
    /// told to stop.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// What stands still although it has work, and what is in the way, as it changes while
    /// [`Host::run`] runs.
    pub fn stalls(&self) -> watch::Receiver<Vec<Stall>> {
        self.shared.stalls.subscribe()
    }

    /// Runs a task that belongs to this host until `stop` is cancelled, as its own: one that ends before
    /// is said so, counts among [`Host::failing_tasks`], and is started again.
    pub async fn supervise<F>(
        &self,
        name: &str,
        stop: &CancellationToken,
        make: impl Fn() -> F + Send,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        supervise(name, &self.health, stop, make).await;
    }

    /// The tasks that ended of late when they should not have, and are started again and again.
    pub fn failing_tasks(&self) -> Vec<String> {
        self.health.failing()
    }

    /// Runs the projections until `stop` is cancelled, and then until the batches in hand are
    /// finished. `plugins` is a folder whose components are deployed, now and when they change.
    ///
    /// # Errors
    /// When the folder can't be watched.
    pub async fn run(
        &self,
        plugins: Option<PathBuf>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut supervisor = Supervisor::new(self.health.clone(), stop.clone());
        if let Some(dir) = plugins {
            self.deploy_folder(dir, &mut supervisor, &stop).await?;
        }
        // What an operator's hand has changed, or an older host has left.
        if let Err(error) = self.registry.sandbox().mend().await {
            tracing::warn!(%error, "the rights of the plugins' roles could not be looked at");
        }
        for relay in &self.config.relays {
            relay.register(&self.registry).await?;
        }
        self.registry.sync().await?;
        for (name, registered) in &self.registry.snapshot().registered {
            if registered.failed {
                // A restart is the operator's way to say: try again.
                tracing::info!(projection = name, "it had stopped; it is tried again");
                self.registry.note_state(name, registered.generation, None).await?;
            }
        }
        self.registry.sync().await?;
        let shared = self.start_tasks(&mut supervisor, &stop);
        let projections = self.registry.snapshot();
        tracing::info!(projections = projections.active.len(), "running");
        self.running.store(true, Ordering::Relaxed);
        self.start_projections(&mut supervisor, &shared, &stop).await;
        self.running.store(false, Ordering::Relaxed);
        supervisor.finish().await;
        Ok(())
    }

    /// Deploys what is in the folder, and starts the task that deploys what changes.
    async fn deploy_folder(
        &self,
        dir: PathBuf,
        supervisor: &mut Supervisor,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut folder =
            Folder::watch(dir, self.registry.clone(), self.config.runner.canary(), stop.clone())?;
        folder.deploy_what_is_there().await;
        let folder = Arc::new(tokio::sync::Mutex::new(folder));
        supervisor.start("deploy", move || {
            let folder = folder.clone();
            async move { folder.lock().await.follow().await }
        });
        Ok(())
    }
}

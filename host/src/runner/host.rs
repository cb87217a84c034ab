//! A host: everything that runs on one database in one process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::catch_up::CatchUp;
use super::config::RunnerConfig;
use super::contention::Contention;
use super::folder::Folder;
use super::head::{self, Head, Hints};
use super::idle::IdleMoves;
use super::inline::InlinePlugins;
use super::membership::Membership;
use super::outbox::OutboxWorker;
use super::partitions;
use super::retries::Retries;
use super::retry::Beside;
use super::stall::{Stall, StallWatch};
use super::supervisor::{Supervisor, TaskHealth, supervise};
use super::tail::Tail;
use crate::db;
use crate::plugin::{Limits, NewProjection, PluginConfig, Registry, Runtime};
use crate::projection::Mode;
use crate::sandbox::{Sandbox, SandboxConfig};
use crate::store::seal::Seal;
use crate::store::{APPEND_TIMEOUT, EventStore, migrate};
use crate::upcast::Upcasters;

/// A host that hears of no change looks into the registry this often.
const FOLLOW: Duration = Duration::from_secs(1);

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
    /// The label of an aggregate's events in the outbox: what is taken to be the topic of an event that
    /// is no longer there.
    pub topics: BTreeMap<String, String>,
    /// Where compiled plugins are kept; without it each start compiles anew.
    pub cache_dir: Option<PathBuf>,
    /// Connections for appends and runners, at most.
    pub max_connections: u32,
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
            topics: BTreeMap::new(),
            cache_dir: None,
            max_connections: 20,
            group_commit: true,
            append_timeout: APPEND_TIMEOUT,
            seal: None,
            upcasters: Upcasters::new(),
        }
    }
}

impl HostConfig {
    /// Connections that a host opens, at most.
    pub fn connections(&self) -> u32 {
        self.max_connections + CONTROL_CONNECTIONS
    }

    /// The engine that these settings ask for.
    ///
    /// # Errors
    /// When the folder of compiled plugins can't be used.
    pub fn runtime(&self) -> anyhow::Result<Runtime> {
        Runtime::new(self.cache_dir.clone(), self.limits.clone())
            .map(|runtime| runtime.with_upcasters(self.upcasters.clone()))
            .context("the WebAssembly engine cannot be set up")
    }
}

/// Connections for the host's own errands: judging statements, cancelling queries. They are apart,
/// so that a batch which holds a connection and needs such an errand never waits for itself.
const CONTROL_CONNECTIONS: u32 = 4;

/// After the time of a batch, how long a transaction in which nothing happens is left alone.
const LEASE_GRACE: Duration = Duration::from_secs(5);

/// Projections for which work beside the queue is done at the same time, at most.
const RETRY_LANES: usize = 4;

/// A host with fewer would wait for itself.
pub(super) const LEAST_CONNECTIONS: u32 = 5;

/// The event store of one database with its plugins.
pub struct Host {
    store: EventStore,
    registry: Arc<Registry>,
    config: HostConfig,
    shared: Shared,
    health: Arc<TaskHealth>,
    running: AtomicBool,
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
        config.runner.check()?;
        for (name, new) in &config.projections {
            new.check().with_context(|| format!("projection.{name}"))?;
        }
        anyhow::ensure!(
            config.max_connections >= LEAST_CONNECTIONS,
            "max_connections is {}, and must be at least {LEAST_CONNECTIONS}: listening and following \
             the log take some of their own",
            config.max_connections
        );
        // A host that stands still in the middle of a batch keeps its locks until the server ends its
        // session: no later than it would have ended the batch itself.
        let lease = (config.limits.batch + LEASE_GRACE).as_millis().to_string();
        let options = options.options([("idle_in_transaction_session_timeout", lease)]);
        let pool = db::pool(options.clone(), config.max_connections);
        let control = db::pool(options, CONTROL_CONNECTIONS);
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
        anyhow::ensure!(
            !config.append_timeout.is_zero(),
            "append_timeout must be longer than nothing"
        );
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
            members: Arc::new(Membership::new()),
            stalls: watch::Sender::new(Vec::new()),
        };
        Ok(Self {
            store,
            registry,
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

    /// The plugins.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Closes its connections.
    pub async fn close(&self) {
        tokio::join!(db::close(self.store.pool()), self.registry.sandbox().close());
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
        let mut folder = Folder::watch(
            dir,
            self.registry.clone(),
            self.config.runner.canary_events,
            stop.clone(),
        )?;
        folder.deploy_what_is_there().await;
        let folder = Arc::new(tokio::sync::Mutex::new(folder));
        supervisor.start("deploy", move || {
            let folder = folder.clone();
            async move { folder.lock().await.follow().await }
        });
        Ok(())
    }

    /// Starts what does not depend on which projections there are.
    fn start_tasks(&self, supervisor: &mut Supervisor, stop: &CancellationToken) -> Shared {
        let shared = self.shared.clone();
        let pool = self.store.pool().clone();
        let (hints, token) = (shared.hints.clone(), stop.clone());
        supervisor
            .start("listen", move || head::listen(pool.clone(), hints.clone(), token.clone()));

        let (store, registry) = (self.store.clone(), self.registry.clone());
        let (told, token, poll) = (shared.clone(), stop.clone(), self.config.runner.poll);
        supervisor.start("head", move || {
            let parts = head::Parts {
                pool: store.pool().clone(),
                wake: store.wake().clone(),
                registry: registry.clone(),
                head: told.head.clone(),
                tail: told.tail.clone(),
            };
            head::follow(parts, told.hints.subscribe(), poll, token.clone())
        });

        let (pool, members, token) =
            (self.store.pool().clone(), shared.members.clone(), stop.clone());
        supervisor.start("membership", move || {
            let (pool, members, token) = (pool.clone(), members.clone(), token.clone());
            async move { members.follow(pool, token).await }
        });

        let pool = self.store.pool().clone();
        let (idle, members, token) = (shared.idle.clone(), shared.members.clone(), stop.clone());
        supervisor.start("idle checkpoints", move || {
            idle.clone().follow(pool.clone(), members.clone(), token.clone())
        });

        let (registry, hints, token) = (self.registry.clone(), shared.hints.clone(), stop.clone());
        supervisor.start("registry", move || {
            follow_registry(registry.clone(), hints.subscribe(), token.clone())
        });

        let pool = self.store.pool().clone();
        let (config, token) = (self.config.runner.partitions.clone(), stop.clone());
        supervisor.start("partitions", move || {
            partitions::keep_ahead(pool.clone(), config.clone(), token.clone())
        });

        let (host, told, token) = (self.parts(), shared.clone(), stop.clone());
        supervisor.start("stalls", move || {
            StallWatch {
                pool: host.store.pool().clone(),
                registry: host.registry.clone(),
                head: told.head.subscribe(),
                stalls: told.stalls.clone(),
                after: host.runner.stall,
                foreign_lease: host.runner.r#async.foreign_lease,
                stop: token.clone(),
            }
            .run()
        });

        let contention = Arc::new(Contention::default());
        self.start_retries(supervisor, &shared, &contention, stop);
        for worker in 0..self.config.runner.r#async.workers {
            let (host, shared, token) = (self.parts(), shared.clone(), stop.clone());
            let contention = contention.clone();
            supervisor.start(format!("outbox {worker}"), move || {
                OutboxWorker {
                    store: host.store.clone(),
                    registry: host.registry.clone(),
                    hints: shared.hints.subscribe(),
                    retries: shared.retries.clone(),
                    contention: contention.clone(),
                    config: host.runner.r#async.clone(),
                    poll: host.runner.poll,
                    stop: token.clone(),
                }
                .run()
            });
        }
        shared
    }

    /// Starts what is done beside the queue: attempts at what failed, events of before.
    fn start_retries(
        &self,
        supervisor: &mut Supervisor,
        shared: &Shared,
        contention: &Arc<Contention>,
        stop: &CancellationToken,
    ) {
        let beside = Arc::new(Beside {
            store: self.store.clone(),
            registry: self.registry.clone(),
            config: self.config.runner.r#async.clone(),
            topics: self.config.topics.clone(),
            contention: contention.clone(),
            stop: stop.clone(),
        });
        let lanes = (self.config.max_connections as usize / 5).clamp(1, RETRY_LANES);
        let shared = shared.clone();
        supervisor.start("retries", move || {
            Retries {
                beside: beside.clone(),
                hints: shared.hints.subscribe(),
                added: shared.retries.subscribe(),
                head: shared.head.subscribe(),
                lanes,
            }
            .run()
        });
    }

    /// Starts a task for each catch-up projection, those that come later included, until cancelled.
    async fn start_projections(
        &self,
        supervisor: &mut Supervisor,
        shared: &Shared,
        stop: &CancellationToken,
    ) {
        let mut changes = self.registry.changes();
        let mut started: HashSet<(String, i32)> = HashSet::new();
        loop {
            for (name, registered) in &self.registry.snapshot().registered {
                let shards = match registered.mode {
                    Mode::Inline | Mode::Async => 0,
                    Mode::CatchUp => registered.settings.shards,
                };
                for shard in (0..shards).filter(|shard| started.insert((name.clone(), *shard))) {
                    self.start_catch_up(supervisor, shared, stop, name, shard);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = changes.changed() => {}
            }
        }
    }

    fn start_catch_up(
        &self,
        supervisor: &mut Supervisor,
        shared: &Shared,
        stop: &CancellationToken,
        name: &str,
        shard: i32,
    ) {
        let (host, shared, token, name) =
            (self.parts(), shared.clone(), stop.clone(), name.to_owned());
        supervisor.start(format!("catch-up {name} {shard}"), move || {
            CatchUp {
                name: name.clone(),
                shard,
                store: host.store.clone(),
                registry: host.registry.clone(),
                head: shared.head.subscribe(),
                tail: shared.tail.clone(),
                idle: shared.idle.clone(),
                members: shared.members.clone(),
                config: host.runner.catch_up.clone(),
                poll: host.runner.poll,
                stop: token.clone(),
            }
            .run()
        });
    }

    fn parts(&self) -> Parts {
        Parts {
            store: self.store.clone(),
            registry: self.registry.clone(),
            runner: self.config.runner.clone(),
        }
    }
}

/// What every task needs.
#[derive(Clone)]
struct Parts {
    store: EventStore,
    registry: Arc<Registry>,
    runner: RunnerConfig,
}

/// What the tasks tell each other.
#[derive(Clone)]
struct Shared {
    hints: watch::Sender<Hints>,
    head: watch::Sender<Head>,
    retries: watch::Sender<u64>,
    tail: Arc<Tail>,
    idle: Arc<IdleMoves>,
    members: Arc<Membership>,
    stalls: watch::Sender<Vec<Stall>>,
}

/// Keeps the registry of this host up to date with the database.
async fn follow_registry(
    registry: Arc<Registry>,
    mut hints: watch::Receiver<Hints>,
    stop: CancellationToken,
) {
    let mut seen = hints.borrow_and_update().plugins;
    let mut failing = false;
    loop {
        let synced = tokio::select! {
            biased;
            synced = registry.sync() => synced,
            () = stop.cancelled() => return,
        };
        match synced {
            Ok(()) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::warn!(error = format!("{error:#}"), "the registry cannot be read");
                }
                failing = true;
            }
        }
        let sleep = tokio::time::sleep(FOLLOW);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = &mut sleep => break,
                _ = hints.changed() => {
                    let plugins = hints.borrow_and_update().plugins;
                    if plugins != seen {
                        seen = plugins;
                        break;
                    }
                }
            }
        }
    }
}

//! Which version of which plugin is active: the tables that every host follows, and what of it is
//! loaded in this one.

mod activate;
mod relays;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};
use tokio::sync::watch;

use super::active::Active;
use super::config;
use super::costs::Costs;
use super::deployments::{self, Outcome};
use super::settings::{NewProjection, Paused, ProjectionSettings};
use super::{Plugin, Runtime};
use crate::db;
use crate::projection::Mode;
use crate::sandbox::{Sandbox, SandboxError};

pub use relays::RELAY;

/// Between attempts at a version that does not load: doubled from the first to the last.
const FIRST_RELOAD: Duration = Duration::from_millis(500);
const LAST_RELOAD: Duration = Duration::from_secs(60);

/// The settings that the operator gave a plugin.
pub type PluginConfig = Arc<BTreeMap<String, String>>;

/// A projection as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Registered {
    /// The projection, which is the plugin's name.
    pub name: String,
    /// How it is fed.
    pub mode: Mode,
    /// The SHA-256 of the active version, in hex.
    pub version: String,
    /// Counts the activations.
    pub generation: i64,
    /// It was stopped by an error and waits for a new version or a restart.
    pub failed: bool,
    /// The error that stopped it.
    pub last_error: Option<String>,
    /// When this version became the active one.
    pub activated_at: DateTime<Utc>,
    /// What was decided for it.
    pub settings: ProjectionSettings,
    /// Since when, by whom and why no host runs it.
    pub paused: Option<Paused>,
    /// Async: it is still on its way through the events that were there before it.
    pub backfilling: bool,
}

impl Registered {
    /// Whether hosts are to run it: it was neither paused nor stopped by an error.
    pub fn runs(&self) -> bool {
        !self.failed && self.paused.is_none()
    }
}

/// What the registry held at one moment.
#[derive(Default)]
pub struct Snapshot {
    /// All projections of the database, by name.
    pub registered: BTreeMap<String, Registered>,
    /// Those of them that this host has loaded.
    pub active: BTreeMap<String, Arc<Active>>,
}

impl Snapshot {
    /// The projections of a mode, by priority and name, loaded or not.
    pub fn of_mode(&self, mode: Mode) -> impl Iterator<Item = (&Registered, Option<&Arc<Active>>)> {
        let mut found: Vec<_> =
            self.registered.values().filter(|registered| registered.mode == mode).collect();
        // Stable: those of one priority stay in the order of their names.
        found.sort_by_key(|registered| registered.settings.priority);
        found.into_iter().map(|registered| (registered, self.current(&registered.name)))
    }

    /// The active version of a projection, where this host has loaded it. A version that was active
    /// before is none: it does not know what the new one wants.
    pub fn current(&self, name: &str) -> Option<&Arc<Active>> {
        let generation = self.registered.get(name)?.generation;
        self.active.get(name).filter(|active| active.generation == generation)
    }

    /// A number that changes with every activation in this mode: the sum of generations.
    pub fn epoch(&self, mode: Mode) -> i64 {
        self.of_mode(mode).map(|(registered, _)| registered.generation).sum()
    }
}

/// The registry of one database, followed by one host.
pub struct Registry {
    pool: PgPool,
    runtime: Runtime,
    sandbox: Sandbox,
    configs: HashMap<String, PluginConfig>,
    new: HashMap<String, NewProjection>,
    /// Only this mode is loaded; the others are known by name.
    only: Option<Mode>,
    loaded: Mutex<HashMap<String, Arc<Plugin>>>,
    /// Activations that did not load, and when to try them again.
    unloadable: Mutex<HashMap<(String, i64), (Instant, u32)>>,
    syncing: tokio::sync::Mutex<()>,
    snapshot: ArcSwap<Snapshot>,
    costs: Costs,
    changed: watch::Sender<u64>,
}

impl Registry {
    /// A registry that has read nothing yet. `only` keeps a process that needs no other plugins
    /// from compiling them.
    pub fn new(
        pool: PgPool,
        runtime: Runtime,
        sandbox: Sandbox,
        configs: HashMap<String, PluginConfig>,
        only: Option<Mode>,
    ) -> Self {
        Self {
            pool,
            runtime,
            sandbox,
            configs,
            new: HashMap::new(),
            only,
            loaded: Mutex::default(),
            unloadable: Mutex::default(),
            syncing: tokio::sync::Mutex::default(),
            snapshot: ArcSwap::default(),
            costs: Costs::default(),
            changed: watch::Sender::new(0),
        }
    }

    /// How projections begin that are not registered yet, by name.
    #[must_use]
    pub fn with_new(mut self, new: HashMap<String, NewProjection>) -> Self {
        self.new = new;
        self
    }

    /// What the registry held when it was last read.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Tells of each change of the snapshot.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The pool that the registry reads with.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The engine that the plugins run on.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// What its projections cost this host.
    pub fn costs(&self) -> &Costs {
        &self.costs
    }

    /// What keeps their SQL in bounds.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The settings of a plugin: those of this process, and over them those of the database.
    ///
    /// # Errors
    /// The database's.
    pub async fn config(&self, name: &str) -> sqlx::Result<PluginConfig> {
        let own = self.configs.get(name).cloned().unwrap_or_default();
        let stored = config::config(&self.pool, name).await?;
        if stored.is_empty() {
            return Ok(own);
        }
        let mut all = (*own).clone();
        all.extend(stored.into_iter().map(|setting| (setting.key, setting.value)));
        Ok(Arc::new(all))
    }

    /// Remembers a loaded version, so that the next [`Registry::sync`] need not load it again.
    pub fn remember(&self, plugin: &Arc<Plugin>) {
        self.lock_loaded().insert(plugin.version.full(), plugin.clone());
    }

    /// Reads the registry and loads what is new. A version that does not load is tried again after
    /// a while; until then this host does not run the projection.
    pub async fn sync(&self) -> anyhow::Result<()> {
        let _one_at_a_time = self.syncing.lock().await;
        let rows = registered(&self.pool).await?;
        let before = self.snapshot();
        let mut next = Snapshot::default();
        let mut differs = before.registered.len() != rows.len();
        for row in rows {
            let known = before.active.get(&row.name);
            let current = match known {
                Some(active) if active.generation == row.generation => Some(active.clone()),
                _ if self.only.is_some_and(|mode| mode != row.mode) => None,
                _ if row.is_relay() || !self.may_load(&row) => None,
                _ => match self.load(&row).await {
                    Ok(active) => {
                        differs = true;
                        Some(Arc::new(active))
                    }
                    // Nothing of that is the version's fault: the next look finds out.
                    Err(error) if is_connection_lost(&error) => return Err(error),
                    Err(error) => {
                        self.load_later(&row);
                        tracing::error!(
                            plugin = row.name,
                            version = row.version.get(..12),
                            error = format!("{error:#}"),
                            "the active version of a plugin cannot be loaded in this host"
                        );
                        None
                    }
                },
            };
            differs |= before.registered.get(&row.name) != Some(&row);
            if let Some(active) = current {
                next.active.insert(row.name.clone(), active);
            }
            next.registered.insert(row.name.clone(), row);
        }
        if differs {
            // Versions that are no longer active are dropped when their last batch has ended.
            self.lock_loaded().retain(|version, _| {
                next.registered.values().any(|registered| &registered.version == version)
            });
            self.snapshot.store(Arc::new(next));
            self.changed.send_modify(|n| *n += 1);
        }
        Ok(())
    }

    async fn load(&self, row: &Registered) -> anyhow::Result<Active> {
        let known = self.lock_loaded().get(&row.version).cloned();
        let plugin = match known {
            Some(plugin) => plugin,
            None => self.stored(&row.name, &row.version).await?.0,
        };
        anyhow::ensure!(
            plugin.version.full() == row.version,
            "its bytes in the database do not have its SHA-256"
        );
        self.admit(&plugin).await??;
        self.remember(&plugin);
        let sql = self.sandbox.version(&row.name, &row.version).await?;
        let (config, settings) = (self.config(&row.name).await?, row.settings.clone());
        let meter = self.costs.meter(&row.name, &row.version);
        Ok(Active { plugin, sql, config, generation: row.generation, settings, meter })
    }

    /// Whether it is time to load this activation.
    fn may_load(&self, row: &Registered) -> bool {
        let unloadable = self.unloadable.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let key = (row.name.clone(), row.generation);
        unloadable.get(&key).is_none_or(|(at, _)| Instant::now() >= *at)
    }

    /// Loading failed: next time later.
    fn load_later(&self, row: &Registered) {
        let mut unloadable =
            self.unloadable.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        unloadable
            .retain(|(name, generation), _| *name != row.name || *generation == row.generation);
        let key = (row.name.clone(), row.generation);
        let failures = unloadable.get(&key).map_or(0, |(_, failures)| failures + 1);
        let delay = FIRST_RELOAD.saturating_mul(1 << failures.min(16)).min(LAST_RELOAD);
        unloadable.insert(key, (Instant::now() + delay, failures));
    }

    fn lock_loaded(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Plugin>>> {
        self.loaded.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Notes that a version was refused, and why.
    pub async fn note_refusal(&self, plugin: &Plugin, outcome: &Outcome<'_>) -> sqlx::Result<()> {
        let (name, version) = (&plugin.description.name, plugin.version.full());
        deployments::note(&self.pool, name, &version, outcome).await
    }

    /// A version of a plugin that was active before.
    ///
    /// # Errors
    /// When its bytes can't be read, or are no plugin for this host.
    pub async fn stored(
        &self,
        plugin: &str,
        version: &str,
    ) -> anyhow::Result<(Arc<Plugin>, Arc<[u8]>)> {
        let stored = sqlx::query_file!("src/plugin/sql/version_bytes.sql", plugin, version)
            .fetch_one(&self.pool)
            .await
            .context("its bytes cannot be read")?;
        let bytes: Arc<[u8]> = stored.bytes.into();
        Ok((Arc::new(self.runtime.load(bytes.clone()).await?), bytes))
    }

    /// Notes in the database, for everybody who asks, that a projection runs or why it does not.
    pub async fn note_state(
        &self,
        name: &str,
        generation: i64,
        error: Option<&str>,
    ) -> sqlx::Result<()> {
        let state = if error.is_some() { "failed" } else { "running" };
        sqlx::query_file!("src/plugin/sql/state.sql", name, generation, state, error)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Whether something failed because the connection was lost.
fn is_connection_lost(error: &anyhow::Error) -> bool {
    let of_database = error.downcast_ref::<sqlx::Error>().is_some_and(db::is_connection_lost);
    let of_sandbox = error.downcast_ref::<SandboxError>();
    of_database || of_sandbox.is_some_and(SandboxError::is_connection_lost)
}

/// All projections of the database.
pub async fn registered(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Registered>> {
    let rows = sqlx::query_file!("src/plugin/sql/registry.sql").fetch_all(executor).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let mode = match row.mode.as_str() {
                "inline" => Mode::Inline,
                "catch-up" => Mode::CatchUp,
                _ => Mode::Async,
            };
            Registered {
                name: row.name,
                mode,
                version: row.version,
                generation: row.generation,
                failed: row.state == "failed",
                last_error: row.last_error,
                activated_at: row.activated_at,
                settings: ProjectionSettings {
                    shards: row.shards,
                    on_poison: row.on_poison.parse().unwrap_or_default(),
                    stream_order: row.stream_order,
                    topics: row.topics.and_then(|topics| serde_json::from_value(topics).ok()),
                    priority: row.priority,
                    starts_after: row.starts_after,
                    next_at: row.next_at,
                },
                paused: row.paused_at.map(|at| Paused {
                    at,
                    by: row.paused_by,
                    reason: row.pause_reason,
                }),
                // A version of another mode gets its events in another way.
                backfilling: row.backfilling && mode == Mode::Async,
            }
        })
        .collect())
}

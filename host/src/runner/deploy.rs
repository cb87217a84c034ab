//! Making the bytes of a component the active version of its projection: check, migrate, try on
//! real events, activate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::deliver::{Bounds, Delivery, deliver};
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{
    self, Action, Active, Deployment, LoadError, Origin, Plugin, ProjectionSettings, Registered,
    Registry,
};
use crate::projection::{Failure, FailureKind, Mode};
use crate::sandbox::{PluginSql, SandboxError};
use crate::store::{self, LogFilter, StoreError};

/// Who deploys what nobody deploys by name.
pub(super) const HOST: &str = concat!("eventfabric ", env!("CARGO_PKG_VERSION"));

/// As much of a plugin's history as is looked through.
const HISTORY: i64 = 1000;

/// After a failure on trial beyond this time, the rest of the events is not tried.
const TRIAL: Duration = Duration::from_secs(2);

/// A version that became active, or was already.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The projection.
    pub name: String,
    /// The SHA-256 of the version.
    pub version: String,
    /// The version before, where there was one.
    pub before: Option<String>,
    /// It was the active version already, and nothing was done.
    pub unchanged: bool,
    /// Events that went well on trial.
    pub tried: usize,
    /// How long the whole took.
    pub took: Duration,
}

/// Why a version did not become active. The one before it goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// The file is no plugin that this host can run.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its schema or its migrations were refused.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// It failed on real events.
    #[error(
        "on trial with {events} events of the log it failed: {message}; the trial was rolled back"
    )]
    Trial {
        /// How many events it was given.
        events: usize,
        /// What happened.
        message: String,
    },
    /// Another mode than the active version's.
    #[error(
        "it is {now}, and the active version is {before}: events that are on their way would be \
         lost or repeated; give the projection another name"
    )]
    ModeChanged {
        /// The mode of the new version.
        now: Mode,
        /// The mode of the active version.
        before: Mode,
    },
    /// A folder has a version from which somebody, or a host, went back to an earlier one.
    #[error(
        "{why}; `eventfabric plugin deploy FILE` deploys it all the same, and another file in its place \
         is deployed as ever"
    )]
    WentBack {
        /// Who went back from it, and why.
        why: String,
    },
    /// There is no such plugin.
    #[error("there is no plugin `{0}`")]
    Unknown(String),
    /// There is no such version, or none to go back to.
    #[error("{0}")]
    Version(String),
    /// The database failed meanwhile.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registry could not be written.
    #[error("the registry: {0:#}")]
    Registry(#[from] anyhow::Error),
}

/// Deploys a component. `source` says where it came from, for the registry; it is tried on the last
/// `canary_events` events of its types.
pub async fn deploy(
    registry: &Arc<Registry>,
    bytes: Arc<[u8]>,
    source: &str,
    canary_events: i64,
) -> Result<Deployed, DeployError> {
    let origin = Origin { action: Action::Deploy, by: HOST, source, reason: None };
    deploy_from(registry, bytes, &origin, canary_events).await
}

/// The same, with who does it.
pub async fn deploy_from(
    registry: &Arc<Registry>,
    bytes: Arc<[u8]>,
    origin: &Origin<'_>,
    canary_events: i64,
) -> Result<Deployed, DeployError> {
    let start = Instant::now();
    let plugin = Arc::new(registry.runtime().load(bytes.clone()).await?);
    let deployed = deploy_loaded(registry, plugin, bytes, origin, canary_events).await?;
    Ok(Deployed { took: start.elapsed(), ..deployed })
}

/// Deploys what a folder has, unless it is the version that was gone back from last: a file that lies
/// there undoes nobody's decision.
pub(super) async fn deploy_found(
    registry: &Arc<Registry>,
    plugin: Arc<Plugin>,
    bytes: Arc<[u8]>,
    source: &str,
    canary_events: i64,
) -> Result<Deployed, DeployError> {
    if let Some(last) = last_activation(registry, &plugin.description.name).await?
        && last.action != Action::Deploy
        && last.replaced == Some(plugin.version.full())
    {
        let by = last.by.as_deref().unwrap_or("somebody");
        let why = match &last.error {
            Some(error) => format!("{by} went back from this version, as it failed: {error}"),
            None => format!("{by} went back from this version at {}", last.at.to_rfc3339()),
        };
        return Err(DeployError::WentBack { why });
    }
    let origin = Origin { action: Action::Deploy, by: HOST, source, reason: None };
    deploy_loaded(registry, plugin, bytes, &origin, canary_events).await
}

/// How the active version of a plugin became that.
pub(super) async fn last_activation(
    registry: &Registry,
    name: &str,
) -> Result<Option<Deployment>, DeployError> {
    let history = plugin::deployments(registry.pool(), name, HISTORY).await;
    Ok(history.map_err(StoreError::from)?.into_iter().find(Deployment::activated))
}

/// Goes back to a version that was active before: the one that the active one has replaced, or the one
/// whose SHA-256 begins so.
///
/// # Errors
/// When there is none, and what a deploy of it would meet: it must know all the migrations of the tables.
pub async fn roll_back(
    registry: &Arc<Registry>,
    name: &str,
    version: Option<&str>,
    by: &str,
    canary_events: i64,
) -> Result<Deployed, DeployError> {
    registry.sync().await?;
    let registered = registry.snapshot().registered.get(name).cloned();
    let Some(registered) = registered else {
        return Err(DeployError::Unknown(name.to_owned()));
    };
    let active = &registered.version;
    let target = match version {
        Some(beginning) => version_of(registry, name, beginning).await?,
        None => version_before(registry, name, active).await?.ok_or_else(|| {
            DeployError::Version(format!(
                "`{name}` has no version before the active one; `eventfabric plugin versions {name}` \
                 lists them"
            ))
        })?,
    };
    let (plugin, bytes) = registry.stored(name, &target).await?;
    let source = format!("version {}", active.get(..12).unwrap_or(active));
    let origin = Origin { action: Action::Rollback, by, source: &source, reason: None };
    deploy_loaded(registry, plugin, bytes, &origin, canary_events).await
}

/// The version that the active one has replaced.
async fn version_before(
    registry: &Registry,
    name: &str,
    active: &str,
) -> Result<Option<String>, DeployError> {
    let history = plugin::deployments(registry.pool(), name, HISTORY).await;
    let history = history.map_err(StoreError::from)?;
    // Not by which way back it came: who goes back twice comes to the version before that one.
    let came =
        history.iter().find(|d| d.activated() && d.action == Action::Deploy && d.version == active);
    if let Some(replaced) = came.and_then(|deployment| deployment.replaced.clone()) {
        return Ok(Some(replaced));
    }
    // From before there was a history.
    let versions = plugin::versions(registry.pool(), name).await.map_err(StoreError::from)?;
    let earlier =
        versions.into_iter().map(|known| known.version).skip_while(|v| v != active).nth(1);
    Ok(earlier)
}

/// The version whose SHA-256 begins so.
pub(super) async fn version_of(
    registry: &Registry,
    name: &str,
    beginning: &str,
) -> Result<String, DeployError> {
    let versions = plugin::versions(registry.pool(), name).await.map_err(StoreError::from)?;
    let beginning = beginning.to_ascii_lowercase();
    let mut found = versions.iter().filter(|known| known.version.starts_with(&beginning));
    match (found.next(), found.next()) {
        (Some(known), None) if !beginning.is_empty() => Ok(known.version.clone()),
        (None, _) => Err(DeployError::Version(format!(
            "no version of `{name}` begins with {beginning}; `eventfabric plugin versions {name}` lists \
             them"
        ))),
        _ => Err(DeployError::Version(format!(
            "more than one version of `{name}` begins with {beginning}: give more digits"
        ))),
    }
}

/// Deploys a component that was loaded from these bytes, and notes what became of it.
async fn deploy_loaded(
    registry: &Arc<Registry>,
    plugin: Arc<Plugin>,
    bytes: Arc<[u8]>,
    origin: &Origin<'_>,
    canary_events: i64,
) -> Result<Deployed, DeployError> {
    let start = Instant::now();
    registry.sync().await?;
    let name = &plugin.description.name;
    let before = registry.snapshot().registered.get(name).cloned();
    let active = before.as_ref().map(|before| &*before.version);
    let mut deployed = Deployed {
        name: name.clone(),
        version: plugin.version.full(),
        before: active.map(str::to_owned),
        unchanged: true,
        tried: 0,
        took: Duration::ZERO,
    };
    if active == Some(&*deployed.version) {
        deployed.took = start.elapsed();
        return Ok(deployed);
    }
    match prepare(registry, &plugin, before.as_ref(), canary_events).await {
        Ok(tried) => deployed.tried = tried,
        Err(error) => {
            // A database that is away can't note it either, and it is tried again.
            let why = error.to_string();
            if let Err(error) = registry.note_refusal(&plugin, origin, active, &why).await {
                tracing::debug!(%error, "that a version was refused could not be noted");
            }
            return Err(error);
        }
    }
    registry.remember(&plugin);
    registry.activate(&plugin, &bytes, origin, active, deployed.tried, None).await?;
    tell(registry).await?;
    deployed.unchanged = false;
    deployed.took = start.elapsed();
    Ok(deployed)
}

/// This host and the others follow what was activated.
pub(super) async fn tell(registry: &Registry) -> anyhow::Result<()> {
    registry.sync().await?;
    if let Err(error) = store::notify_plugins(registry.pool()).await {
        tracing::debug!(%error, "other hosts will find the new version by polling");
    }
    Ok(())
}

/// Brings the tables to where a version wants them, and tries it. Answers how many events went well.
async fn prepare(
    registry: &Registry,
    plugin: &Arc<Plugin>,
    before: Option<&Registered>,
    canary_events: i64,
) -> Result<usize, DeployError> {
    same_mode(plugin, before)?;
    // One that has stopped can't be broken any more.
    let active = before.filter(|before| !before.failed).map(|before| &*before.version);
    registry.sandbox().prepare_beside(&plugin.description, active).await?;
    let sandbox = registry.sandbox();
    let sql = sandbox.learning(&plugin.description.name, &plugin.version.full()).await?;
    let events = last_events(registry, &plugin.description.event_types, canary_events).await?;
    let tried = on_trial(registry, plugin.clone(), sql, &events).await?;
    Ok(tried.verdict(&plugin.description.name)?)
}

/// Another mode than the active version's.
pub(super) struct OtherMode {
    now: Mode,
    before: Mode,
}

impl From<OtherMode> for DeployError {
    fn from(OtherMode { now, before }: OtherMode) -> Self {
        Self::ModeChanged { now, before }
    }
}

/// Refuses another mode than the active version's.
pub(super) fn same_mode(plugin: &Plugin, before: Option<&Registered>) -> Result<(), OtherMode> {
    let (now, before) = (plugin.description.mode, before.map(|before| before.mode));
    match before.filter(|before| *before != now) {
        Some(before) => Err(OtherMode { now, before }),
        None => Ok(()),
    }
}

/// How a trial went.
pub(super) struct Tried {
    /// How many events it was given.
    pub events: usize,
    /// The failures of single events.
    pub refused: Vec<Failure>,
    /// Events that were not tried to the end, and why.
    pub left: Option<(usize, Failure)>,
}

/// What a trial has said against a version.
pub(super) struct Against {
    events: usize,
    message: String,
}

impl From<Against> for DeployError {
    fn from(Against { events, message }: Against) -> Self {
        Self::Trial { events, message }
    }
}

impl Tried {
    /// How many events went well, where nothing speaks against the version itself. That an event is
    /// refused which was handled before is no surprise.
    pub(super) fn verdict(self, name: &str) -> Result<usize, Against> {
        let trial = |message: &str| Against { events: self.events, message: message.to_owned() };
        if let Some(failure) = self.refused.iter().find(|failure| failure.trapped) {
            return Err(trial(&failure.message));
        }
        let left = match &self.left {
            Some((_, failure)) if failure.kind == FailureKind::Fatal || failure.trapped => {
                return Err(trial(&failure.message));
            }
            left => left.as_ref().map_or(0, |(left, _)| *left),
        };
        if let Some(failure) = self.refused.first() {
            tracing::info!(
                plugin = name,
                refused = self.refused.len(),
                of = self.events,
                first = failure.message,
                "on trial it refused events, as can be when they were handled before; the others \
                 went well"
            );
        }
        Ok(self.events - self.refused.len() - left)
    }
}

/// The last so many events of these types (none: of all).
pub(super) async fn last_events(
    registry: &Registry,
    types: &[String],
    events: i64,
) -> Result<Vec<Event>, DeployError> {
    let row = sqlx::query_file!("src/runner/sql/trial_start.sql", types, events)
        .fetch_one(registry.pool())
        .await
        .map_err(StoreError::from)?;
    events_after(registry, types, row.first.map_or(0, |first| first - 1), events).await
}

/// The first so many events of these types (none: of all) after a position.
pub(super) async fn events_after(
    registry: &Registry,
    types: &[String],
    after: i64,
    events: i64,
) -> Result<Vec<Event>, DeployError> {
    let filter = LogFilter { after, types: types.to_vec(), ..LogFilter::default() };
    Ok(store::log_page(registry.pool(), &filter, events).await?.events)
}

/// Lets a version handle events of its types, in a transaction that is rolled back.
pub(super) async fn on_trial(
    registry: &Registry,
    plugin: Arc<Plugin>,
    sql: Arc<PluginSql>,
    events: &[Event],
) -> Result<Tried, DeployError> {
    let mut tried = Tried { events: events.len(), refused: Vec::new(), left: None };
    if events.is_empty() {
        return Ok(tried);
    }
    let tx = Tx::begin(registry.pool(), plugin.limits().batch).await.map_err(StoreError::from)?;
    let active = as_active(registry, plugin, sql);
    let delivery = try_them(tx, &active, events, TRIAL).await?;
    delivery.tx.rollback().await.map_err(StoreError::from)?;
    tried.refused = delivery.failed.into_iter().map(|(_, failure)| failure).collect();
    tried.left = delivery.left.map(|(left, failure)| (left.len(), failure));
    Ok(tried)
}

/// A version as it would be if it were active.
pub(super) fn as_active(registry: &Registry, plugin: Arc<Plugin>, sql: Arc<PluginSql>) -> Active {
    let config = registry.config(&plugin.description.name);
    Active { plugin, sql, config, generation: 0, settings: ProjectionSettings::default() }
}

/// Hands events to a version, of which single ones may fail. After a failure beyond this time the rest is
/// left, and so it is once one has trapped.
pub(super) async fn try_them(
    tx: Tx,
    active: &Active,
    events: &[Event],
    time: Duration,
) -> Result<Delivery, DeployError> {
    let bounds = Bounds {
        interrupted: u32::MAX,
        give_way: 0,
        order: false,
        turns: true,
        until_trap: true,
        time,
        stop: &CancellationToken::new(),
    };
    deliver(tx, active, events, &bounds).await.map_err(|why| {
        // That says nothing of the version.
        let plugin = &active.plugin.description.name;
        tracing::debug!(plugin, ?why, "the trial was interrupted");
        StoreError::from(sqlx::Error::WorkerCrashed).into()
    })
}

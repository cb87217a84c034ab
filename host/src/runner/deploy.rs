//! Making the bytes of a component the active version of its projection: check, migrate, try on
//! real events, activate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::canary::{self, Canary, Trial};
use super::rebuild::{RebuildError, Rebuilt};
use super::trial::Against;
use crate::code::codes;
use crate::plugin::{
    self, Action, Deployment, LoadError, OUTGOING, Origin, Outcome, Plugin, Registered, Registry,
    short,
};
use crate::projection::Mode;
use crate::sandbox::SandboxError;
use crate::store::{self, StoreError};

/// Who deploys what nobody deploys by name.
pub(super) const HOST: &str = concat!("eventfabric ", env!("CARGO_PKG_VERSION"));

/// As much of a plugin's history as is looked through.
const HISTORY: i64 = 1000;

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
    /// It is to become active at this position, and is not yet.
    pub at: Option<i64>,
    /// How the trial went.
    pub trial: Option<Trial>,
    /// How its tables were made, where it has come with new ones.
    pub rebuilt: Option<Rebuilt>,
    /// How long the whole took.
    pub took: Duration,
}

impl Deployed {
    /// A version of which nothing is done yet.
    pub(super) fn of(plugin: &Plugin, before: Option<&Registered>) -> Self {
        let version = plugin.version.full();
        Self {
            name: plugin.description.name.clone(),
            unchanged: before.is_some_and(|before| before.version == version),
            before: before.map(|before| before.version.clone()),
            version,
            at: None,
            tried: 0,
            trial: None,
            rebuilt: None,
            took: Duration::ZERO,
        }
    }
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
    /// It sends requests, and the operator has granted it no server.
    #[error(
        "`{0}` imports {OUTGOING}, and no server is granted to it: say which one by `eventfabric plugin \
         grants {0} --add https:HOST:PORT` (http:HOST:PORT without TLS), and deploy it again"
    )]
    NoServer(String),
    /// There is no such plugin.
    #[error("there is no plugin `{0}`")]
    Unknown(String),
    /// There is no such version, or none to go back to.
    #[error("{0}")]
    Version(String),
    /// Its new tables were not filled, or did not take the place of the old ones.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// The database failed meanwhile.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registry could not be written.
    #[error("the registry: {0:#}")]
    Registry(#[from] anyhow::Error),
}

codes!(DeployError {
    Self::Trial { .. } => "trial-failed",
    Self::ModeChanged { .. } => "mode-changed",
    Self::WentBack { .. } => "went-back",
    Self::NoServer(_) => "import-not-granted",
    Self::Unknown(_) => "unknown-plugin",
    Self::Version(_) => "unknown-version",
    Self::Registry(_) => "registry-failed",
} else {
    Self::Load(error) => error,
    Self::Sandbox(error) => error,
    Self::Rebuild(error) => error,
    Self::Store(error) => error,
});

/// Deploys a component. `source` says where it came from, for the registry.
pub async fn deploy(
    registry: &Arc<Registry>,
    bytes: Arc<[u8]>,
    source: &str,
    canary: impl Into<Canary>,
) -> Result<Deployed, DeployError> {
    let origin = Origin { action: Action::Deploy, by: HOST, source, reason: None };
    deploy_from(registry, bytes, &origin, &canary.into()).await
}

/// The same, with who does it.
pub async fn deploy_from(
    registry: &Arc<Registry>,
    bytes: Arc<[u8]>,
    origin: &Origin<'_>,
    canary: &Canary,
) -> Result<Deployed, DeployError> {
    let start = Instant::now();
    let plugin = Arc::new(registry.runtime().load(bytes.clone()).await?);
    let deployed = deploy_loaded(registry, plugin, bytes, origin, canary).await?;
    Ok(Deployed { took: start.elapsed(), ..deployed })
}

/// Deploys what a folder has, unless it is the version that was gone back from last: a file that lies
/// there undoes nobody's decision.
pub(super) async fn deploy_found(
    registry: &Arc<Registry>,
    plugin: Arc<Plugin>,
    bytes: Arc<[u8]>,
    source: &str,
    canary: &Canary,
) -> Result<Deployed, DeployError> {
    if let Some(last) = last_activation(registry, &plugin.description.name).await?
        && (last.action != Action::Deploy || last.rebuilt)
        && last.replaced == Some(plugin.version.full())
    {
        let by = last.by.as_deref().unwrap_or("somebody");
        let why = match &last.error {
            None if last.action == Action::Deploy => {
                format!("{by} has replaced this version by one with tables of its own")
            }
            Some(error) => format!("{by} went back from this version, as it failed: {error}"),
            None => format!("{by} went back from this version at {}", last.at.to_rfc3339()),
        };
        return Err(DeployError::WentBack { why });
    }
    let origin = Origin { action: Action::Deploy, by: HOST, source, reason: None };
    deploy_loaded(registry, plugin, bytes, &origin, canary).await
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
    canary: impl Into<Canary>,
) -> Result<Deployed, DeployError> {
    let (active, target) = way_back(registry, name, version).await?;
    let (plugin, bytes) = registry.stored(name, &target).await?;
    let source = format!("version {}", short(&active));
    let origin = Origin { action: Action::Rollback, by, source: &source, reason: None };
    deploy_loaded(registry, plugin, bytes, &origin, &canary.into()).await
}

/// The active version, and the one that a rollback goes to.
pub(super) async fn way_back(
    registry: &Registry,
    name: &str,
    version: Option<&str>,
) -> Result<(String, String), DeployError> {
    registry.sync().await?;
    let registered = registry.snapshot().registered.get(name).cloned();
    let Some(Registered { version: active, .. }) = registered else {
        return Err(DeployError::Unknown(name.to_owned()));
    };
    let target = match version {
        Some(beginning) => version_of(registry, name, beginning).await?,
        None => version_before(registry, name, &active).await?.ok_or_else(|| {
            DeployError::Version(format!(
                "`{name}` has no version before the active one; `eventfabric plugin versions {name}` \
                 lists them"
            ))
        })?,
    };
    Ok((active, target))
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
    canary: &Canary,
) -> Result<Deployed, DeployError> {
    let start = Instant::now();
    registry.sync().await?;
    let name = &plugin.description.name;
    let before = registry.snapshot().registered.get(name).cloned();
    let active = before.as_ref().map(|before| &*before.version);
    let mut deployed = Deployed::of(&plugin, before.as_ref());
    if deployed.unchanged {
        return Ok(deployed);
    }
    let trial = prepare(registry, &plugin, before.as_ref(), origin, canary).await?;
    let report = serde_json::to_value(&trial).ok();
    let outcome = Outcome {
        origin,
        replaced: active,
        tried: trial.tried,
        trial: report.as_ref(),
        rebuilt: false,
        error: None,
    };
    registry.remember(&plugin);
    registry.activate(&plugin, &bytes, &outcome, None).await?;
    tell(registry).await?;
    deployed.tried = trial.tried;
    deployed.trial = Some(trial);
    deployed.took = start.elapsed();
    Ok(deployed)
}

/// Notes that a version was refused. A database that is away can't note it either, and it is tried again.
pub(super) async fn note_refusal(
    registry: &Registry,
    plugin: &Plugin,
    outcome: &Outcome<'_>,
    error: &DeployError,
) {
    let why = error.to_string();
    let outcome = Outcome { error: Some(&why), ..*outcome };
    if let Err(error) = registry.note_refusal(plugin, &outcome).await {
        tracing::debug!(%error, "that a version was refused could not be noted");
    }
}

/// This host and the others follow what was activated.
pub(super) async fn tell(registry: &Registry) -> anyhow::Result<()> {
    registry.sync().await?;
    if let Err(error) = store::notify_plugins(registry.pool()).await {
        tracing::debug!(%error, "other hosts will find the new version by polling");
    }
    Ok(())
}

/// Brings the tables to where a version wants them, and tries it. What speaks against it is noted.
pub(super) async fn prepare(
    registry: &Registry,
    plugin: &Arc<Plugin>,
    before: Option<&Registered>,
    origin: &Origin<'_>,
    canary: &Canary,
) -> Result<Trial, DeployError> {
    let (report, error) = match try_out(registry, plugin, before, canary).await {
        Ok((trial, Ok(()))) => return Ok(trial),
        Ok((trial, Err(against))) => (serde_json::to_value(trial).ok(), against.into()),
        Err(error) => (None, error),
    };
    let outcome = Outcome {
        origin,
        replaced: before.map(|before| &*before.version),
        tried: 0,
        trial: report.as_ref(),
        rebuilt: false,
        error: None,
    };
    note_refusal(registry, plugin, &outcome, &error).await;
    Err(error)
}

async fn try_out(
    registry: &Registry,
    plugin: &Arc<Plugin>,
    before: Option<&Registered>,
    canary: &Canary,
) -> Result<(Trial, Result<(), Against>), DeployError> {
    same_mode(plugin, before)?;
    registry.admit(plugin).await.map_err(StoreError::from)??;
    granted(registry, plugin).await?;
    // One that has stopped can't be broken any more.
    let active = before.filter(|before| !before.failed).map(|before| &*before.version);
    registry.sandbox().prepare_beside(&plugin.description, active).await?;
    let sandbox = registry.sandbox();
    let sql = sandbox.learning(&plugin.description.name, &plugin.version.full()).await?;
    Ok(canary::run(registry, plugin, sql, canary).await?)
}

/// Another mode than the active version's.
pub(super) struct OtherMode {
    now: Mode,
    before: Mode,
}

impl From<Against> for DeployError {
    fn from(Against { events, message }: Against) -> Self {
        Self::Trial { events, message }
    }
}

impl From<OtherMode> for DeployError {
    fn from(OtherMode { now, before }: OtherMode) -> Self {
        Self::ModeChanged { now, before }
    }
}

/// Refuses a reactor that may send to nobody.
pub(super) async fn granted(registry: &Registry, plugin: &Plugin) -> Result<(), DeployError> {
    let name = &plugin.description.name;
    match !plugin.is_reactor() || registry.sandbox().may_send(name).await? {
        true => Ok(()),
        false => Err(DeployError::NoServer(name.clone())),
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

//! Making the bytes of a component the active version of its projection: check, migrate, try on
//! real events, activate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::deliver::{Bounds, deliver};
use crate::db::Tx;
use crate::plugin::{Active, LoadError, Plugin, ProjectionSettings, Registry};
use crate::projection::FailureKind;
use crate::sandbox::SandboxError;
use crate::store::{self, LogFilter, StoreError};

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
        now: crate::projection::Mode,
        /// The mode of the active version.
        before: crate::projection::Mode,
    },
    /// The database failed meanwhile.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registry could not be written.
    #[error("the registry: {0:#}")]
    Registry(#[from] anyhow::Error),
}

/// Deploys a component. `source` says where it came from, for the registry.
pub async fn deploy(
    registry: &Arc<Registry>,
    bytes: Arc<[u8]>,
    source: &str,
    canary_events: i64,
) -> Result<Deployed, DeployError> {
    let start = Instant::now();
    let plugin = Arc::new(registry.runtime().load(bytes.clone()).await?);
    let deployed = deploy_loaded(registry, plugin, bytes, source, canary_events).await?;
    Ok(Deployed { took: start.elapsed(), ..deployed })
}

/// Deploys a component that was loaded from these bytes.
pub(super) async fn deploy_loaded(
    registry: &Arc<Registry>,
    plugin: Arc<Plugin>,
    bytes: Arc<[u8]>,
    source: &str,
    canary_events: i64,
) -> Result<Deployed, DeployError> {
    let start = Instant::now();
    registry.sync().await?;
    let name = plugin.description.name.clone();
    let version = plugin.version.full();
    let before = registry.snapshot().registered.get(&name).cloned();
    let mut deployed = Deployed {
        name,
        version,
        before: before.as_ref().map(|before| before.version.clone()),
        unchanged: true,
        tried: 0,
        took: Duration::ZERO,
    };
    if let Some(before) = &before {
        if before.version == deployed.version {
            deployed.took = start.elapsed();
            return Ok(deployed);
        }
        if before.mode != plugin.description.mode {
            let now = plugin.description.mode;
            return Err(DeployError::ModeChanged { now, before: before.mode });
        }
    }
    // One that has stopped can't be broken any more.
    let active = before.as_ref().filter(|before| !before.failed).map(|before| &*before.version);
    registry.sandbox().prepare_beside(&plugin.description, active).await?;
    deployed.tried = on_trial(registry, plugin.clone(), canary_events).await?;
    registry.remember(&plugin);
    let by = format!("eventfabric {}", env!("CARGO_PKG_VERSION"));
    registry.activate(&plugin, &bytes, &by, source).await?;
    registry.sync().await?;
    if let Err(error) = store::notify_plugins(registry.pool()).await {
        tracing::debug!(%error, "other hosts will find the new version by polling");
    }
    deployed.unchanged = false;
    deployed.took = start.elapsed();
    Ok(deployed)
}

/// Lets a version handle the last events of its types, in a transaction that is rolled back. Only
/// a failure that says something of the version itself counts: that an event is refused which was
/// handled before is no surprise, and the others are tried without it. Answers how many went well.
async fn on_trial(
    registry: &Registry,
    plugin: Arc<Plugin>,
    events: i64,
) -> Result<usize, DeployError> {
    let pool = registry.pool();
    let types = &plugin.description.event_types;
    let positions = sqlx::query_file!("src/runner/sql/trial_start.sql", types, events)
        .fetch_one(pool)
        .await
        .map_err(StoreError::from)?;
    let filter = LogFilter {
        after: positions.first.unwrap_or(1) - 1,
        types: types.clone(),
        ..LogFilter::default()
    };
    let events = store::log_page(pool, &filter, events).await?.events;
    if events.is_empty() {
        return Ok(0);
    }
    let name = plugin.description.name.clone();
    let sql = registry.sandbox().learning(&name, &plugin.version.full()).await?;
    let config = registry.config(&name);
    let tx = Tx::begin(pool, plugin.limits().batch).await.map_err(StoreError::from)?;
    let (time, stop) = (TRIAL, CancellationToken::new());
    let bounds = Bounds { interrupted: u32::MAX, give_way: 0, order: false, time, stop: &stop };
    let version = plugin.version;
    let settings = ProjectionSettings::default();
    let active = Active { plugin, sql, config, generation: 0, settings };
    let delivery = match deliver(tx, &active, &events, &bounds).await {
        Ok(delivery) => delivery,
        // That says nothing of the version.
        Err(why) => {
            tracing::debug!(plugin = name, ?why, "the trial was interrupted");
            return Err(StoreError::from(sqlx::Error::WorkerCrashed).into());
        }
    };
    delivery.tx.rollback().await.map_err(StoreError::from)?;
    let trial =
        |message: &str| DeployError::Trial { events: events.len(), message: message.to_owned() };
    if let Some((_, failure)) = delivery.failed.iter().find(|(_, failure)| failure.trapped) {
        return Err(trial(&failure.message));
    }
    let left = match delivery.left {
        Some((_, failure)) if failure.kind == FailureKind::Fatal || failure.trapped => {
            return Err(trial(&failure.message));
        }
        left => left.map_or(0, |(left, _)| left.len()),
    };
    if let Some((_, failure)) = delivery.failed.first() {
        tracing::info!(plugin = name, %version, refused = delivery.failed.len(),
            of = events.len(), first = failure.message,
            "on trial it refused events, as can be when they were handled before; the others went \
             well");
    }
    Ok(events.len() - delivery.failed.len() - left)
}

//! Versions that come with tables of their own: a rebuild fills them by the new version, while the active
//! one is served and goes on, and both become the active ones in one transaction. The tables that they
//! replace are kept, for the way back.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::canary::Canary;
use super::deploy::{self, DeployError, Deployed};
use super::rebuild::{self, RebuildError, RebuildOptions, RebuildProgress, Successor};
use crate::plugin::{self, Action, Origin, Outcome, Plugin, Registry, short};
use crate::store::{self, StoreError};

/// How new tables are made, and who watches.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    /// How.
    pub options: &'a RebuildOptions,
    /// How it gets on.
    pub progress: &'a watch::Sender<RebuildProgress>,
    /// Ends it; asked for again, it goes on there.
    pub stop: &'a CancellationToken,
}

/// Deploys a component with tables of its own, filled by it from the beginning of the log.
///
/// # Errors
/// What is active stays as it is. Where it was interrupted, the same call goes on there.
pub async fn deploy_rebuilt(
    registry: &Arc<Registry>,
    bytes: Arc<[u8]>,
    origin: &Origin<'_>,
    canary: &Canary,
    tables: &Tables<'_>,
) -> Result<Deployed, DeployError> {
    let start = Instant::now();
    let plugin = Arc::new(registry.runtime().load(bytes.clone()).await?);
    let deployed = with_tables(registry, plugin, bytes, origin, canary, tables).await?;
    Ok(Deployed { took: start.elapsed(), ..deployed })
}

/// Whether the version that a rollback goes to has tables of its own beside those that are served.
///
/// # Errors
/// When there is no such version.
pub async fn has_tables(
    registry: &Registry,
    name: &str,
    version: Option<&str>,
) -> Result<bool, DeployError> {
    let (_, target) = deploy::way_back(registry, name, version).await?;
    Ok(rebuild::has_tables_of(registry.pool(), name, &target).await?)
}

/// Goes back to a version, as [`deploy::roll_back`] does, with its own tables where they are kept: they are
/// handed what has come since. With `rebuild` they are made anew from the log where they are not.
///
/// # Errors
/// What is active stays as it is.
pub async fn roll_back_rebuilt(
    registry: &Arc<Registry>,
    name: &str,
    version: Option<&str>,
    by: &str,
    canary: &Canary,
    rebuild: bool,
    tables: &Tables<'_>,
) -> Result<Deployed, DeployError> {
    let start = Instant::now();
    let (active, target) = deploy::way_back(registry, name, version).await?;
    if !rebuild && !rebuild::has_tables_of(registry.pool(), name, &target).await? {
        return deploy::roll_back(registry, name, Some(&target), by, *canary).await;
    }
    let (plugin, bytes) = registry.stored(name, &target).await?;
    let source = format!("version {}", short(&active));
    let origin = Origin { action: Action::Rollback, by, source: &source, reason: None };
    let deployed = with_tables(registry, plugin, bytes, &origin, canary, tables).await?;
    Ok(Deployed { took: start.elapsed(), ..deployed })
}

async fn with_tables(
    registry: &Arc<Registry>,
    plugin: Arc<Plugin>,
    bytes: Arc<[u8]>,
    origin: &Origin<'_>,
    canary: &Canary,
    tables: &Tables<'_>,
) -> Result<Deployed, DeployError> {
    registry.sync().await?;
    let name = &plugin.description.name;
    let before = registry.snapshot().registered.get(name).cloned();
    let Some(before) = before else {
        return Err(DeployError::Version(format!(
            "`{name}` has no active version, and so no tables to be replaced: deploy it without --rebuild"
        )));
    };
    let mut deployed = Deployed::of(&plugin, Some(&before));
    if deployed.unchanged {
        return Ok(deployed);
    }
    deploy::same_mode(&plugin, Some(&before))?;
    registry.admit(&plugin).await.map_err(StoreError::from)??;
    let outcome = Outcome {
        origin,
        replaced: Some(&before.version),
        tried: 0,
        trial: None,
        rebuilt: true,
        error: None,
    };
    let successor = Successor { plugin: &plugin, bytes: &bytes, outcome, canary: *canary };
    match rebuild::by(registry, &successor, tables).await {
        Ok((rebuilt, trial)) => {
            deployed.tried = trial.as_ref().map_or(0, |trial| trial.tried);
            (deployed.rebuilt, deployed.trial) = (Some(rebuilt), trial);
        }
        Err(error) => {
            let says_something = error.is_the_versions();
            let report = match &error {
                RebuildError::Trial { trial, .. } => serde_json::to_value(trial).ok(),
                _ => None,
            };
            let outcome = Outcome { trial: report.as_ref(), ..outcome };
            let error = error.into();
            if says_something {
                deploy::note_refusal(registry, &plugin, &outcome, &error).await;
            }
            return Err(error);
        }
    }
    deploy::tell(registry).await?;
    Ok(deployed)
}

/// Drops the tables that are kept for the way back. Answers whether there were any.
///
/// # Errors
/// The database's; what is active does not change.
pub async fn retire(registry: &Registry, name: &str, by: &str) -> Result<bool, DeployError> {
    let _claim = rebuild::claim(registry.pool(), name).await?;
    // In this order: what is recorded is there, whenever this ends.
    let known = store::rebuild::kept(registry.pool(), name).await.map_err(StoreError::from)?;
    if known.is_some() {
        plugin::retire(registry.pool(), name, by).await.map_err(StoreError::from)?;
    }
    let dropped = registry.sandbox().drop_old(name).await?;
    Ok(known.is_some() || dropped)
}

impl RebuildError {
    /// Whether it says something of the version, and not of the moment.
    fn is_the_versions(&self) -> bool {
        matches!(self, Self::Trial { .. } | Self::Sandbox(_) | Self::Event { .. } | Self::Plugin(_))
    }
}

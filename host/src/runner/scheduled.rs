//! Versions that become active at a position of the log: the one before handles what is before it, and hands
//! over when that is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::canary::{Canary, Trial};
use super::deploy::{self, DeployError, Deployed};
use crate::db::Tx;
use crate::plugin::{Action, Origin, Outcome, Registry};
use crate::projection::Mode;
use crate::store::{StoreError, rebuild};

/// How long the batches of a projection may take that are waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is noted of a version that waits.
#[derive(Debug, Deserialize)]
struct Waiting {
    by: String,
    source: String,
    tried: usize,
    trial: Option<Trial>,
}

/// Deploys a component that becomes active when its projection, a catch-up one, comes to a position: that is the
/// first event that it may get. Another deploy takes its place.
///
/// # Errors
/// What a deploy would refuse; a position that is past.
pub async fn deploy_at(
    registry: &Arc<Registry>,
    bytes: Arc<[u8]>,
    origin: &Origin<'_>,
    canary: &Canary,
    position: i64,
) -> Result<Deployed, DeployError> {
    let start = Instant::now();
    let plugin = Arc::new(registry.runtime().load(bytes.clone()).await?);
    registry.sync().await?;
    let name = &plugin.description.name;
    let before = registry.snapshot().registered.get(name).cloned();
    let Some(before) = before else {
        return Err(DeployError::Version(format!(
            "`{name}` has no active version that could hand over: deploy it without --at"
        )));
    };
    if before.mode != Mode::CatchUp {
        return Err(DeployError::Version(format!(
            "`{name}` is {}: only a catch-up projection handles events in the order of the log",
            before.mode
        )));
    }
    let mut deployed = Deployed::of(&plugin, Some(&before));
    if deployed.unchanged {
        return Ok(deployed);
    }
    let trial = deploy::prepare(registry, &plugin, Some(&before), origin, canary).await?;
    let mut tx = Tx::begin(registry.pool(), PATIENCE).await.map_err(StoreError::from)?;
    let live = rebuild::hold_positions(tx.conn(), name).await.map_err(StoreError::from)?;
    if let Some(reached) = live.iter().map(|live| live.position).max()
        && reached >= position
    {
        return Err(DeployError::Version(format!(
            "position {position} is past: `{name}` has come to {reached}"
        )));
    }
    let report = serde_json::to_value(&trial).ok();
    let outcome = Outcome {
        origin,
        replaced: Some(&before.version),
        tried: trial.tried,
        trial: report.as_ref(),
        rebuilt: false,
        error: None,
    };
    registry.schedule(tx.conn(), &plugin, &bytes, &outcome, position).await?;
    tx.commit().await.map_err(StoreError::from)?;
    deploy::tell(registry).await?;
    deployed.tried = trial.tried;
    deployed.trial = Some(trial);
    deployed.at = Some(position);
    deployed.took = start.elapsed();
    Ok(deployed)
}

/// Makes those versions active that waited for a position, where it is time.
pub(super) async fn activate_due(registry: &Registry) {
    let snapshot = registry.snapshot();
    let waiting = snapshot.registered.values().filter(|known| known.settings.next_at.is_some());
    for known in waiting {
        match activate(registry, &known.name).await {
            Ok(None) => {}
            Ok(Some(version)) => tracing::info!(
                projection = known.name,
                version = version.get(..12),
                "the version that waited for its position is active"
            ),
            Err(error) => tracing::warn!(
                projection = known.name,
                error = format!("{error:#}"),
                "the version that waits for its position could not be made active"
            ),
        }
    }
}

async fn activate(registry: &Registry, name: &str) -> anyhow::Result<Option<String>> {
    // Without a lock first: mostly it is not time, and what is to be loaded is loaded before anybody waits.
    let due = sqlx::query_file!("src/runner/sql/scheduled.sql", name)
        .fetch_optional(registry.pool())
        .await?;
    let Some(due) = due else { return Ok(None) };
    let (plugin, bytes) = registry.stored(name, &due.version).await?;
    let mut tx = Tx::begin(registry.pool(), PATIENCE).await?;
    rebuild::hold_positions(tx.conn(), name).await?;
    let still =
        sqlx::query_file!("src/runner/sql/scheduled.sql", name).fetch_optional(tx.conn()).await?;
    if still.is_none_or(|still| still.generation != due.generation) {
        tx.rollback().await?;
        return Ok(None);
    }
    let waiting: Waiting = serde_json::from_value(due.origin)?;
    let trial = waiting.trial.as_ref().map(serde_json::to_value).transpose()?;
    let origin =
        Origin { action: Action::Deploy, by: &waiting.by, source: &waiting.source, reason: None };
    let outcome = Outcome {
        origin: &origin,
        replaced: Some(&due.active),
        tried: waiting.tried,
        trial: trial.as_ref(),
        rebuilt: false,
        error: None,
    };
    registry.remember(&plugin);
    let over = Some(due.generation);
    if registry.activate_in(tx.conn(), &plugin, &bytes, &outcome, over).await?.is_none() {
        tx.rollback().await?;
        return Ok(None);
    }
    tx.commit().await?;
    deploy::tell(registry).await?;
    Ok(Some(due.version))
}

//! Going back by itself: where a version stops soon after it was deployed, at an event that the version before
//! it handles, a host makes that one active again and says why.

use chrono::{TimeDelta, Utc};

use super::deploy::{self, HOST};
use super::trial;
use crate::plugin::{Action, Active, Origin, Outcome, Registry};

/// How long after its deploy a version is replaced by itself. Later it has shown that it works, and what it
/// meets is more likely new than a fault of its own.
const NEW: TimeDelta = TimeDelta::minutes(10);

/// So many of the last events are tried where no single one is to blame.
const EVENTS: i64 = 100;

/// A projection has stopped, at the event of this position where it is a single one's doing.
pub(super) async fn consider(
    registry: &Registry,
    active: &Active,
    position: Option<i64>,
    error: &str,
) {
    let (name, version) = (&active.plugin.description.name, active.plugin.version);
    match fall_back(registry, active, position, error).await {
        Ok(Some(before)) => tracing::error!(projection = name, failed = %version,
            active = before.get(..12), error,
            "the new version has stopped, and the one before it is active again; a file in the watched \
             folder that is the failed version is left where it is, and not deployed again"),
        Ok(None) => {}
        Err(why) => tracing::warn!(projection = name, %version, why = format!("{why:#}"),
            "the host can't go back to the version before by itself; `eventfabric plugin rollback` tells \
             more"),
    }
}

/// Answers the version that was made active again, if one was.
async fn fall_back(
    registry: &Registry,
    active: &Active,
    position: Option<i64>,
    error: &str,
) -> anyhow::Result<Option<String>> {
    let name = &active.plugin.description.name;
    let failed = active.plugin.version.full();
    let Some(last) = deploy::last_activation(registry, name).await? else { return Ok(None) };
    let is_new = last.version == failed && Utc::now() - last.at < NEW;
    // Whoever went back to a version has decided for it.
    let Some(before) = last.replaced.filter(|_| is_new && last.action == Action::Deploy) else {
        return Ok(None);
    };
    // The tables are the failed version's own, and not what the one before has made.
    anyhow::ensure!(!last.rebuilt, "it came with tables of its own");
    let (plugin, bytes) = registry.stored(name, &before).await?;
    if plugin.description.mode != active.plugin.description.mode {
        return Ok(None);
    }
    // Refuses a version that does not know all the migrations of the tables.
    registry.sandbox().prepare_beside(&plugin.description, None).await?;
    let types = &plugin.description.event_types;
    let events = match position {
        Some(position) => trial::events_after(registry, types, position - 1, 1).await?,
        None => trial::last_events(registry, types, EVENTS).await?,
    };
    let sql = registry.sandbox().version(name, &before).await?;
    let tried = trial::on_trial(registry, plugin.clone(), sql, &events).await?;
    let single_ones = position.is_some() && !tried.refused.is_empty();
    if tried.events == 0 || single_ones || tried.left.is_some() {
        return Ok(None);
    }
    let Ok(tried) = tried.verdict(name) else { return Ok(None) };
    let source = format!("version {}", &failed[..12]);
    let origin =
        Origin { action: Action::Fallback, by: HOST, source: &source, reason: Some(error) };
    registry.remember(&plugin);
    let over = Some(active.generation);
    let outcome = Outcome {
        origin: &origin,
        replaced: Some(&failed),
        tried,
        trial: None,
        rebuilt: false,
        error: None,
    };
    let activated = registry.activate(&plugin, &bytes, &outcome, over).await?;
    if activated.is_none() {
        // Somebody was faster, with this or with something better.
        return Ok(None);
    }
    deploy::tell(registry).await?;
    Ok(Some(before))
}

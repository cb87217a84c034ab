//! A version that comes with new tables: it fills them, and becomes the active one with them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sqlx::PgPool;

use super::{RebuildError, RebuildOptions, Rebuilt, parts};
use crate::db::Tx;
use crate::plugin::{Outcome, Plugin, Registry};
use crate::runner::blue_green::Tables;
use crate::runner::canary::{self, Canary, Trial};
use crate::runner::trial::Against;
use crate::sandbox::PluginSql;
use crate::store::{StoreError, rebuild};

/// The version that fills the new tables, where it is not the active one: it becomes that with them.
pub(in crate::runner) struct Successor<'a> {
    pub plugin: &'a Arc<Plugin>,
    pub bytes: &'a [u8],
    /// What is noted of it.
    pub outcome: Outcome<'a>,
    /// How it is tried first.
    pub canary: Canary,
}

/// The same by another version, which becomes active with the tables. Answers how its trial went, too, where
/// it was the first time.
pub(in crate::runner) async fn by(
    registry: &Arc<Registry>,
    successor: &Successor<'_>,
    tables: &Tables<'_>,
) -> Result<(Rebuilt, Option<Trial>), RebuildError> {
    super::run(registry, &successor.plugin.description.name, Some(successor), tables).await
}

/// Whether there are tables that this version has filled, or has begun to, beside the live ones.
pub(in crate::runner) async fn has_tables_of(
    pool: &PgPool,
    name: &str,
    version: &str,
) -> Result<bool, StoreError> {
    let begun = rebuild::find(pool, name).await?.map(|begun| begun.version);
    let kept = rebuild::kept(pool, name).await?;
    Ok([begun, kept].iter().flatten().any(|known| known == version))
}

/// Types of events that one of two versions wants; none: all.
pub(super) fn either(mut some: Vec<String>, others: &[String]) -> Vec<String> {
    if some.is_empty() || others.is_empty() {
        return Vec::new();
    }
    some.extend_from_slice(others);
    some
}

/// Lets a version handle the last events in its new tables, before it is given all of them.
pub(super) async fn try_out(
    registry: &Registry,
    successor: &Successor<'_>,
    sql: &Arc<PluginSql>,
) -> Result<Trial, RebuildError> {
    let name = &successor.plugin.description.name;
    let (trial, verdict) =
        canary::run(registry, successor.plugin, sql.clone(), &successor.canary).await?;
    if let Err(against) = verdict {
        rebuild::forget(registry.pool(), name).await?;
        registry.sandbox().drop_shadow(name).await?;
        let Against { events, message } = against;
        return Err(RebuildError::Trial { events, message, trial: Box::new(trial) });
    }
    Ok(trial)
}

/// Takes up the tables that are kept, where they are those of this version.
pub(super) async fn revive(
    registry: &Registry,
    plugin: &Plugin,
    also: &Value,
    options: &RebuildOptions,
) -> Result<(), RebuildError> {
    let (pool, sandbox) = (registry.pool(), registry.sandbox());
    let (name, version) = (&plugin.description.name, plugin.version.full());
    if rebuild::kept(pool, name).await?.as_ref() != Some(&version) {
        return Ok(());
    }
    let mut tx = Tx::begin(pool, Duration::from_secs(60)).await?;
    rebuild::forget(&mut *tx.conn(), name).await?;
    if rebuild::revive(tx.conn(), name, &version, also, parts(pool, options)).await? {
        sandbox.revive(tx.conn(), name).await?;
        tx.commit().await?;
    }
    Ok(())
}

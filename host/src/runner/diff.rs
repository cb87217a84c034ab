//! What a component would change, beside the active version or any other one.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::check::{self, Difference, Rows};
use super::deploy::{self, DeployError};
use super::trial;
use crate::event::Event;
use crate::plugin::{Plugin, Registry};

/// Events of a batch.
const BATCH: usize = 500;

/// What two versions of a plugin have in common, and what not.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// The plugin.
    pub name: String,
    /// The SHA-256 of the version that was there, in hex.
    pub old: String,
    /// That of the new one.
    pub new: String,
    /// What they say of themselves, where that is not the same: what, the old one, the new one.
    pub description: Vec<(&'static str, String, String)>,
    /// Imports that only one of them has.
    pub imports: OnlyIn,
    /// The SQL of migrations that only one of them has.
    pub migrations: OnlyIn,
    /// Statements that only one of them used for these events.
    pub statements: OnlyIn,
    /// How many events both were given.
    pub events: usize,
    /// The tables that they left with different rows: the first ones are those of the old version.
    pub tables: Vec<Difference>,
}

/// What only one of two versions has.
#[derive(Debug, Serialize)]
pub struct OnlyIn {
    /// The old one.
    pub old: Vec<String>,
    /// The new one.
    pub new: Vec<String>,
}

impl OnlyIn {
    fn of(old: &BTreeSet<String>, new: &BTreeSet<String>) -> Self {
        let only = |these: &BTreeSet<String>, those| these.difference(those).cloned().collect();
        Self { old: only(old, new), new: only(new, old) }
    }
}

/// Compares a component with a version that the database has: the one whose SHA-256 begins so, or the active
/// one. Both handle the last `events` events of their types in tables of their own, which go again.
///
/// # Errors
/// When there is no such version, when the component is no plugin for this host, when one of the two traps.
pub async fn diff(
    registry: &Arc<Registry>,
    bytes: Arc<[u8]>,
    with: Option<&str>,
    events: i64,
) -> Result<Diff, DeployError> {
    let new = Arc::new(registry.runtime().load(bytes).await?);
    registry.sync().await?;
    let name = &new.description.name;
    let active = registry.snapshot().registered.get(name).map(|known| known.version.clone());
    let version = match (with, active) {
        (Some(beginning), _) => deploy::version_of(registry, name, beginning).await?,
        (None, Some(active)) => active,
        (None, None) => return Err(DeployError::Unknown(name.clone())),
    };
    let (old, _) = registry.stored(name, &version).await?;
    between(registry, &old, &new, events).await
}

/// Compares two versions of a plugin that the database has, in the same way: those whose SHA-256 begin so.
///
/// # Errors
/// When there is no such version, when one of the two traps.
pub async fn diff_versions(
    registry: &Arc<Registry>,
    name: &str,
    old: &str,
    new: &str,
    events: i64,
) -> Result<Diff, DeployError> {
    let old = deploy::version_of(registry, name, old).await?;
    let new = deploy::version_of(registry, name, new).await?;
    let ((old, _), (new, _)) =
        (registry.stored(name, &old).await?, registry.stored(name, &new).await?);
    between(registry, &old, &new, events).await
}

async fn between(
    registry: &Registry,
    old: &Arc<Plugin>,
    new: &Arc<Plugin>,
    events: i64,
) -> Result<Diff, DeployError> {
    let types = |plugin: &Plugin| plugin.description.event_types.clone();
    // Of either; and all of them where one takes all.
    let both = [types(old), types(new)];
    let types = if both.iter().any(Vec::is_empty) { Vec::new() } else { both.concat() };
    let wanted = trial::wanted(old, events).min(trial::wanted(new, events));
    let events = trial::last_events(registry, &types, wanted).await?;
    let (old_statements, old_rows) = run(registry, old, &events).await?;
    let (new_statements, new_rows) = run(registry, new, &events).await?;
    Ok(Diff {
        name: new.description.name.clone(),
        old: old.version.full(),
        new: new.version.full(),
        description: description(old, new),
        imports: OnlyIn::of(&set(&old.imports), &set(&new.imports)),
        migrations: OnlyIn::of(&migrations(old), &migrations(new)),
        statements: OnlyIn::of(&old_statements, &new_statements),
        events: events.len(),
        tables: check::differences(&old_rows, &new_rows),
    })
}

/// The statements that a version uses for these events, and the rows that it leaves.
async fn run(
    registry: &Registry,
    plugin: &Arc<Plugin>,
    events: &[Event],
) -> Result<(BTreeSet<String>, Rows), DeployError> {
    let _turn = registry.sandbox().scratch_turn(&plugin.description.name).await?;
    let sql = registry.sandbox().prepare_scratch(&plugin.description).await?;
    let active = trial::as_active(registry, plugin.clone(), sql.clone()).await?;
    let wanted: Vec<Event> = events.iter().filter(|event| active.takes(event)).cloned().collect();
    let rows = check::rows(registry, &active, &wanted, BATCH).await;
    registry.sandbox().drop_scratch(&plugin.description.name).await?;
    let statements = sql.manifest().into_iter().map(|statement| statement.text).collect();
    Ok((statements, rows?))
}

fn set(list: &[String]) -> BTreeSet<String> {
    list.iter().cloned().collect()
}

fn migrations(plugin: &Plugin) -> BTreeSet<String> {
    let steps = plugin.description.migrations.iter();
    steps.map(|step| format!("{} {}: {}", step.number, step.name, step.sql.trim())).collect()
}

fn description(old: &Plugin, new: &Plugin) -> Vec<(&'static str, String, String)> {
    let of = |plugin: &Plugin| {
        let description = &plugin.description;
        [
            ("text", description.text.clone()),
            ("mode", description.mode.to_string()),
            ("topics", format!("{:?}", description.topics)),
            ("event types", description.event_types.join(", ")),
        ]
    };
    let pairs = of(old).into_iter().zip(of(new));
    pairs
        .filter(|((_, old), (_, new))| old != new)
        .map(|((what, old), (_, new))| (what, old, new))
        .collect()
}

//! Everything that a deploy looks at, in tables of its own that go again: nothing of it stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::deploy::{self, DeployError};
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Plugin, Registry};
use crate::sandbox::{PluginSql, StatementInfo};
use crate::store::{self, LogFilter, StoreError};

/// Sizes of the batches that must make the same rows. Neither divides the other.
const BATCHES: [usize; 2] = [500, 7];

/// The time that a look at one run of events has.
const TIME: Duration = Duration::from_secs(600);

/// Rows that are told of a table.
const TOLD: usize = 5;

/// What a look at a plugin found.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// Its SHA-256, in hex.
    pub version: String,
    /// The version that is active now, where there is one.
    pub active: Option<String>,
    /// The migrations that a deploy would run.
    pub migrations: Vec<String>,
    /// The events that it was given.
    pub events: usize,
    /// Those of them that went well.
    pub handled: usize,
    /// The first failure of an event that is not the version's own fault, as far as can be told.
    pub refused: Option<String>,
    /// The statements that it used.
    #[serde(skip)]
    pub statements: Vec<StatementInfo>,
    /// Where the rows depend on how the events are batched, or on anything else but the events. None: it
    /// was not looked.
    pub differences: Option<Vec<Difference>>,
}

/// A table that two runs of the same events left with different rows.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// Its name.
    pub table: String,
    /// Rows that only the run in large batches made, the first few.
    pub only_in_large_batches: Vec<String>,
    /// Rows that only the run in small batches made, the first few.
    pub only_in_small_batches: Vec<String>,
}

/// Looks at a component as a deploy would, beside the tables of the plugin: file, imports, migrations from
/// nothing, the last `events` events of its types. With `determinism`, they are handled twice, in batches of
/// different sizes, and the tables compared.
///
/// # Errors
/// What a deploy would refuse.
pub async fn check(
    registry: &Arc<Registry>,
    bytes: Arc<[u8]>,
    events: i64,
    determinism: bool,
) -> Result<Checked, DeployError> {
    let plugin = Arc::new(registry.runtime().load(bytes).await?);
    registry.sync().await?;
    let name = plugin.description.name.clone();
    let before = registry.snapshot().registered.get(&name).cloned();
    deploy::same_mode(&plugin, before.as_ref())?;
    let migrations = registry.sandbox().missing(&plugin.description).await?;
    let sql = registry.sandbox().prepare_scratch(&plugin.description).await?;
    let looked = look(registry, &plugin, &sql, events, determinism).await;
    let dropped = registry.sandbox().drop_scratch(&name).await;
    let (tried, differences) = looked?;
    dropped?;
    let (events, refused) = (tried.events, tried.refused.first().map(|f| f.message.clone()));
    Ok(Checked {
        version: plugin.version.full(),
        active: before.map(|before| before.version),
        migrations,
        events,
        handled: tried.verdict(&name)?,
        refused,
        statements: sql.manifest(),
        differences,
        name,
    })
}

async fn look(
    registry: &Registry,
    plugin: &Arc<Plugin>,
    sql: &Arc<PluginSql>,
    events: i64,
    determinism: bool,
) -> Result<(deploy::Tried, Option<Vec<Difference>>), DeployError> {
    let tried = deploy::on_trial(registry, plugin.clone(), sql.clone(), None, events).await?;
    let failed = tried.left.is_some() || tried.refused.iter().any(|failure| failure.trapped);
    if !determinism || failed {
        return Ok((tried, None));
    }
    let pool = registry.pool();
    let types = plugin.description.event_types.clone();
    let after = deploy::trial_start(registry, &types, events).await?;
    let filter = LogFilter { after, types, ..LogFilter::default() };
    let page = store::log_page(pool, &filter, events).await?.events;
    let mut runs = Vec::new();
    for batch in BATCHES {
        runs.push(rows(registry, plugin, sql, &page, batch).await?);
    }
    let [large, small] = &runs[..] else { return Ok((tried, None)) };
    let differences = large
        .iter()
        .filter(|(table, rows)| small.get(*table) != Some(rows))
        .map(|(table, rows)| {
            let other = small.get(table).map(Vec::as_slice).unwrap_or_default();
            let only = |these: &[String], those: &[String]| -> Vec<String> {
                these.iter().filter(|row| !those.contains(row)).take(TOLD).cloned().collect()
            };
            Difference {
                table: table.clone(),
                only_in_large_batches: only(rows, other),
                only_in_small_batches: only(other, rows),
            }
        })
        .collect();
    Ok((tried, Some(differences)))
}

/// The rows of all tables after these events, sorted, by table. Nothing stays.
async fn rows(
    registry: &Registry,
    plugin: &Arc<Plugin>,
    sql: &Arc<PluginSql>,
    events: &[Event],
    batch: usize,
) -> Result<BTreeMap<String, Vec<String>>, DeployError> {
    let config = registry.config(&plugin.description.name);
    let mut tx = Tx::begin(registry.pool(), TIME).await.map_err(StoreError::from)?;
    for events in events.chunks(batch) {
        let (back, result) = plugin.handle(tx, sql, events, &config).await;
        let message = match (back, result) {
            (Some(back), Ok(_)) => {
                tx = back;
                continue;
            }
            (_, Err(failure)) => failure.message,
            (None, Ok(_)) => "the plugin kept the transaction".to_owned(),
        };
        let message = format!("in batches of {batch}: {message}");
        return Err(DeployError::Trial { events: events.len(), message });
    }
    let sandbox = registry.sandbox();
    let tables = sandbox.scratch_rows(&mut tx, &plugin.description.name).await?;
    tx.rollback().await.map_err(StoreError::from)?;
    Ok(tables)
}

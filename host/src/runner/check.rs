//! Everything that a deploy looks at, in tables of its own that go again: nothing of it stays.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::answers::Answers;
use super::deploy::{self, DeployError};
use super::trial;
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Active, Plugin, Registry};
use crate::sandbox::{PluginSql, StatementInfo};
use crate::store::StoreError;

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
    pub statements: Vec<StatementInfo>,
    /// Where the rows depend on how the events are batched, or on anything else but the events: the first run
    /// is in large batches, the second one in small ones. None: it was not looked.
    pub differences: Option<Vec<Difference>>,
}

/// A table that two runs of the same events left with different rows.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// Its name.
    pub table: String,
    /// Rows that only the first run made, the first few of them.
    pub only_in_first: Vec<String>,
    /// Rows that only the second run made, the first few of them.
    pub only_in_second: Vec<String>,
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
    registry.admit(&plugin).await.map_err(StoreError::from)??;
    deploy::granted(registry, &plugin).await?;
    let migrations = registry.sandbox().missing(&plugin.description).await?;
    let _turn = registry.sandbox().scratch_turn(&name).await?;
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
) -> Result<(trial::Tried, Option<Vec<Difference>>), DeployError> {
    let wanted = trial::wanted(plugin, events);
    let events = trial::last_events(registry, &plugin.description.event_types, wanted).await?;
    let tried = trial::on_trial(registry, plugin.clone(), sql.clone(), &events).await?;
    let failed = tried.left.is_some() || tried.refused.iter().any(|failure| failure.trapped);
    if !determinism || failed {
        return Ok((tried, None));
    }
    let active = trial::as_active(registry, plugin.clone(), sql.clone()).await?;
    let [large, small] = BATCHES;
    let large = rows(registry, &active, &events, large).await?;
    let small = rows(registry, &active, &events, small).await?;
    Ok((tried, Some(differences(&large, &small))))
}

/// The rows of tables, sorted, by table.
pub(super) type Rows = BTreeMap<String, Vec<String>>;

/// The rows of all scratch tables after these events, without those that fail. Nothing stays.
pub(super) async fn rows(
    registry: &Registry,
    active: &Active,
    events: &[Event],
    batch: usize,
) -> Result<Rows, DeployError> {
    let mut tx = Tx::begin(registry.pool(), TIME).await.map_err(StoreError::from)?;
    let log = Answers::on_trial(registry);
    for events in events.chunks(batch) {
        let delivery = trial::try_them(tx, active, &log, events, TIME).await?;
        if let Some((_, failure)) = delivery.left {
            let message = format!("in batches of {batch}: {}", failure.message);
            return Err(DeployError::Trial { events: events.len(), message });
        }
        tx = delivery.tx;
    }
    let name = &active.plugin.description.name;
    let rows = registry.sandbox().scratch_rows(&mut tx, name).await?;
    tx.rollback().await.map_err(StoreError::from)?;
    Ok(rows)
}

/// The tables that have different rows.
pub(super) fn differences(first: &Rows, second: &Rows) -> Vec<Difference> {
    let tables: BTreeSet<_> = first.keys().chain(second.keys()).collect();
    let of = |rows: &Rows, table: &str| rows.get(table).cloned().unwrap_or_default();
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        let those: HashSet<_> = those.iter().collect();
        these.iter().filter(|row| !those.contains(row)).take(TOLD).cloned().collect()
    };
    let differences = tables.into_iter().map(|table| (table, of(first, table), of(second, table)));
    differences
        .filter(|(_, first, second)| first != second)
        .map(|(table, first, second)| Difference {
            table: table.clone(),
            only_in_first: only(&first, &second),
            only_in_second: only(&second, &first),
        })
        .collect()
}

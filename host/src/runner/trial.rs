//! The trial of a version: it handles events of the log in a transaction that is rolled back.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::answers::Answers;
use super::deliver::{Bounds, Delivery, deliver};
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Active, EventLog, Plugin, ProjectionSettings, Registry, Requests};
use crate::projection::{Failure, FailureKind};
use crate::sandbox::PluginSql;
use crate::store::{self, LogFilter, StoreError};

/// After a failure on trial beyond this time, the rest of the events is not tried.
const TRIAL: Duration = Duration::from_secs(2);

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
#[derive(Debug)]
pub(super) struct Against {
    pub events: usize,
    pub message: String,
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
) -> Result<Vec<Event>, StoreError> {
    let row = sqlx::query_file!("src/runner/sql/trial_start.sql", types, events)
        .fetch_one(registry.pool())
        .await?;
    events_after(registry, types, row.first.map_or(0, |first| first - 1), events).await
}

/// On how many events a version is tried, where so many are wanted. A reactor is tried on none: it would send
/// what it has sent before, or be refused it.
pub(super) fn wanted(plugin: &Plugin, events: i64) -> i64 {
    if plugin.is_reactor() { 0 } else { events }
}

/// The first so many events of these types (none: of all) after a position.
pub(super) async fn events_after(
    registry: &Registry,
    types: &[String],
    after: i64,
    events: i64,
) -> Result<Vec<Event>, StoreError> {
    let filter = LogFilter { after, types: types.to_vec(), ..LogFilter::default() };
    Ok(store::log_page(registry.pool(), &filter, events).await?.events)
}

/// Lets a version handle events of its types, in a transaction that is rolled back.
pub(super) async fn on_trial(
    registry: &Registry,
    plugin: Arc<Plugin>,
    sql: Arc<PluginSql>,
    events: &[Event],
) -> Result<Tried, StoreError> {
    let mut tried = Tried { events: events.len(), refused: Vec::new(), left: None };
    if events.is_empty() {
        return Ok(tried);
    }
    let tx = Tx::begin(registry.pool(), plugin.limits().batch).await?;
    let active = as_active(registry, plugin, sql).await?;
    let delivery = try_them(tx, &active, &Answers::on_trial(registry), events, TRIAL).await?;
    delivery.tx.rollback().await?;
    tried.refused = delivery.failed.into_iter().map(|(_, failure)| failure).collect();
    tried.left = delivery.left.map(|(left, failure)| (left.len(), failure));
    Ok(tried)
}

/// A version as it would be if it were active.
pub(super) async fn as_active(
    registry: &Registry,
    plugin: Arc<Plugin>,
    sql: Arc<PluginSql>,
) -> Result<Active, StoreError> {
    let config = registry.config(&plugin.description.name).await?;
    let (settings, meter) = (ProjectionSettings::default(), Arc::default());
    Ok(Active { plugin, sql, config, generation: 0, settings, meter })
}

/// Hands events to a version, of which single ones may fail. After a failure beyond this time the rest is
/// left, and so it is once one has trapped.
pub(super) async fn try_them(
    tx: Tx,
    active: &Active,
    log: &Arc<dyn EventLog>,
    events: &[Event],
    time: Duration,
) -> Result<Delivery, StoreError> {
    let bounds = Bounds {
        interrupted: u32::MAX,
        log,
        give_way: 0,
        order: false,
        turns: true,
        until_trap: true,
        time,
        requests: Requests::Refused,
        stop: &CancellationToken::new(),
    };
    deliver(tx, active, events, &bounds).await.map_err(|why| {
        // That says nothing of the version.
        let plugin = &active.plugin.description.name;
        tracing::debug!(plugin, ?why, "the trial was interrupted");
        StoreError::from(sqlx::Error::WorkerCrashed)
    })
}

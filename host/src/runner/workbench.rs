//! A component on tables of its own, which are as new for each run of events: what an author tries it on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::answers::Answers;
use super::deliver::{Bounds, Interrupted, deliver};
use super::deploy::DeployError;
use super::trial::as_active;
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Active, EventLog, Plugin, PluginConfig, Registry, Rehearsal, Requests};
use crate::projection::Failure;
use crate::sandbox::{PluginSql, SandboxError, ScratchTurn, Sequence, Step, TextRow, TextTable};
use crate::store::StoreError;

/// The time that a run has.
const TIME: Duration = Duration::from_secs(600);

/// Where the tables are, from [`Workbench::open`] to [`Workbench::close`]. Meanwhile others that look at the
/// same plugin in this database wait.
pub struct Workbench<'a> {
    registry: &'a Registry,
    plugin: Arc<Plugin>,
    sql: Arc<PluginSql>,
    sequences: Vec<Sequence>,
    _turn: ScratchTurn,
}

/// The events of a run, and what goes with them.
#[derive(Debug, Clone)]
pub struct Scene<'a> {
    /// What the component is handed. It must want them all.
    pub events: &'a [Event],
    /// What has happened, these and others: what is in the log, for a component that reads it.
    pub given: &'a [Event],
    /// The aggregates that it may append to; nothing: any.
    pub appends: Option<BTreeSet<String>>,
    /// Its settings.
    pub config: PluginConfig,
    /// What answers its requests, and keeps them.
    pub rehearsal: Arc<Rehearsal>,
}

/// What a run has left: the tables as the transaction sees them, which is rolled back at the end.
pub struct Run<'a> {
    registry: &'a Registry,
    name: &'a str,
    tx: Tx,
    /// The events that failed, by index, with why.
    pub failed: Vec<(usize, Failure)>,
    /// Why the run ended before the last event, where it did: the component is wrong for every event.
    pub stopped: Option<Failure>,
    /// What it asked of the database, where that was recorded.
    pub steps: Vec<Step>,
    /// What it appended to the log.
    pub appended: Vec<Event>,
    /// The lines that it logged, each after its level, where that was recorded.
    pub lines: Vec<String>,
}

impl<'a> Workbench<'a> {
    /// Makes the tables of a component, by all its migrations.
    ///
    /// # Errors
    /// What a deploy would refuse about them.
    pub async fn open(registry: &'a Registry, plugin: Arc<Plugin>) -> Result<Self, DeployError> {
        let (sandbox, name) = (registry.sandbox(), &plugin.description.name);
        let turn = sandbox.scratch_turn(name).await?;
        let sql = sandbox.prepare_scratch(&plugin.description).await?;
        let sequences = sandbox.scratch_sequences(name).await?;
        Ok(Self { registry, plugin, sql, sequences, _turn: turn })
    }

    /// The component.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// Hands events to the component on new tables, so many at a time. Those that fail are set aside. Where it
    /// is told to `record`, the run has the steps and the lines. Requests are not sent: the rehearsal keeps and
    /// answers them.
    ///
    /// # Errors
    /// The database's. What the component does wrong is told in the run.
    pub async fn run(
        &self,
        scene: &Scene<'_>,
        batch: usize,
        record: bool,
    ) -> Result<Run<'_>, DeployError> {
        self.registry.sandbox().set_sequences(&self.sequences).await?;
        let mut tx = Tx::begin(self.registry.pool(), TIME).await.map_err(StoreError::from)?;
        let active = as_active(self.registry, self.plugin.clone(), self.sql.clone()).await?;
        let active = Active { config: scene.config.clone(), ..active };
        let given = if self.plugin.is_process_manager() { scene.given } else { &[] };
        let appends = scene.appends.clone();
        let scenery = Answers::of_scene(self.registry, &mut tx, given, appends).await?;
        let log: Arc<dyn EventLog> = scenery.clone();
        let (mut failed, mut stopped) = (Vec::new(), None);
        let bounds = Bounds {
            interrupted: u32::MAX,
            log: &log,
            give_way: 0,
            order: false,
            turns: true,
            until_trap: false,
            time: TIME,
            requests: Requests::Kept(&scene.rehearsal),
            stop: &CancellationToken::new(),
        };
        if record {
            self.sql.recorder().begin();
            self.plugin.heard.begin();
        }
        let batch = if self.plugin.is_reactor() { 1 } else { batch };
        for (chunk, events) in scene.events.chunks(batch).enumerate() {
            let delivery = deliver(tx, &active, events, &bounds).await.map_err(|why| {
                let message = match why {
                    Interrupted::Retry { failure, .. } => failure.message,
                    Interrupted::Lost { message, .. } => message,
                };
                DeployError::Trial { events: events.len(), message }
            })?;
            tx = delivery.tx;
            failed.extend(delivery.failed.into_iter().map(|(at, why)| (chunk * batch + at, why)));
            stopped = delivery.left.map(|(_, failure)| failure);
            if stopped.is_some() {
                break;
            }
        }
        let (registry, name) = (self.registry, self.plugin.description.name.as_str());
        let (steps, lines) = (self.sql.recorder().end(), self.plugin.heard.end());
        let appended = scenery.appended(&mut tx).await?;
        Ok(Run { registry, name, tx, failed, stopped, steps, appended, lines })
    }

    /// Drops the tables.
    ///
    /// # Errors
    /// The database's; the next one drops them then.
    pub async fn close(self) -> Result<(), SandboxError> {
        self.registry.sandbox().drop_scratch(&self.plugin.description.name).await
    }
}

impl Run<'_> {
    /// The names of the tables, sorted, with all their rows as text, sorted.
    ///
    /// # Errors
    /// The database's.
    pub async fn tables(&mut self) -> Result<BTreeMap<String, Vec<String>>, SandboxError> {
        self.registry.sandbox().scratch_rows(&mut self.tx, self.name).await
    }

    /// The first rows that a query answers, at most this many.
    ///
    /// # Errors
    /// The query is refused or wrong.
    pub async fn read(&mut self, sql: &str, most: usize) -> Result<TextTable, SandboxError> {
        self.registry.sandbox().read_scratch(&mut self.tx, self.name, sql, most).await
    }

    /// Rows of a JSON list of objects as [`Run::read`] would show them.
    ///
    /// # Errors
    /// A value that does not fit its column.
    pub async fn rows_of_json(
        &mut self,
        columns: &[(String, String)],
        json: &str,
    ) -> Result<Vec<TextRow>, SandboxError> {
        self.registry.sandbox().rows_of_json(&mut self.tx, columns, json).await
    }

    /// Undoes all of it.
    ///
    /// # Errors
    /// The database's.
    pub async fn end(self) -> Result<(), StoreError> {
        Ok(self.tx.rollback().await?)
    }
}

//! A component on tables of its own, which are as new for each run of events: what an author tries it on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::deliver::{Bounds, Interrupted, deliver};
use super::deploy::DeployError;
use super::trial::as_active;
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Active, Plugin, PluginConfig, Registry, Rehearsal, Requests};
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

    /// Hands events to the component on new tables, so many at a time. It must want them all. Those that fail
    /// are set aside. Where it is told to `record`, the run has the steps and the lines. Requests are not sent:
    /// the rehearsal keeps and answers them.
    ///
    /// # Errors
    /// The database's. What the component does wrong is told in the run.
    pub async fn run(
        &self,
        events: &[Event],
        batch: usize,
        config: PluginConfig,
        rehearsal: &Arc<Rehearsal>,
        record: bool,
    ) -> Result<Run<'_>, DeployError> {
        self.registry.sandbox().set_sequences(&self.sequences).await?;
        let mut tx = Tx::begin(self.registry.pool(), TIME).await.map_err(StoreError::from)?;
        let active = as_active(self.registry, self.plugin.clone(), self.sql.clone()).await?;
        let active = Active { config, ..active };
        let (mut failed, mut stopped) = (Vec::new(), None);
        let bounds = Bounds {
            interrupted: u32::MAX,
            give_way: 0,
            order: false,
            turns: true,
            until_trap: false,
            time: TIME,
            requests: Requests::Kept(rehearsal),
            stop: &CancellationToken::new(),
        };
        if record {
            self.sql.recorder().begin();
            self.plugin.heard.begin();
        }
        let batch = if self.plugin.is_reactor() { 1 } else { batch };
        for (chunk, events) in events.chunks(batch).enumerate() {
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
        Ok(Run { registry, name, tx, failed, stopped, steps, lines })
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

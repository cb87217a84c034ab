//! One instance for one call: made, used, thrown away.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use wasmtime::{Store, UpdateDeadline};

use super::causes::Causes;
use super::contract::{Contract, Outcome};
use super::costs::Meter;
use super::engine::Shared;
use super::event_log::EventLog;
use super::host::{State, Stop};
use super::limits::Limits;
use super::lines::Lines;
use super::outgoing::{Client, Outgoing, Requests};
use super::queries::Served;
use super::script::Script;
use super::session::{Coming, Session};
use super::version::Version;
use super::wasi::World;
use super::{LoadError, failure, traced};
use crate::db::Tx;
use crate::event::Event;
use crate::projection::{Description, Failure, FailureKind};
use crate::sandbox::{PluginSql, Recorder};
use crate::upcast::Upcasters;

/// One version of a projection, ready to run.
pub struct Plugin {
    /// Its identity.
    pub version: Version,
    /// What it says of itself, checked.
    pub description: Description,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// How long the compiler took, or the cache.
    pub compile_time: Duration,
    /// The lines that it logs, each after its level, while somebody listens.
    pub heard: Arc<Recorder<String>>,
    pub(super) contract: Contract,
    /// The queries that it answers.
    pub(super) reads: Option<Served>,
    /// It answers events with events.
    pub(super) appends: bool,
    /// What it sends requests by.
    pub(super) client: Option<Arc<Client>>,
    pub(super) limits: Arc<Limits>,
    pub(super) shared: Arc<Shared>,
    pub(super) upcasters: Upcasters,
}

/// What a plugin reaches beyond its tables, where it is of a kind that does, and who counts what it costs.
#[derive(Clone, Copy, Default)]
pub struct Beyond<'a> {
    /// The log, for what answers events with events.
    pub log: Option<&'a Arc<dyn EventLog>>,
    /// What becomes of the requests of a reactor.
    pub requests: Requests<'a>,
    /// Counts the call, where it is one that is to be counted.
    pub meter: Option<&'a Meter>,
}

impl<'a> Beyond<'a> {
    /// A log, and no requests.
    pub fn log(log: &'a Arc<dyn EventLog>) -> Self {
        Self { log: Some(log), ..Self::default() }
    }

    /// The same, counted.
    #[must_use]
    pub fn counted(self, meter: &'a Meter) -> Self {
        Self { meter: Some(meter), ..self }
    }
}

/// Where the time of a batch went.
#[derive(Debug, Clone, Copy, Default)]
pub struct HandleStats {
    /// Making the instance, start functions included.
    pub instantiate: Duration,
    /// The call of `handle`, its SQL included.
    pub call: Duration,
    /// Of both what the plugin itself took: without SQL, and without waiting for answers to its requests.
    pub wasm: Duration,
    /// SQL, the settling at the end included.
    pub sql: Duration,
    /// Calls of the host's functions.
    pub host_calls: u64,
    /// Statements, each call of a batch counted.
    pub statements: u64,
    /// Rows that its queries returned.
    pub rows_read: u64,
    /// Rows that its statements wrote.
    pub rows_written: u64,
    /// Bytes of statements and parameters.
    pub bytes: usize,
    /// Bytes of linear memory at the end.
    pub memory: usize,
}

impl Plugin {
    /// The limits that it runs within.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether it sends requests to other systems: what it does can't be undone by a rollback.
    pub fn is_reactor(&self) -> bool {
        self.client.is_some()
    }

    /// Runs `handle` on a fresh instance. The transaction goes in and comes back; `None` when it
    /// had to be given up, and its connection with it. After a failure it can only be rolled back.
    ///
    /// Returns within the time of a batch, that of its requests, and some three seconds, whatever the
    /// plugin does. The events must be at least one, and of this plugin's types. Nothing is sent.
    pub async fn handle(
        &self,
        tx: Tx,
        sql: &Arc<PluginSql>,
        events: &[Event],
        config: &Arc<BTreeMap<String, String>>,
    ) -> (Option<Tx>, Result<HandleStats, Failure>) {
        self.handle_with(tx, sql, events, config, Beyond::default()).await
    }

    /// The same, with what lies beyond its tables.
    pub async fn handle_with(
        &self,
        tx: Tx,
        sql: &Arc<PluginSql>,
        events: &[Event],
        config: &Arc<BTreeMap<String, String>>,
        beyond: Beyond<'_>,
    ) -> (Option<Tx>, Result<HandleStats, Failure>) {
        self.handle_within(tx, sql, events, config, Duration::MAX, beyond).await
    }

    /// Whether it answers events with events.
    pub fn is_process_manager(&self) -> bool {
        self.appends
    }

    /// Whether all that it does are rows of its tables, which go back with their transaction.
    pub fn is_confined(&self) -> bool {
        !self.is_process_manager() && !self.is_reactor()
    }

    /// The same in no more than this time, and no more than that of a batch.
    pub async fn handle_within(
        &self,
        tx: Tx,
        sql: &Arc<PluginSql>,
        events: &[Event],
        config: &Arc<BTreeMap<String, String>>,
        most: Duration,
        beyond: Beyond<'_>,
    ) -> (Option<Tx>, Result<HandleStats, Failure>) {
        let span = traced::handling(self, events);
        let limit = most.min(self.limits.batch);
        let work = async {
            let begun = Instant::now();
            let Ok(Ok(_slot)) = tokio::time::timeout(limit, self.slots().acquire()).await else {
                let message = "no plugin instance became free in time: raise `instances`";
                return (Some(tx), Err(Failure::new(FailureKind::Retry, message)));
            };
            // A batch has its time from its start; who can't wait has it from now.
            let waited = if limit < self.limits.batch { begun.elapsed() } else { Duration::ZERO };
            let time = limit.saturating_sub(waited);
            self.run(Coming::Now(tx), sql, events, config, time, beyond).await
        };
        let (tx, result) = span.within(work).await;
        traced::handled(&span, &result);
        (tx, result)
    }

    /// The same for a plugin that [is confined](Self::is_confined), before its transaction is there, if there
    /// is room for that: it runs up to its first statement, and then waits for it. Given up before that, it
    /// has done nothing, and nobody sees what it has logged. Once the transaction has come this ends as
    /// [`Self::handle`] does; nothing comes of it where none comes.
    pub async fn handle_early(
        &self,
        later: oneshot::Receiver<Tx>,
        sql: &Arc<PluginSql>,
        events: &[Event],
        config: &Arc<BTreeMap<String, String>>,
        meter: &Meter,
    ) -> Option<(Option<Tx>, Result<HandleStats, Failure>)> {
        let beyond = Beyond { meter: Some(meter), ..Beyond::default() };
        let room = (self.shared.early.try_acquire(), self.slots().try_acquire());
        if let (Ok(_early), Ok(_slot)) = room {
            let coming = Coming::Later(later);
            return Some(self.run(coming, sql, events, config, self.limits.batch, beyond).await);
        }
        drop(room);
        Some(self.handle_with(later.await.ok()?, sql, events, config, beyond).await)
    }

    fn slots(&self) -> &Semaphore {
        self.shared.slots(self.description.mode, self.is_reactor())
    }

    /// Runs it for no longer than this time.
    async fn run(
        &self,
        coming: Coming,
        sql: &Arc<PluginSql>,
        events: &[Event],
        config: &Arc<BTreeMap<String, String>>,
        time: Duration,
        beyond: Beyond<'_>,
    ) -> (Option<Tx>, Result<HandleStats, Failure>) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return (coming.here().await, Ok(HandleStats::default()));
        };
        let events = match lifted(&self.upcasters, events) {
            Ok(events) => events,
            Err(failure) => return (coming.here().await, Err(failure)),
        };
        let limits = self.limits.clone();
        let name = &self.description.name;
        let positions = format!("{}-{}", first.position, last.position);
        let sink = self.shared.sink.load().as_deref().cloned();
        let lines = Lines::new(name.as_str().into(), self.version, positions, &limits, sink)
            .heard_by(self.heard.clone());
        let lines = if matches!(coming, Coming::Later(_)) { lines.held() } else { lines };
        let seed = World::seed(name, first.position);
        let world = World::new(first.occurred_at.timestamp_micros(), seed);
        let mut session = Session::with(coming, sql.clone());
        session.causes = beyond
            .log
            .filter(|_| self.is_process_manager())
            .map(|log| Causes::new(log.clone(), name, self.upcasters.clone(), &events));
        let state = State::new(limits, time, world, lines, config.clone(), Some(session));
        let outgoing = self
            .client
            .as_ref()
            .map(|client| Outgoing::new(name, client, beyond.requests, &events));
        let mut store = new_store(&self.shared, State { outgoing, ..state });
        let mut stats = HandleStats::default();
        let outcome = self.contract.handle(&mut store, &events, &mut stats).await;
        // The instance ends here; what it had in its hands is ours again.
        let mut state = store.into_data();
        stats.wasm = (stats.instantiate + stats.call).saturating_sub(state.waited());
        // One that needed no statement has not waited for it.
        state.arrival().await;
        let result = conclude(&mut state, outcome, events.len()).await;
        state.lines.lock().unwrap_or_else(PoisonError::into_inner).finish();
        stats.host_calls = state.host_calls;
        stats.memory = state.space.memory;
        let Some(session) = state.session else { return (None, result.map(|()| stats)) };
        stats.sql = session.time;
        stats.statements = session.statements;
        (stats.rows_read, stats.rows_written) = (session.rows_read, session.rows_written);
        stats.bytes = session.bytes;
        if let Some(meter) = beyond.meter {
            meter.note(&events, &stats, result.is_ok());
        }
        let mut tx = if session.is_lost() { None } else { session.tx };
        if let (Some(tx), Err(_)) = (&mut tx, &result) {
            // Half of a batch must not be committed by mistake.
            tx.doom();
        }
        (tx, result.map(|()| stats))
    }
}

impl Plugin {
    /// Runs `handle` on one event without a database: the script answers. Gives it back with how it ended.
    pub async fn replay(
        &self,
        event: &Event,
        config: &Arc<BTreeMap<String, String>>,
        script: Script,
    ) -> (Script, Result<(), Failure>) {
        let limits = self.limits.clone();
        let name = &self.description.name;
        let position = event.position.to_string();
        let lines = Lines::new(name.as_str().into(), self.version, position, &limits, None);
        let seed = World::seed(name, event.position);
        let world = World::new(event.occurred_at.timestamp_micros(), seed);
        let time = limits.batch;
        let state = State::new(limits, time, world, lines, config.clone(), None);
        let mut store = new_store(&self.shared, State { script: Some(script), ..state });
        let events = std::slice::from_ref(event);
        let outcome = self.contract.handle(&mut store, events, &mut HandleStats::default()).await;
        let mut state = store.into_data();
        let result = conclude(&mut state, outcome, 1).await;
        state.lines.lock().unwrap_or_else(PoisonError::into_inner).finish();
        (state.script.unwrap_or_default(), result)
    }
}

/// The events as a plugin may see them. One that can't be lifted is to blame by itself.
fn lifted<'a>(upcasters: &Upcasters, events: &'a [Event]) -> Result<Cow<'a, [Event]>, Failure> {
    if !events.iter().any(|event| upcasters.concerns(event)) {
        return Ok(Cow::Borrowed(events));
    }
    let lifted = events.iter().enumerate().map(|(index, event)| {
        upcasters.lift(event.clone()).map_err(|error| Failure {
            index: Some(index),
            ..Failure::new(FailureKind::Poison, error.to_string())
        })
    });
    lifted.collect::<Result<Vec<_>, _>>().map(Cow::Owned)
}

async fn conclude(state: &mut State, outcome: Outcome, events: usize) -> Result<(), Failure> {
    match outcome {
        Err(error) => return Err(failure::stopped(state, &error)),
        Ok(Err(theirs)) => {
            return Err(failure::returned(state, theirs, events));
        }
        Ok(Ok(())) => {}
    }
    let (deadline, time) = (state.deadline, state.time);
    if let Some(session) = &mut state.session {
        if session.trouble.is_none()
            && let Err(stop) = session.settle(deadline, time).await
        {
            return Err(failure::stopped(state, &stop.into()));
        }
        if let Some(trouble) = session.trouble.clone() {
            return Err(failure::swallowed(state, &trouble));
        }
    }
    if let Some(script) = &mut state.script {
        if script.trouble.is_none() {
            script.settle();
        }
        if let Some(trouble) = script.trouble.clone() {
            return Err(failure::swallowed(state, &trouble));
        }
    }
    Ok(())
}

/// Asks a plugin what it is, without a transaction.
pub(super) async fn describe(
    shared: &Shared,
    contract: &Contract,
    version: Version,
) -> Result<Description, LoadError> {
    let (_slot, mut store) = describing(shared, version).await?;
    let outcome = contract.describe(&mut store).await;
    described(store, outcome)
}

/// A store for what a plugin is asked without a transaction, and the permit to use it.
pub(super) async fn describing(
    shared: &Shared,
    version: Version,
) -> Result<(SemaphorePermit<'_>, Store<State>), LoadError> {
    let limits = shared.limits.clone();
    let Ok(Ok(slot)) = tokio::time::timeout(limits.batch, shared.slots.acquire()).await else {
        return Err(LoadError::Describe("no plugin instance became free in time".to_owned()));
    };
    let lines = Lines::new("(describe)".into(), version, String::new(), &limits, None);
    let world = World::new(0, *version.as_bytes());
    let time = limits.describe;
    let state = State::new(limits, time, world, lines, Arc::default(), None);
    Ok((slot, new_store(shared, state)))
}

/// What came of it.
pub(super) fn described<T>(
    store: Store<State>,
    outcome: wasmtime::Result<T>,
) -> Result<T, LoadError> {
    let state = store.into_data();
    state.lines.lock().unwrap_or_else(PoisonError::into_inner).finish();
    match outcome {
        Ok(described) => Ok(described),
        Err(error) => Err(LoadError::Describe(failure::stopped(&state, &error).message)),
    }
}

pub(super) fn new_store(shared: &Shared, state: State) -> Store<State> {
    let fuel = state.limits.parameter_bytes;
    let mut store = Store::new(&shared.engine, state);
    store.limiter(|state| &mut state.space);
    store.set_hostcall_fuel(fuel);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        let state = store.data();
        if Instant::now() >= state.deadline {
            return Err(Stop::Deadline(state.time).into());
        }
        // Others may want the thread; it goes on at the next tick.
        Ok(UpdateDeadline::Yield(1))
    });
    store
}

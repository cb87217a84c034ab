//! The log for process managers: streams are read and appended to in the transaction of a batch.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use uuid::Uuid;

use crate::db::Tx;
use crate::event::{Event, ExpectedVersion, NewEvent, StreamId};
use crate::plugin::{Answer, Answered, EventLog, Known, LogError, Registry};
use crate::projection::Mode;
use crate::sandbox::{self, SqlError, SqlErrorKind};
use crate::store::{
    self, Append, Deadline, Direction, Epoch, EventStore, Inline, InlineFailure, StoreError,
};

/// Events in a batch that can answer them with others, at most.
pub(super) const ANSWERED: i64 = 50;

/// Before what takes more than one statement.
const SAVEPOINT: &str = "answers";

/// The time in which the events of a scenario are put into the log.
const SCENE: Duration = Duration::from_secs(60);

/// The log of a store, as one that handles events reaches it.
pub(super) struct Answers {
    store: EventStore,
    only_repeats: bool,
    scene: Option<Scene>,
}

/// What is different where the log is made up.
struct Scene {
    /// Positions are told from here on.
    base: i64,
    /// What may be appended to; nothing: anything.
    allowed: Option<BTreeSet<String>>,
    /// The positions of what was appended, also of what was undone.
    appended: Mutex<Vec<i64>>,
}

impl Answers {
    /// Of who handles events for good.
    pub(super) fn live(store: &EventStore) -> Arc<dyn EventLog> {
        Arc::new(Self { store: store.clone(), only_repeats: false, scene: None })
    }

    /// Of who handles them in a transaction that is rolled back: inline plugins are not run.
    pub(super) fn on_trial(registry: &Registry) -> Arc<dyn EventLog> {
        Arc::new(Self { store: without_inline(registry), only_repeats: false, scene: None })
    }

    /// Of who makes tables anew: all events were handled before, and their answers are in the log.
    pub(super) fn repeated(registry: &Registry) -> Arc<dyn EventLog> {
        Arc::new(Self { store: without_inline(registry), only_repeats: true, scene: None })
    }

    /// Of a log that is made up: of these events, in a transaction that is rolled back. Only to streams of
    /// some aggregates may be appended, where they are said.
    pub(super) async fn of_scene(
        registry: &Registry,
        tx: &mut Tx,
        given: &[Event],
        allowed: Option<BTreeSet<String>>,
    ) -> Result<Arc<Self>, StoreError> {
        let store = without_inline(registry);
        let mut base = None;
        for event in given {
            let append = Append {
                stream: event.stream.clone(),
                expected: ExpectedVersion::Any,
                topic: event.topic.clone(),
                events: vec![NewEvent {
                    id: Some(event.id),
                    event_type: event.event_type.clone(),
                    schema_version: event.schema_version,
                    payload: event.payload.clone(),
                    occurred_at: Some(event.occurred_at),
                    correlation_id: event.correlation_id.clone(),
                    causation_id: event.causation_id.clone(),
                    trace: None,
                }],
            };
            let appended = store.append_within(tx, append, Deadline::of(SCENE)).await?;
            if let (None, Some(first)) = (base, appended.events.first()) {
                base = Some(first.position - event.position);
            }
        }
        let appended = Mutex::default();
        let scene = Some(Scene { base: base.unwrap_or(0), allowed, appended });
        Ok(Arc::new(Self { store, only_repeats: false, scene }))
    }

    /// What was appended, as far as it was not undone.
    pub(super) async fn appended(&self, tx: &mut Tx) -> Result<Vec<Event>, StoreError> {
        let Some(scene) = &self.scene else { return Ok(Vec::new()) };
        let mut positions = scene.appended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        positions.sort_unstable();
        store::rebuild::events_at(tx.conn(), &positions).await.map(|page| page.events)
    }

    fn base(&self) -> i64 {
        self.scene.as_ref().map_or(0, |scene| scene.base)
    }

    async fn know(
        &self,
        tx: &mut Tx,
        plugin: &str,
        causes: &[i64],
        first: &[Uuid],
    ) -> sqlx::Result<Known> {
        let base = self.base();
        let allowed = match &self.scene {
            Some(scene) => scene.allowed.clone(),
            None => Some(sandbox::appendable(tx.conn(), plugin).await?),
        };
        let causes: Vec<i64> = causes.iter().map(|position| position + base).collect();
        let causes = store::causes(tx.conn(), &causes).await?;
        let chains = causes.iter().filter_map(|cause| Some((cause.position - base, cause.chain?)));
        let chains = chains.collect();
        let traces =
            causes.into_iter().filter_map(|cause| Some((cause.position - base, cause.trace?)));
        let found = store::find_events(tx.conn(), first).await?;
        let first = found.into_iter().map(|found| (found.id, found.position - base));
        Ok(Known { allowed, chains, traces: traces.collect(), first: first.collect() })
    }

    async fn append_all(
        &self,
        tx: &mut Tx,
        answer: Answer,
        deadline: Deadline,
    ) -> Result<i32, StoreError> {
        let Some((_, topic)) = answer.events.first() else {
            let message = format!("{}: an append needs at least one event", answer.stream);
            return Err(StoreError::InvalidAppend(message));
        };
        // What is refused has written nothing, also where it takes more than one statement.
        let several = answer.events.iter().any(|(_, other)| other != topic);
        if !several {
            return self.append_runs(tx, answer, deadline).await;
        }
        tx.savepoint(SAVEPOINT).await?;
        let appended = self.append_runs(tx, answer, deadline).await;
        match &appended {
            Ok(_) => tx.release(SAVEPOINT).await?,
            Err(
                StoreError::Conflict { .. }
                | StoreError::InvalidAppend(_)
                | StoreError::InvalidEvent { .. },
            ) => {
                tx.rollback_to(SAVEPOINT).await?;
                tx.release(SAVEPOINT).await?;
            }
            // The transaction is lost.
            Err(_) => {}
        }
        appended
    }

    async fn append_runs(
        &self,
        tx: &mut Tx,
        answer: Answer,
        deadline: Deadline,
    ) -> Result<i32, StoreError> {
        let (mut expected, mut version) = (answer.expected, 0);
        let mut positions = Vec::with_capacity(answer.events.len());
        let mut events = answer.events;
        // The outbox has one label for what a statement appends to a stream.
        while let Some((_, topic)) = events.first() {
            let topic = topic.clone();
            let same = events.iter().take_while(|(_, own)| *own == topic).count();
            let rest = events.split_off(same);
            let events_now =
                std::mem::replace(&mut events, rest).into_iter().map(|(mut new, _)| {
                    // A scenario is the same whenever it is run.
                    if self.scene.is_some() {
                        new.occurred_at = Some(answer.caused_at);
                    }
                    new
                });
            let append = Append {
                stream: answer.stream.clone(),
                expected,
                topic,
                events: events_now.collect(),
            };
            let appended = self.store.append_within(tx, append, deadline).await?;
            positions.extend(appended.events.iter().map(|event| event.position));
            version = appended.events.last().map_or(version, |event| event.version);
            expected = ExpectedVersion::Exact(version);
        }
        store::note_chain(tx.conn(), &positions, answer.chain).await?;
        if let Some(scene) = &self.scene {
            scene.appended.lock().unwrap_or_else(PoisonError::into_inner).extend(positions);
        }
        Ok(version)
    }
}

impl EventLog for Answers {
    fn known<'a>(
        &'a self,
        tx: &'a mut Tx,
        plugin: &'a str,
        causes: &'a [i64],
        first: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Known, LogError>> {
        async move { self.know(tx, plugin, causes, first).await.map_err(of_database) }.boxed()
    }

    fn read<'a>(
        &'a self,
        tx: &'a mut Tx,
        stream: &'a StreamId,
        after: i32,
        limit: i64,
    ) -> BoxFuture<'a, Result<(Vec<Event>, bool), LogError>> {
        async move {
            let from = after.saturating_add(1);
            let page = store::stream_page(tx.conn(), stream, Direction::Forward, from, limit, true);
            let mut page = page.await.map_err(of_store)?;
            for event in &mut page.events {
                event.position -= self.base();
            }
            Ok((page.events, page.full))
        }
        .boxed()
    }

    fn find<'a>(
        &'a self,
        tx: &'a mut Tx,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Answered>, LogError>> {
        async move {
            let found = store::find_events(tx.conn(), ids).await.map_err(of_database)?;
            let answered = found.into_iter().map(|found| Answered {
                id: found.id,
                position: found.position - self.base(),
                stream: found.stream,
                version: found.version,
                event_type: found.event_type,
            });
            Ok(answered.collect())
        }
        .boxed()
    }

    fn append<'a>(
        &'a self,
        tx: &'a mut Tx,
        answer: Answer,
        time: Duration,
    ) -> BoxFuture<'a, Result<i32, LogError>> {
        async move { self.append_all(tx, answer, Deadline::of(time)).await.map_err(of_store) }
            .boxed()
    }

    fn only_repeats(&self) -> bool {
        self.only_repeats
    }
}

fn of_database(error: sqlx::Error) -> LogError {
    LogError::Database(error.into())
}

fn of_store(error: StoreError) -> LogError {
    match error {
        StoreError::Conflict { actual, .. } => LogError::Conflict(actual),
        StoreError::InvalidAppend(_) | StoreError::InvalidEvent { .. } => {
            LogError::Invalid(error.to_string())
        }
        StoreError::Inline(failure) if !failure.retryable => LogError::Refused(failure.to_string()),
        // Another handling of this cause was sooner: the next one finds its answer.
        StoreError::Database(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            LogError::Database(SqlError::new(SqlErrorKind::Retryable, error.message()))
        }
        StoreError::Database(error) => of_database(error),
        other => LogError::Database(SqlError::new(SqlErrorKind::Retryable, other.to_string())),
    }
}

/// A store whose appends are never committed.
fn without_inline(registry: &Registry) -> EventStore {
    let snapshot = registry.snapshot();
    let number = snapshot.epoch(Mode::Inline);
    EventStore::new(registry.pool().clone()).with_inline(Arc::new(Passed { number }))
}

/// Inline projections that are left out.
struct Passed {
    number: i64,
}

impl Inline for Passed {
    fn epoch(&self) -> Epoch {
        Epoch { number: self.number, is_empty: true }
    }

    fn refresh(&self) -> BoxFuture<'_, anyhow::Result<()>> {
        let changed = "other inline plugins became active; try again";
        async move { Err(anyhow::anyhow!(changed)) }.boxed()
    }

    fn run<'a>(
        &'a self,
        _: &'a mut Tx,
        _: i64,
        _: &'a [Event],
        _: Deadline,
    ) -> BoxFuture<'a, Result<(), InlineFailure>> {
        async { Ok(()) }.boxed()
    }
}

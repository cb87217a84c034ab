//! Group commit: appends that arrive while others are being committed share the next transaction.
//!
//! An append that finds nobody at work is made at once, as if there were no groups. Those that
//! arrive meanwhile wait; who finishes leaves a task behind that takes all of them together, and
//! so on until nobody waits. So a group is as large as the load makes it
//! (the idea is as old as IMS Fast Path; DeWitt et al., "Implementation Techniques for Main Memory
//! Database Systems", 1984, describe it).
//!
//! Callers who append again as soon as they have their answer would come in two crowds by turns, each
//! waiting for the other one's commit. So before a group is taken, those who were just answered have a
//! small part of the time that their commit took to come back.
//!
//! What goes wrong in a group is nobody's answer: each of its appends is then made again alone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::columns::Columns;
use super::prepared::Prepared;
use super::{Appended, AppendedEvent, CONNECTION, Deadline, Known, Refused, begin, give_back};
use crate::db::Source as _;
use crate::store::{EventStore, StoreError};
use crate::trace::Ambient;

/// Appends or groups that are at work at the same time, at most.
const LANES: usize = 4;
/// So many have to wait, for each group that is at work, before another one is made beside it: fewer are
/// done sooner by one commit than by two that share a disk. (8 callers on two cores, each in a run of its
/// own: 0.34 of single-row commits with four groups at a time, 0.53 with two, 0.68 with one; 256 callers: 1.9
/// with two, 1.6 with one.)
const CROWD: usize = 16;
/// This part of what the last commit took is waited for those whom it answered, and no longer than that.
const RETURN: u32 = 8;
const LONGEST_RETURN: Duration = Duration::from_micros(500);
/// Appends that share a transaction, at most.
const APPENDS: usize = 256;
/// The same where inline projections run for each, one after the other.
const APPENDS_WITH_INLINE: usize = 32;
/// Bytes of payload in a group of appends, at most.
const BYTES: usize = 4 * 1024 * 1024;
/// Larger appends go alone: their commit is a small part of their cost.
const EVENTS_OF_ONE: usize = 100;
const BYTES_OF_ONE: usize = 256 * 1024;
/// A group may take this part of what its most pressed append has left: enough is left for each of them
/// to be made alone, when one's inline plugin is slow.
const SHARE: u32 = 4;
/// A group does not wait longer for a lock. (A stream that exists is not waited for at all.)
const LOCK_TIMEOUT: Duration = Duration::from_millis(50);
/// What an append that waits is doing when its time is over.
const TURNS: &str = "appends before it took too long";
/// After this time an append that is made alone no longer keeps the others waiting.
const TURN: Duration = Duration::from_millis(20);

/// The appends that wait for their group, and who is at work. Shared by the clones of a store.
#[derive(Default)]
pub(in crate::store) struct Groups {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// How many have waited, so that each has a number.
    came: u64,
    at_work: usize,
}

/// An append that waits for its group.
struct Waiting {
    number: u64,
    prepared: Prepared,
    deadline: Deadline,
    answer: oneshot::Sender<Result<Appended, StoreError>>,
    /// The span of the append.
    place: Ambient,
}

impl Prepared {
    /// Whether this append may share a transaction with others.
    fn is_groupable(&self) -> bool {
        self.streams.len() == 1 && self.new.len() <= EVENTS_OF_ONE && self.bytes() <= BYTES_OF_ONE
    }

    fn bytes(&self) -> usize {
        self.new.iter().map(|event| event.payload.get().len()).sum()
    }
}

impl Groups {
    /// Makes an append, alone or with others.
    pub(super) async fn append(
        self: &Arc<Self>,
        store: &EventStore,
        prepared: Prepared,
        deadline: Deadline,
    ) -> Result<Appended, StoreError> {
        // (What does not fit would have its whole group made one by one.)
        if !prepared.is_groupable() || prepared.check(&store.schemas).is_err() {
            return store.append_prepared(&prepared, None, deadline).await;
        }
        // Inline plugins take longer than a commit, and are not shared.
        let alone = if store.inline_epoch().is_empty { 1 } else { LANES };
        let place = {
            let mut state = self.lock();
            if state.at_work < alone {
                state.at_work += 1;
                Err(prepared)
            } else {
                let (sender, answer) = oneshot::channel();
                state.came += 1;
                let number = state.came;
                let place = Ambient::here();
                let waiting = Waiting { number, prepared, deadline, answer: sender, place };
                state.waiting.push_back(waiting);
                let crowded = state.waiting.len() >= CROWD * state.at_work;
                if crowded && state.at_work < LANES {
                    state.at_work += 1;
                    self.turn(store).serve(Return::default());
                }
                Ok((number, answer))
            }
        };
        match place {
            Ok((number, mut answer)) => {
                let answered = match tokio::time::timeout(deadline.left(), &mut answer).await {
                    Ok(answered) => answered,
                    // What is in a group keeps the time by itself; what is not yet in one leaves.
                    Err(_) if self.give_up(number) => return Err(deadline.passed(TURNS)),
                    Err(_) => answer.await,
                };
                answered.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))
            }
            Err(prepared) => self.turn(store).alone(&prepared, deadline).await,
        }
    }

    fn turn(self: &Arc<Self>, store: &EventStore) -> Turn {
        let (groups, store, handle) = (self.clone(), store.clone(), Handle::current());
        Turn { groups, store, handle, since: Instant::now() }
    }

    /// Takes an append out of those that wait, unless it is being made.
    fn give_up(&self, number: u64) -> bool {
        let mut state = self.lock();
        let before = state.waiting.len();
        state.waiting.retain(|waiting| waiting.number != number);
        state.waiting.len() < before
    }

    /// The next group: no stream twice, as the second append to it depends on the first.
    fn take(&self, store: &EventStore) -> Vec<Waiting> {
        let most = if store.inline_epoch().is_empty { APPENDS } else { APPENDS_WITH_INLINE };
        let mut state = self.lock();
        let (mut group, mut left, mut streams) = (Vec::new(), VecDeque::new(), HashSet::new());
        let mut bytes = 0;
        while let Some(waiting) = state.waiting.pop_front() {
            if waiting.answer.is_closed() {
                continue;
            }
            if streams.insert(waiting.prepared.streams[0].id.clone()) {
                bytes += waiting.prepared.bytes();
                group.push(waiting);
            } else {
                left.push_back(waiting);
            }
            if group.len() == most || bytes >= BYTES {
                break;
            }
        }
        left.append(&mut state.waiting);
        state.waiting = left;
        group
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody is at work. When they finish, or are dropped in the middle of it, those who wait are
/// served.
struct Turn {
    groups: Arc<Groups>,
    store: EventStore,
    handle: Handle,
    since: Instant,
}

/// Who may come back, and until when that is waited for.
#[derive(Clone, Copy, Default)]
struct Return {
    /// How many wait once all have.
    all: usize,
    until: Option<Instant>,
}

impl Turn {
    /// Serves those who wait, on a task of its own.
    fn serve(self, back: Return) {
        self.handle.clone().spawn(self.rounds(back));
    }

    /// Serves those who wait until nobody does.
    async fn rounds(mut self, mut back: Return) {
        loop {
            self.gather(back).await;
            let mut group = self.groups.take(&self.store);
            let appends = group.len();
            if appends < 2 {
                let Some(Waiting { prepared, deadline, answer, place, .. }) = group.pop() else {
                    return;
                };
                self.since = Instant::now();
                let appended = place.within(self.alone(&prepared, deadline)).await;
                // Who has gone away needs no answer.
                return drop(answer.send(appended));
            }
            self.since = Instant::now();
            commit(&self.store, group).await;
            back = self.back(appends);
        }
    }

    /// Gives those who were just answered time to come back.
    async fn gather(&self, back: Return) {
        loop {
            tokio::task::yield_now().await;
            let waiting = self.groups.lock().waiting.len();
            if waiting >= back.all || back.until.is_none_or(|until| Instant::now() >= until) {
                return;
            }
        }
    }

    /// So many appends were answered.
    fn back(&self, appends: usize) -> Return {
        let all = (self.groups.lock().waiting.len() + appends).min(APPENDS);
        let time = (self.since.elapsed() / RETURN).min(LONGEST_RETURN);
        Return { all, until: Some(Instant::now() + time) }
    }

    /// Makes one append.
    async fn alone(self, prepared: &Prepared, deadline: Deadline) -> Result<Appended, StoreError> {
        let store = self.store.clone();
        let append = store.append_prepared(prepared, None, deadline);
        tokio::pin!(append);
        tokio::select! {
            biased;
            answer = &mut append => return answer,
            () = tokio::time::sleep(TURN) => drop(self),
        }
        append.await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.groups.lock();
        if state.waiting.is_empty() {
            state.at_work -= 1;
            return;
        }
        drop(state);
        let (groups, store) = (self.groups.clone(), self.store.clone());
        let next = Self { groups, store, handle: self.handle.clone(), since: self.since };
        let back = next.back(1);
        next.serve(back);
    }
}

/// Appends a group in one transaction, and each whose place that is not alone.
async fn commit(store: &EventStore, mut group: Vec<Waiting>) {
    // Two groups never wait for each other in a ring.
    group.sort_by(|a, b| a.prepared.streams[0].id.cmp(&b.prepared.streams[0].id));
    let appended = match try_group(store, &group).await {
        Ok(appended) => {
            store.wake.hint();
            appended
        }
        Err(refused) => {
            if let Refused::Error(error) = refused {
                tracing::debug!(%error, appends = group.len(), "a group is made one by one");
            }
            HashMap::new()
        }
    };
    for waiting in group {
        let mine = waiting.prepared.new.iter().map(|event| appended.get(&event.id).copied());
        match mine.collect::<Option<Vec<AppendedEvent>>>() {
            Some(events) => {
                drop(waiting.answer.send(Ok(Appended { events, repeated: false })));
            }
            None => {
                let store = store.clone();
                tokio::spawn(async move {
                    let append = store.append_prepared(&waiting.prepared, None, waiting.deadline);
                    let answer = waiting.place.within(append).await;
                    drop(waiting.answer.send(answer));
                });
            }
        }
    }
}

/// The events that were written, by their ids.
async fn try_group(
    store: &EventStore,
    group: &[Waiting],
) -> Result<HashMap<Uuid, AppendedEvent>, Refused> {
    let epoch = store.inline_epoch();
    let mut known = Known { inline: epoch, schemas: store.schemas.generation() };
    for waiting in group {
        // Checked before, but perhaps against other schemas.
        known.schemas = known.schemas.min(waiting.prepared.check(&store.schemas)?);
    }
    let deadline = group.iter().map(|waiting| waiting.deadline).reduce(Deadline::earlier);
    let Some(deadline) = deadline.map(|deadline| deadline.share(SHARE)) else {
        return Ok(HashMap::new());
    };
    if epoch.is_empty && store.seal.is_none() {
        // Nothing else is to be done in its transaction, so the statement is one by itself.
        let mut conn = deadline.within(CONNECTION, store.connections.lend()).await??;
        return match deadline.answer(insert_group(&mut conn, group, known)).await {
            Ok(written) => {
                let written = written?;
                conn.keep();
                Ok(written)
            }
            Err(unanswered) => {
                conn.close_on_drop();
                Err(unanswered.into())
            }
        };
    }
    let mut tx = begin(&store.connections, deadline).await?;
    let appended = match insert_group(tx.conn(), group, known).await {
        Ok(appended) => appended,
        Err(error) => {
            tx.rollback().await?;
            return Err(error.into());
        }
    };
    let events: Vec<AppendedEvent> = appended.values().copied().collect();
    store.seal(&mut tx, &events).await?;
    if let (false, Some(inline)) = (epoch.is_empty, &store.inline) {
        for Waiting { prepared, place, .. } in group {
            let mine = prepared.new.iter().map(|event| appended.get(&event.id).copied());
            if let Some(events) = mine.collect::<Option<Vec<_>>>() {
                let events = prepared.events(&Appended { events, repeated: false });
                let run = inline.run(&mut tx, epoch.number, &events, deadline);
                if let Err(failure) = place.within(run).await {
                    give_back(tx).await;
                    return Err(Refused::Error(failure.into()));
                }
            }
        }
    }
    deadline.answer(tx.commit()).await??;
    Ok(appended)
}

/// The events that the statement of a group has written, by their ids.
async fn insert_group(
    conn: &mut PgConnection,
    group: &[Waiting],
    known: Known,
) -> sqlx::Result<HashMap<Uuid, AppendedEvent>> {
    let columns = Columns::of(group.iter().map(|waiting| &waiting.prepared));
    let events = sqlx::query_file_as!(
        AppendedEvent,
        "src/store/sql/append_group.sql",
        &columns.tenants,
        &columns.aggregates,
        &columns.ids,
        &columns.topics as &[Option<String>],
        &columns.added,
        &columns.least,
        &columns.greatest,
        known.inline.number,
        &columns.stream,
        &columns.nth,
        &columns.event_ids,
        &columns.types,
        &columns.schema_versions,
        &columns.payloads,
        &columns.occurred_at as &[Option<DateTime<Utc>>],
        &columns.correlation_ids as &[Option<String>],
        &columns.causation_ids as &[Option<String>],
        LOCK_TIMEOUT.as_millis().to_string(),
        known.schemas,
        &columns.traceparents as &[Option<String>],
        &columns.tracestates as &[Option<String>],
    )
    .fetch_all(conn)
    .await?;
    Ok(events.into_iter().map(|event| (event.id, event)).collect())
}

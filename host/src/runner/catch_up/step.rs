//! One batch of one tenant.

use std::sync::Arc;
use std::time::Instant;

use super::ahead::{Ahead, Begun, Page};
use super::tenant::{Tenant, Watch};
use super::work::Work;
use super::{CatchUp, LATER, Step};
use crate::db::Tx;
use crate::event::{Event, Shard};
use crate::plugin::{Active, Beyond, HandleStats};
use crate::projection::{Failure, Mode};
use crate::runner::answers::Answers;
use crate::runner::supervisor::unless_stopped;
use crate::runner::traced::Traces;
use crate::store::{self, EventStore, IdleMove, LogFilter, Place, StoreError};
use crate::trace;

/// Positions that one batch looks through, so that a projection of rare events, or of a quiet
/// tenant, gets through a long log in steps that end within the time of a batch.
const WINDOW: i64 = 100_000;

/// Events to handle, or none, and what they stand for.
pub(super) struct Batch {
    pub events: Arc<Vec<Event>>,
    /// There can be more before `until`.
    pub full: bool,
    /// Everything up to here was looked at.
    pub until: i64,
    /// The plugin that has begun with it.
    pub begun: Option<Begun>,
    /// When it was the next thing to do.
    pub since: Instant,
}

impl Batch {
    pub(super) fn new(events: Vec<Event>, full: bool, until: i64) -> Self {
        Self { events: Arc::new(events), full, until, begun: None, since: Instant::now() }
    }

    /// Where the checkpoint is when the batch is handled.
    pub(super) fn upto(&self) -> i64 {
        match self.events.last() {
            Some(last) if self.full => last.position,
            _ => self.until,
        }
    }
}

/// What became of a batch.
pub(super) enum Handled {
    /// The checkpoint is past it.
    Well {
        /// With an event that had failed before.
        overcome: bool,
    },
    /// It was rolled back, and it is decided how to go on.
    Failed,
    /// Meanwhile somebody else has moved the checkpoint past it, or nobody may any more.
    Elsewhere,
}

impl CatchUp {
    /// Handles the next batch of one tenant.
    pub(super) async fn step(
        &self,
        work: &Work,
        tenant: &str,
        state: &mut Tenant,
        head: i64,
    ) -> Result<Step, StoreError> {
        let since = Instant::now();
        let pool = self.store.pool();
        let layout = match state.layout {
            Some(layout) => layout,
            None => {
                let starts_after = work.settings().starts_after;
                let create = store::create_checkpoint(pool, &self.name, tenant, starts_after);
                let Some((begins, layout)) = unless_stopped(&self.stop, create).await? else {
                    return Ok(Step::Contended);
                };
                state.layout = Some(layout);
                if begins {
                    self.say_what_is_detached(tenant).await?;
                }
                layout
            }
        };
        if layout != work.settings().shards {
            return self.reshard(work, tenant, state, head).await;
        }
        if !self.prefers(tenant) && !self.takes_over(tenant, state, layout, head).await? {
            return Ok(Step::Idle);
        }
        if self.concerns_nothing(work, tenant, state, layout, head) {
            return Ok(Step::Idle);
        }
        let place = self.place(tenant, layout);
        let begin = Tx::begin(self.store.connections(), work.time().saturating_add(LATER));
        let mut tx = unless_stopped(&self.stop, begin).await?;
        let locked = store::lock_checkpoint(tx.conn(), &place, work.generation()).await?;
        let Some(position) = locked else {
            tx.rollback().await?;
            // Perhaps somebody has deleted it, to begin anew, or parted the tenant.
            state.contended();
            return Ok(Step::Contended);
        };
        state.base = position;
        if self.stays_stopped(state, position) {
            tx.rollback().await?;
            return Ok(Step::Idle);
        }
        if position >= head {
            tx.rollback().await?;
            state.at_head(position);
            return Ok(Step::Idle);
        }
        let batch = self.read(&mut tx, work, tenant, state, place.shard, position, head).await?;
        let mut batch = Batch { since, ..batch };
        let upto = batch.upto();
        if batch.full && state.reads_ahead() {
            let filter = self.filter(work, tenant, place.shard, upto, head);
            let limit = state.batch(&work.pace(&self.config));
            state.ahead = Some(Ahead::begin(pool.clone(), filter, limit, work.can_begin()));
        }
        Ok(match self.handle(tx, work, &place, state, position, &mut batch).await? {
            Handled::Failed => Step::Again,
            Handled::Elsewhere => Step::Contended,
            Handled::Well { overcome: true } => Step::Overcome,
            Handled::Well { .. } if upto < head => Step::Again,
            Handled::Well { .. } => Step::Idle,
        })
    }

    /// Hands a batch to the plugin, where it has any event, and moves the checkpoint that the transaction
    /// has locked at `position` past it.
    pub(super) async fn handle(
        &self,
        mut tx: Tx,
        work: &Work,
        place: &Place,
        state: &mut Tenant,
        position: i64,
        batch: &mut Batch,
    ) -> Result<Handled, StoreError> {
        let (upto, version) = (batch.upto(), work.version());
        if batch.events.is_empty() {
            store::save_checkpoint(tx.conn(), place, upto, self.mover(&version)).await?;
            tx.commit().await?;
            state.passed(upto);
            return Ok(Handled::Well { overcome: false });
        }
        let traces = Traces::of(&mut tx, batch.events.iter()).await?;
        let span = traces.span(&self.name, Mode::CatchUp, batch.events.iter(), 1);
        span.within(self.handle_events(tx, work, place, state, position, batch)).await
    }

    async fn handle_events(
        &self,
        tx: Tx,
        work: &Work,
        place: &Place,
        state: &mut Tenant,
        position: i64,
        batch: &mut Batch,
    ) -> Result<Handled, StoreError> {
        let (upto, version) = (batch.upto(), work.version());
        let started = Instant::now();
        let (tx, handled) = match work {
            Work::Plugin(active) => {
                let begun = batch.begun.take().filter(|begun| begun.is_of(active));
                handle(tx, active, &batch.events, begun, &self.store).await?
            }
            Work::Relay { relay, .. } => {
                tx.rollback().await?;
                let put = relay.put(&batch.events).await;
                let (tx, passed) = match &put {
                    Ok(()) => {
                        let tx = self.lock_again(work, place, position, upto).await?;
                        let passed = tx.is_none();
                        (tx, passed)
                    }
                    Err(_) => (None, self.is_passed(place, position).await?),
                };
                if passed {
                    state.contended();
                    // One of those who took it over is enough.
                    state.look_again();
                    return Ok(Handled::Elsewhere);
                }
                (tx, put.map(|()| HandleStats::default()))
            }
        };
        match (tx, handled) {
            (Some(mut tx), Ok(stats)) => {
                store::save_checkpoint(tx.conn(), place, upto, self.mover(&version)).await?;
                tx.commit_flushed(!self.goes_on(work, place, upto)).await?;
                tracing::debug!(
                    projection = self.name,
                    tenant = place.tenant,
                    shard = place.shard.index,
                    events = batch.events.len(),
                    upto,
                    ?stats,
                    "batch handled"
                );
                self.note_trouble(work, None).await;
                let (events, took) = (batch.events.len(), started.elapsed());
                let took = (took, batch.since.elapsed());
                let overcome = state.done(upto, events, took, &work.pace(&self.config));
                Ok(Handled::Well { overcome })
            }
            (tx, Err(failure)) => {
                if let Some(tx) = tx {
                    tx.rollback().await?;
                }
                trace::failed(failure.class().as_str(), || failure.for_others());
                self.failed(work, place, state, position, &batch.events, failure).await?;
                Ok(Handled::Failed)
            }
            (None, Ok(_)) => Err(sqlx::Error::WorkerCrashed.into()),
        }
    }

    /// Whether a batch up to here may be taken back by a crash of the server: all that it did goes with it, and
    /// there is more to do, before which the checkpoint is looked at.
    fn goes_on(&self, work: &Work, place: &Place, upto: i64) -> bool {
        let end = work.settings().next_at.map_or(i64::MAX, |next| next - 1);
        let last = self.head.borrow().tenants.get(&place.tenant).copied();
        let more = last.is_some_and(|last| upto < last.min(end));
        let hasty = !self.config.synchronous_commit && !self.losses.are_recent();
        more && work.is_confined() && hasty
    }

    /// The checkpoint once more, when a relay has handed over what is after `position` up to `upto`. Nothing was
    /// locked meanwhile: another system that does not answer keeps neither a connection nor a transaction. So
    /// somebody else may have handed over the same, each event of which that system takes once.
    async fn lock_again(
        &self,
        work: &Work,
        place: &Place,
        position: i64,
        upto: i64,
    ) -> Result<Option<Tx>, StoreError> {
        let mut tx = Tx::begin(self.store.connections(), work.time().saturating_add(LATER)).await?;
        let locked = store::lock_checkpoint(tx.conn(), place, work.generation()).await?;
        if locked.is_some_and(|now| (position..upto).contains(&now)) {
            return Ok(Some(tx));
        }
        tx.rollback().await?;
        Ok(None)
    }

    /// Whether somebody else has moved the checkpoint on from `position` while a relay failed. Then what it failed
    /// at is done, and says nothing of the events that come next.
    async fn is_passed(&self, place: &Place, position: i64) -> Result<bool, StoreError> {
        let now = store::look_at_checkpoint(self.store.pool(), place).await?;
        Ok(now != Some(position))
    }

    /// Whether this host does work that another one prefers: when that one does not do it.
    async fn takes_over(
        &self,
        tenant: &str,
        state: &mut Tenant,
        layout: i32,
        head: i64,
    ) -> Result<bool, StoreError> {
        if state.took_over {
            return Ok(true);
        }
        let place = self.place(tenant, layout);
        let look = store::look_at_checkpoint(self.store.pool(), &place);
        let Some(position) = unless_stopped(&self.stop, look).await? else {
            state.layout = None;
            return Ok(false);
        };
        let snapshot = self.registry.snapshot();
        let failed = snapshot.registered.get(&self.name).is_some_and(|known| known.failed);
        match state.watch(position, head) {
            // Stopped for all hosts.
            Watch::Stands if failed => Ok(false),
            Watch::Stands => {
                state.took_over = true;
                tracing::info!(
                    projection = self.name,
                    tenant,
                    shard = self.shard,
                    position,
                    "this host takes over what another one should do and does not"
                );
                Ok(true)
            }
            Watch::Moves => Ok(false),
        }
    }

    /// Whether the last events, which are in memory, concern the projection not at all. Then the
    /// checkpoint is moved by the way.
    fn concerns_nothing(
        &self,
        work: &Work,
        tenant: &str,
        state: &mut Tenant,
        layout: i32,
        head: i64,
    ) -> bool {
        if !state.is_warm() {
            return false;
        }
        let shard = Shard { index: self.shard, count: layout };
        let wants = |event: &Event| wants(work, tenant, shard, event);
        let found = self.tail.between(state.seen, head, 1, wants);
        if !found.is_some_and(|found| found.events.is_empty()) {
            return false;
        }
        state.seen = head;
        // Also by who has taken over: the host that should move it does not.
        self.idle.add(IdleMove {
            place: self.place(tenant, layout),
            generation: work.generation(),
            base: state.base,
            upto: head,
            version: work.version(),
        });
        true
    }

    /// The events after a position: read ahead, in memory, or read now.
    #[expect(clippy::too_many_arguments, reason = "all of them are one batch's")]
    async fn read(
        &self,
        tx: &mut Tx,
        work: &Work,
        tenant: &str,
        state: &mut Tenant,
        shard: Shard,
        position: i64,
        head: i64,
    ) -> Result<Batch, StoreError> {
        let limit = state.batch(&work.pace(&self.config));
        if let Some(ahead) = state.ahead.take() {
            let until = ahead.until;
            if let Some(page) = ahead.after(position).await {
                let Page { events, full, begun } = page;
                return Ok(Batch { events, full, until, begun, since: Instant::now() });
            }
        }
        if state.is_warm() {
            let wants = |event: &Event| wants(work, tenant, shard, event);
            if let Some(found) = self.tail.between(position, head, limit, wants) {
                return Ok(Batch::new(found.events, found.full, head));
            }
        }
        let filter = self.filter(work, tenant, shard, position, head);
        let until = filter.until.unwrap_or(head);
        let page = store::log_page(tx.conn(), &filter, limit).await?;
        Ok(Batch::new(page.events, page.full, until))
    }

    /// Which events to read.
    pub(super) fn filter(
        &self,
        work: &Work,
        tenant: &str,
        shard: Shard,
        position: i64,
        head: i64,
    ) -> LogFilter {
        let after = position.max(work.settings().starts_after);
        LogFilter {
            after,
            until: Some(head.min(after.saturating_add(WINDOW)).max(position)),
            types: work.types().to_vec(),
            aggregates: work.aggregates().to_vec(),
            tenant: Some(tenant.to_owned()),
            shard,
            ..LogFilter::default()
        }
    }

    /// A projection that begins reads what is in the log, and not what was taken out of it.
    async fn say_what_is_detached(&self, tenant: &str) -> Result<(), StoreError> {
        let detached = store::partition::detached(self.store.pool());
        let names = unless_stopped(&self.stop, detached).await?;
        if !names.is_empty() {
            tracing::warn!(
                projection = self.name,
                tenant,
                partitions = names.join(", "),
                "the projection begins without the events of detached partitions"
            );
        }
        Ok(())
    }
}

/// Has a plugin handle events, or end what it has begun with them, and gives the transaction back where it can be
/// gone on with.
async fn handle(
    tx: Tx,
    active: &Active,
    events: &[Event],
    begun: Option<Begun>,
    store: &EventStore,
) -> sqlx::Result<(Option<Tx>, Result<HandleStats, Failure>)> {
    if let Some(begun) = begun {
        return begun.finish(tx).await.ok_or(sqlx::Error::WorkerCrashed);
    }
    let log = Answers::live(store);
    let beyond = Beyond::log(&log).counted(&active.meter);
    Ok(active.plugin.handle_with(tx, &active.sql, events, &active.config, beyond).await)
}

fn wants(work: &Work, tenant: &str, shard: Shard, event: &Event) -> bool {
    event.stream.tenant == tenant && shard.holds(&event.stream.id) && work.wants(event)
}

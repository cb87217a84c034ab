//! Second and later attempts at what one projection could not handle, and their end as dead letters:
//! one transaction of them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::answers::Answers;
use super::breaker::Breaker;
use super::config::AsyncConfig;
use super::contention::Contention;
use super::deliver::{Bounds, Interrupted, cause, deliver};
use super::host::LEASE_GRACE;
use super::losses::Losses;
use super::outbox::{log_failure, stop};
use super::relay::Relay;
use super::supervisor::unless_stopped;
use super::traced::Traces;
use crate::db::Tx;
use crate::event::{Event, StreamId};
use crate::plugin::{Active, Registered, Registry, Requests};
use crate::projection::{Failure, FailureKind, Mode};
use crate::store::{self, EventStore, Retry};

/// Retries in one transaction, at most.
pub(super) const BATCH: i64 = 100;
/// Parked rows of which retries are made in one transaction, where all of them are to become some: some seconds' work
/// where each holds a large batch.
pub(super) const UNPARKED: i64 = 20;
/// Times that a batch gives way to a lock before its events count as failed.
const GIVE_WAY: u32 = 2;
/// Connections lost in a row under one event alone before that counts as its failed attempt.
const LOSSES: u32 = 5;
/// The host's own statements in this transaction.
pub(super) const STATEMENT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// What the work beside the queue needs, for whichever projection.
pub(super) struct Beside {
    pub store: EventStore,
    pub registry: Arc<Registry>,
    pub config: AsyncConfig,
    /// The label of an aggregate's events in the outbox.
    pub topics: BTreeMap<String, String>,
    pub relays: Vec<Arc<Relay>>,
    pub contention: Arc<Contention>,
    pub breaker: Arc<Breaker>,
    pub losses: Arc<Losses>,
    pub stop: CancellationToken,
}

/// How the work for one projection goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How often in a row it was interrupted.
    pub interrupted: u32,
    /// Events in the next transaction.
    pub batch: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { interrupted: 0, batch: BATCH }
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There may be more.
    Again,
    /// What was due is done.
    Done,
    /// Nothing could be done now, though there is something: another host is at it, or it waits for
    /// something.
    Busy,
}

impl Beside {
    /// Tries what is due for a projection. `held`: something of it was held.
    pub(super) async fn retry(
        &self,
        name: &str,
        held: bool,
        pace: &mut Pace,
    ) -> Result<Step, Interrupted> {
        let snapshot = self.registry.snapshot();
        let Some(registered) = snapshot.registered.get(name).filter(|known| known.runs()) else {
            return Ok(Step::Busy);
        };
        if let Some(relay) = self.relay(registered) {
            return self.put_again(relay, registered).await;
        }
        let Some(active) = snapshot.current(name) else { return Ok(Step::Busy) };
        let begin = Tx::begin_claiming(self.store.connections(), STATEMENT_TIMEOUT);
        let mut tx = unless_stopped(&self.stop, begin).await?;
        let order = keeps_order(registered);
        // One at a time, so that what is held and let go does not change under it.
        if order && !store::take_order_turn(tx.conn(), name).await? {
            tx.rollback().await?;
            return Ok(Step::Busy);
        }
        // What was parked before it asked for the order; as long as there is some, it blocks what is later.
        let unparked = match order && !registered.backfilling {
            true => store::unpark(tx.conn(), name, UNPARKED).await?,
            false => 0,
        };
        let released = match (order || held) && !registered.backfilling {
            true => store::release(tx.conn(), name, order).await?,
            false => 0,
        };
        // What a reactor was answered is noted before it sends anything else: where a host is killed, one
        // event is sent again, and not a batch of them.
        let limit = match active.plugin.is_reactor() {
            true => 1,
            false => self.config.transaction(pace.batch),
        };
        let (generation, from_log) = (active.generation, registered.backfilling);
        let mut claimed =
            store::claim_retries(tx.conn(), name, limit, generation, from_log).await?;
        // While what is due only fails, some of what is parked is tried, too: if it goes well, the plugin is not
        // what is broken.
        let only_fails =
            self.breaker.is_failing(active) && claimed.iter().all(|retry| retry.attempts > 0);
        let for_more = claimed.is_empty() || (only_fails && !order);
        if for_more && !from_log && store::unpark(tx.conn(), name, 1).await? > 0 {
            claimed = store::claim_retries(tx.conn(), name, limit, generation, from_log).await?;
        }
        if claimed.is_empty() {
            tx.commit().await?;
            return Ok(if released > 0 || unparked > 0 { Step::Again } else { Step::Busy });
        }
        if let ([only], true) = (claimed.as_slice(), pace.interrupted >= LOSSES) {
            let message = "the connection was lost each time that this event was handled";
            let failure = Failure::new(FailureKind::Poison, message);
            self.failed(&mut tx, active, only, &failure).await?;
            tx.commit().await?;
            return Ok(Step::Again);
        }
        let traces = Traces::of(&mut tx, claimed.iter().map(|retry| &retry.event)).await?;
        let attempt = claimed.iter().map(|retry| retry.attempts).max().unwrap_or(0) + 1;
        let span =
            traces.span(name, Mode::Async, claimed.iter().map(|retry| &retry.event), attempt);
        let tries = self.try_again(tx, active, order, &claimed, pace);
        let (tx, fatal) = span.within(tries).await?;
        tx.commit_flushed(self.flushes(active)).await?;
        if let Some(failure) = fatal {
            stop(&self.registry, active, &failure).await;
        }
        let more = claimed.len() as i64 == limit || unparked > 0;
        Ok(if more { Step::Again } else { Step::Done })
    }

    /// Whether a commit of what a projection has done waits for the disk.
    pub(super) fn flushes(&self, active: &Active) -> bool {
        let undone = active.plugin.is_confined() && !self.losses.are_recent();
        self.config.synchronous_commit || !undone
    }

    /// The relay that a projection is, where this host has it as it is registered.
    pub(super) fn relay(&self, registered: &Registered) -> Option<&Arc<Relay>> {
        let relay = self.relays.iter().find(|relay| relay.name == registered.name)?;
        (relay.version() == registered.version).then_some(relay)
    }

    /// Hands one event over that a relay had set aside.
    async fn put_again(&self, relay: &Relay, registered: &Registered) -> Result<Step, Interrupted> {
        let (name, generation) = (&relay.name, registered.generation);
        let begin = Tx::begin_claiming(self.store.connections(), STATEMENT_TIMEOUT);
        let mut tx = unless_stopped(&self.stop, begin).await?;
        let claimed = store::claim_retries(tx.conn(), name, 1, generation, false).await?;
        let [retry] = claimed.as_slice() else {
            tx.commit().await?;
            return Ok(Step::Busy);
        };
        let position = retry.event.position;
        let is_wanted = retry.event.dismissed_at.is_none() && relay.wants(&retry.event);
        let put =
            if is_wanted { relay.put(std::slice::from_ref(&retry.event)).await } else { Ok(()) };
        match put {
            Ok(()) => store::retry_done(tx.conn(), name, &[position]).await?,
            Err(failure) => {
                let (attempts, error) = (retry.attempts + 1, &failure.message);
                tracing::warn!(
                    projection = name,
                    position,
                    attempts,
                    error,
                    "an event failed again"
                );
                self.later(&mut tx, name, &registered.version, retry, &failure).await?;
            }
        }
        tx.commit().await?;
        Ok(Step::Again)
    }

    /// Delivers what was claimed. Answers why the projection must stop, if it must.
    async fn try_again(
        &self,
        mut tx: Tx,
        active: &Arc<Active>,
        order: bool,
        claimed: &[Retry],
        pace: &mut Pace,
    ) -> Result<(Tx, Option<Failure>), Interrupted> {
        let name = &active.plugin.description.name;
        let mut wanted: Vec<&Retry> = claimed
            .iter()
            .filter(|retry| retry.event.dismissed_at.is_none() && active.takes(&retry.event))
            .collect();
        // Positions that stay among the retries, and where what is behind them begins.
        let mut open: HashSet<i64> = HashSet::new();
        let mut hold: Vec<(i64, &StreamId)> = Vec::new();
        if order {
            let events: Vec<&Event> = wanted.iter().map(|retry| &retry.event).collect();
            let positions: Vec<i64> = claimed.iter().map(|retry| retry.event.position).collect();
            open = store::blocked(tx.conn(), name, &events, &[], &positions).await?;
            hold.extend(
                events
                    .iter()
                    .filter(|event| open.contains(&event.position))
                    .map(|event| (event.position, &event.stream)),
            );
            wanted.retain(|retry| !open.contains(&retry.event.position));
        }
        if active.plugin.is_reactor() {
            // It waits for servers; that is no host that stands still.
            let limits = active.plugin.limits();
            tx.may_idle(limits.batch + limits.request_time_total + LEASE_GRACE).await?;
        }
        let turns = self.contention.turn(&mut tx, name).await?;
        let events: Vec<Event> = wanted.iter().map(|retry| retry.event.clone()).collect();
        let (interrupted, time) = (pace.interrupted, active.plugin.limits().batch);
        let bounds = Bounds {
            interrupted,
            log: &Answers::live(&self.store),
            // What a reactor wants to try again is no lock of this transaction.
            give_way: if active.plugin.is_reactor() { 0 } else { GIVE_WAY },
            order,
            turns,
            until_trap: false,
            time,
            requests: Requests::Sent,
            stop: &self.stop,
        };
        let delivery = deliver(tx, active, &events, &bounds).await?;
        let mut fatal =
            self.breaker.delivered(active, events.len(), &delivery, self.config.stop_after);
        let mut tx = delivery.tx;
        for (index, failure) in &delivery.failed {
            let event = &events[*index];
            open.insert(event.position);
            if order {
                hold.push((event.position + 1, &event.stream));
            }
            self.failed(&mut tx, active, wanted[*index], failure).await?;
        }
        open.extend(delivery.behind.iter().map(|index| events[*index].position));
        match delivery.left {
            Some((left, failure)) => {
                open.extend(left.iter().map(|index| events[*index].position));
                pace.batch = 1;
                if failure.kind == FailureKind::Fatal {
                    fatal = Some(failure);
                }
            }
            None => pace.batch = (pace.batch * 2).min(BATCH),
        }
        let handled = claimed.iter().map(|retry| retry.event.position);
        let done: Vec<i64> = handled.filter(|position| !open.contains(position)).collect();
        store::retry_done(tx.conn(), name, &done).await?;
        store::hold(tx.conn(), name, &hold).await?;
        Ok((tx, fatal))
    }

    async fn failed(
        &self,
        tx: &mut Tx,
        active: &Active,
        retry: &Retry,
        failure: &Failure,
    ) -> Result<(), sqlx::Error> {
        log_failure(active, &retry.event, retry.attempts + 1, failure);
        let name = &active.plugin.description.name;
        self.later(tx, name, &active.plugin.version.full(), retry, failure).await
    }

    /// Has an event that failed wait for its next attempt, or makes a dead letter of it after the last one.
    async fn later(
        &self,
        tx: &mut Tx,
        name: &str,
        version: &str,
        retry: &Retry,
        failure: &Failure,
    ) -> Result<(), sqlx::Error> {
        let (attempts, position) = (retry.attempts + 1, retry.event.position);
        let allowed = match failure.kind {
            FailureKind::Retry => self.config.max_retries,
            FailureKind::Poison | FailureKind::Fatal => self.config.max_attempts,
        };
        if attempts < allowed {
            let delay = self.config.backoff.delay(attempts.unsigned_abs());
            let (conn, error) = (tx.conn(), &failure.message);
            store::retry_later(conn, name, position, attempts, delay, error, version).await
        } else {
            tracing::error!(
                projection = name,
                position,
                attempts,
                error = failure.message,
                "an event became a dead letter (see `eventfabric dlq list`)"
            );
            store::bury(tx.conn(), name, version, position, attempts, &cause(failure)).await
        }
    }
}

/// Whether later events of a stream wait behind one that failed.
pub(super) fn keeps_order(registered: &Registered) -> bool {
    registered.mode == Mode::Async && registered.settings.stream_order
}

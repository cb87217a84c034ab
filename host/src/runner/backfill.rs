//! The events that were there before an async projection: one transaction of them, from the log.

use super::answers::{ANSWERED, Answers};
use super::deliver::{Bounds, Interrupted, deliver};
use super::outbox::{log_failure, stop, untried};
use super::retry::{Beside, Pace, STATEMENT_TIMEOUT, Step, UNPARKED, keeps_order};
use super::supervisor::unless_stopped;
use super::topics::with_topic;
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Active, Requests};
use crate::projection::FailureKind;
use crate::store::{self, Aside, Backfill, LogFilter, StoreError};

/// Positions that one transaction looks through, so that a projection of rare events gets through a
/// long log in steps.
const WINDOW: i64 = 100_000;
/// Times that a batch gives way to a lock before its events are put aside.
const GIVE_WAY: u32 = 5;
/// Connections lost in a row before the next event is put aside untried: among the retries it is alone.
const LOSSES: u32 = 5;

impl Beside {
    /// Hands a projection the next of the events that were there before it. `head`: where the log ends,
    /// safely.
    pub(super) async fn backfill(
        &self,
        name: &str,
        head: i64,
        pace: &mut Pace,
    ) -> Result<Step, Interrupted> {
        let snapshot = self.registry.snapshot();
        let Some(registered) = snapshot.registered.get(name).filter(|known| known.runs()) else {
            return Ok(Step::Busy);
        };
        let Some(active) = snapshot.current(name).filter(|_| registered.backfilling) else {
            return Ok(Step::Busy);
        };
        let begin = Tx::begin_claiming(self.store.connections(), STATEMENT_TIMEOUT);
        let mut tx = unless_stopped(&self.stop, begin).await?;
        let locked = store::lock_backfill(tx.conn(), name, active.generation).await?;
        let Some(backfill) = locked else {
            tx.rollback().await?;
            return Ok(Step::Busy);
        };
        if store::unpark(tx.conn(), name, UNPARKED).await? > 0 {
            // From before the projection was removed: it comes by these events in the log again.
            tx.commit().await?;
            return Ok(Step::Again);
        }
        if backfill.is_done() {
            store::end_backfill(tx.conn(), name, backfill.target).await?;
            tx.commit().await?;
            self.ended(name, backfill.target).await;
            return Ok(Step::Done);
        }
        let until = head.min(backfill.target).min(backfill.position.saturating_add(WINDOW));
        if until <= backfill.position {
            // The log has a hole there, or this host has not read so far; but what it began is kept.
            tx.commit().await?;
            return Ok(Step::Busy);
        }
        let (events, upto) = self.read(&mut tx, active, backfill, until, pace).await?;
        let order = keeps_order(registered);
        let (mut tx, aside) = match self.hand_over(tx, active, events, order, pace).await? {
            Some(handed) => handed,
            None => return Ok(Step::Busy),
        };
        let version = active.plugin.version.full();
        store::drop_passed(tx.conn(), name, upto).await?;
        store::put_aside(tx.conn(), name, &version, &aside).await?;
        store::save_backfill(tx.conn(), name, upto).await?;
        tx.commit_flushed(self.flushes(active)).await?;
        tracing::debug!(projection = name, upto, target = backfill.target, "older events handled");
        Ok(Step::Again)
    }

    /// The next events that are for the projection, and up to where there are no others.
    async fn read(
        &self,
        tx: &mut Tx,
        active: &Active,
        backfill: Backfill,
        until: i64,
        pace: &Pace,
    ) -> Result<(Vec<Event>, i64), Interrupted> {
        let filter = LogFilter {
            after: backfill.position,
            until: Some(until),
            types: active.plugin.description.event_types.clone(),
            ..LogFilter::default()
        };
        let alone = pace.interrupted > 0;
        let most = match active.plugin.is_process_manager() {
            true => self.config.batch.min(ANSWERED),
            false => self.config.batch,
        };
        let limit = if alone { 1 } else { self.config.transaction(most) };
        let page = match store::log_page(tx.conn(), &filter, limit).await {
            Ok(page) => page,
            Err(StoreError::Database(error)) => return Err(error.into()),
            Err(error) => {
                let message = error.to_string();
                return Err(Interrupted::Lost { projection: None, message });
            }
        };
        let last = page.events.last().map(|event| event.position);
        let upto = last.filter(|_| page.full).unwrap_or(until);
        let events = page.events.into_iter().map(|event| with_topic(event, &self.topics));
        Ok((events.filter(|event| active.wants(event)).collect(), upto))
    }

    /// Delivers the events. Answers what is to be put aside; `None` when the projection has stopped, and
    /// nothing of it was kept.
    async fn hand_over(
        &self,
        mut tx: Tx,
        active: &Active,
        mut events: Vec<Event>,
        order: bool,
        pace: &Pace,
    ) -> Result<Option<(Tx, Vec<Aside>)>, Interrupted> {
        let name = &active.plugin.description.name;
        if pace.interrupted >= LOSSES {
            let error = Some("the connection was lost each time that this event was handled");
            return Ok(Some((tx, events.iter().map(|event| untried(event, error)).collect())));
        }
        if active.plugin.is_reactor() {
            return Ok(Some((tx, events.iter().map(|event| untried(event, None)).collect())));
        }
        let held = |event: &Event| Aside { held: true, ..untried(event, None) };
        let mut aside = Vec::new();
        if order {
            let all: Vec<&Event> = events.iter().collect();
            let blocked = store::blocked(tx.conn(), name, &all, &[], &[]).await?;
            aside.extend(all.iter().filter(|e| blocked.contains(&e.position)).map(|e| held(e)));
            events.retain(|event| !blocked.contains(&event.position));
        }
        let turns = self.contention.turn(&mut tx, name).await?;
        let (interrupted, time) = (pace.interrupted, active.plugin.limits().batch);
        let bounds = Bounds {
            interrupted,
            log: &Answers::live(&self.store),
            give_way: GIVE_WAY,
            order,
            turns,
            until_trap: false,
            time,
            requests: Requests::Refused,
            stop: &self.stop,
        };
        let delivery = deliver(tx, active, &events, &bounds).await?;
        if let Some((left, failure)) = delivery.left {
            if failure.kind == FailureKind::Fatal {
                delivery.tx.rollback().await?;
                stop(&self.registry, active, &failure).await;
                return Ok(None);
            }
            aside.extend(left.iter().map(|at| untried(&events[*at], Some(&failure.message))));
        }
        aside.extend(delivery.failed.iter().map(|(at, failure)| {
            log_failure(active, &events[*at], 1, failure);
            Aside {
                attempts: 1,
                delay: self.config.backoff.delay(1),
                ..untried(&events[*at], Some(&failure.message))
            }
        }));
        aside.extend(delivery.behind.iter().map(|at| held(&events[*at])));
        Ok(Some((delivery.tx, aside)))
    }

    async fn ended(&self, name: &str, position: i64) {
        tracing::info!(
            projection = name,
            position,
            "the projection has the events that were there before it; the queue goes on from here"
        );
        if let Err(error) = self.registry.sync().await {
            tracing::warn!(error = format!("{error:#}"), "the registry cannot be read");
        }
        if let Err(error) = store::notify_plugins(self.store.pool()).await {
            tracing::debug!(%error, "other hosts will find out by themselves");
        }
    }
}

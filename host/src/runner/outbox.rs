//! Async projections: claims rows of the outbox, hands them to every async projection that wants
//! them, and acknowledges them in the same transaction. What one projection could not handle
//! becomes a retry of its own, and with the order of streams, so does what comes after it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::answers::{ANSWERED, Answers};
use super::breaker::Breaker;
use super::config::AsyncConfig;
use super::contention::Contention;
use super::deliver::{Bounds, Interrupted, deliver};
use super::fallback;
use super::head::{Hints, RECONNECT};
use super::losses::Losses;
use super::membership::Membership;
use super::supervisor::unless_stopped;
use super::traced::Traces;
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Active, Registered, Registry, Requests};
use crate::projection::{Failure, FailureKind, Mode};
use crate::store::{self, Aside, Claimed, EventStore};
use crate::trace;

/// A projection under which the connection is lost so often in a row gets no more from the queue that
/// it shares with others; its events go on as retries of its own.
const LOSSES: u32 = 5;
/// How long the search for a projection's bad events may keep the other projections waiting; it
/// goes on among the retries, where it is alone.
const HOLD: Duration = Duration::from_secs(1);
/// Times that a batch gives way to a lock before its events are put aside.
const GIVE_WAY: u32 = 5;
/// Before the queue is looked at with a registry that was read anew.
const BEHIND: Duration = Duration::from_millis(5);
/// The host's own statements in this transaction: a claim, an acknowledgement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Takes rows from the outbox until cancelled.
pub(super) struct OutboxWorker {
    pub store: EventStore,
    pub registry: Arc<Registry>,
    pub hints: watch::Receiver<Hints>,
    /// Told when a retry was added, or can have got something that it waited for.
    pub retries: watch::Sender<u64>,
    pub contention: Arc<Contention>,
    pub breaker: Arc<Breaker>,
    pub losses: Arc<Losses>,
    pub members: Arc<Membership>,
    pub config: AsyncConfig,
    pub poll: Duration,
    pub stop: CancellationToken,
}

enum Step {
    /// There may be more.
    Again,
    /// Nothing to do.
    Idle,
    /// Other projections are registered than this host knew of.
    Behind,
}

/// What became of the rows that one projection wanted.
struct Delivered {
    tx: Tx,
    /// What is to be put aside for it.
    aside: Vec<Aside>,
    /// Why it must stop, if it must.
    fatal: Option<Failure>,
}

impl OutboxWorker {
    pub(super) async fn run(mut self) {
        let mut local = self.store.wake().subscribe();
        let mut changes = self.registry.changes();
        let mut interrupted = 0;
        let mut losses: HashMap<String, u32> = HashMap::new();
        let mut foreign = None;
        while !self.stop.is_cancelled() {
            self.hints.mark_unchanged();
            local.mark_unchanged();
            let wait = match self.step(interrupted, &losses).await {
                Ok(Step::Again) => {
                    interrupted = 0;
                    losses.clear();
                    continue;
                }
                Ok(Step::Behind) => {
                    // The registry has changed; when it can't be read, not at once again.
                    tokio::time::sleep(BEHIND).await;
                    continue;
                }
                Ok(Step::Idle) => {
                    interrupted = 0;
                    losses.clear();
                    self.look_for_foreign(&mut foreign).await;
                    self.poll
                }
                Err(why) => {
                    interrupted += 1;
                    let delay = match why {
                        // Its turn comes when the others are done.
                        Interrupted::Retry { contended: true, .. } if interrupted == 1 => {
                            Duration::ZERO
                        }
                        _ => RECONNECT.delay(interrupted),
                    };
                    match why {
                        Interrupted::Retry { projection, contended, failure } => {
                            if contended {
                                self.contention.met(&projection);
                            }
                            tracing::info!(
                                projection,
                                ?delay,
                                error = failure.message,
                                "a batch gave way and is tried again"
                            );
                        }
                        Interrupted::Lost { projection, message } => {
                            self.losses.met();
                            tracing::warn!(
                                ?delay,
                                projection,
                                error = message,
                                "an async batch was interrupted; it is tried again"
                            );
                            if let Some(projection) = projection {
                                *losses.entry(projection).or_default() += 1;
                            }
                        }
                    }
                    delay
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = self.hints.changed(), if interrupted == 0 => {}
                _ = local.changed(), if interrupted == 0 => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Waits until there is something to do for one more worker: see [`Contention::lane`].
    async fn lane(&self, losses: &HashMap<String, u32>) -> Option<SemaphorePermit<'_>> {
        let snapshot = self.registry.snapshot();
        let delivered = snapshot.of_mode(Mode::Async).filter(|(registered, active)| {
            !registered.backfilling
                && active.is_some_and(|active| self.is_usable(registered, active, losses))
        });
        let names: Vec<_> = delivered.map(|(registered, _)| registered.name.as_str()).collect();
        self.contention.lane(&names).await
    }

    /// Whether the queue hands a projection its events. One that costs the connection again and again, or all of its
    /// time, must not cost the others theirs, and a reactor waits for servers of others: they get theirs where nobody
    /// waits for them.
    fn is_usable(
        &self,
        registered: &Registered,
        active: &Active,
        losses: &HashMap<String, u32>,
    ) -> bool {
        let costly = losses.get(&registered.name).is_some_and(|losses| *losses >= LOSSES);
        registered.runs()
            && !costly
            && !active.plugin.is_reactor()
            && !self.breaker.is_failing(active)
    }

    /// Claims and delivers one batch.
    async fn step(
        &self,
        interrupted: u32,
        losses: &HashMap<String, u32>,
    ) -> Result<Step, Interrupted> {
        let lane = self.lane(losses).await;
        let snapshot = self.registry.snapshot();
        let mut projections: Vec<_> = snapshot.of_mode(Mode::Async).collect();
        // Those that append come last: what they hold then is held for them alone.
        let appends = |active: Option<&Arc<Active>>| {
            active.is_some_and(|active| active.plugin.is_process_manager())
        };
        projections.sort_by_key(|(_, active)| appends(*active));
        let any_appends = projections.iter().any(|(_, active)| appends(*active));
        let most = if any_appends { self.config.batch.min(ANSWERED) } else { self.config.batch };
        let flush = any_appends || self.config.synchronous_commit || self.losses.are_recent();
        if projections.is_empty() {
            // Rows wait for the first async projection.
            return Ok(Step::Idle);
        }
        let begin = Tx::begin_claiming(self.store.connections(), STATEMENT_TIMEOUT);
        let mut tx = unless_stopped(&self.stop, begin).await?;
        let (epoch, lease) = (snapshot.epoch(Mode::Async), self.config.foreign_lease);
        let limit = self.config.transaction(most);
        let batch = store::claim(tx.conn(), limit, lease, epoch).await?;
        let (claimed, mut ids) = (batch.rows, batch.orphans);
        if claimed.is_empty() && ids.is_empty() {
            let now = store::async_epoch(&mut *tx.conn()).await?;
            tx.commit().await?;
            if now == epoch {
                return Ok(Step::Idle);
            }
            return Ok(self.behind().await);
        }
        ids.extend(claimed.iter().map(|row| row.outbox_id));
        let traces = Traces::of(&mut tx, claimed.iter().map(|row| &row.event)).await?;
        let (mut put_aside, mut ordered, mut fatal) = (false, false, Vec::new());
        for (registered, active) in projections {
            let wanted = wanted(&claimed, active);
            if wanted.is_empty() {
                continue;
            }
            ordered |= registered.settings.stream_order;
            let usable = active.filter(|active| self.is_usable(registered, active, losses));
            let (back, aside) = match usable {
                _ if registered.backfilling => {
                    if !store::share_backfill(tx.conn(), &registered.name).await? {
                        // It has come to the end: what is its own has changed.
                        tx.rollback().await?;
                        return Ok(self.behind().await);
                    }
                    let held = |row| Aside { held: true, ..waiting(row, None) };
                    (tx, wanted.into_iter().map(held).collect())
                }
                Some(active) => {
                    let span = traces.span(
                        &registered.name,
                        Mode::Async,
                        wanted.iter().map(|row| &row.event),
                        1,
                    );
                    let delivery = self.hand_over(tx, active, wanted, &ids, interrupted);
                    let delivered = span.within(delivery).await?;
                    fatal.extend(delivered.fatal.map(|failure| (active.clone(), failure)));
                    (delivered.tx, delivered.aside)
                }
                // Not loaded in this host, or stopped, or a reactor: its events wait for it.
                None => (tx, wanted.into_iter().map(|row| waiting(row, None)).collect()),
            };
            tx = back;
            put_aside |= !aside.is_empty();
            let version = active
                .map_or_else(|| registered.version.clone(), |active| active.plugin.version.full());
            // Those of a reactor wait for nothing but their turn, one at a time; and what keeps an order knows by their
            // rows what waits.
            let parks = usable.is_none()
                && !registered.backfilling
                && !registered.settings.stream_order
                && !active.is_some_and(|active| active.plugin.is_reactor())
                && self.members.all_know_parked();
            let (conn, name) = (tx.conn(), &registered.name);
            match parks {
                true => store::park(conn, name, &version, aside).await?,
                false => store::put_aside(conn, name, &version, &aside).await?,
            }
        }
        store::acknowledge(tx.conn(), &ids).await?;
        tx.commit_flushed(flush).await?;
        drop(lane);
        for (active, failure) in fatal {
            stop(&self.registry, &active, &failure).await;
        }
        if put_aside || ordered {
            self.retries.send_modify(|n| *n += 1);
        }
        tracing::debug!(rows = claimed.len(), "outbox batch delivered");
        Ok(if batch.full { Step::Again } else { Step::Idle })
    }

    /// Reads the registry anew.
    async fn behind(&self) -> Step {
        if let Err(error) = self.registry.sync().await {
            tracing::warn!(error = format!("{error:#}"), "the registry cannot be read");
        }
        Step::Behind
    }

    /// Delivers to one projection, of the rows `ids` that were claimed, those that it wants.
    async fn hand_over(
        &self,
        mut tx: Tx,
        active: &Arc<Active>,
        mut wanted: Vec<&Claimed>,
        ids: &[i64],
        interrupted: u32,
    ) -> Result<Delivered, Interrupted> {
        let name = &active.plugin.description.name;
        let order = active.settings.stream_order;
        let mut aside = Vec::new();
        if order {
            wanted.sort_by_key(|row| row.event.position);
            let events: Vec<&Event> = wanted.iter().map(|row| &row.event).collect();
            let blocked = store::blocked(tx.conn(), name, &events, ids, &[]).await?;
            let (held, free): (Vec<_>, Vec<_>) =
                wanted.into_iter().partition(|row| blocked.contains(&row.event.position));
            aside.extend(held.into_iter().map(|row| Aside { held: true, ..waiting(row, None) }));
            wanted = free;
        }
        let turns = self.contention.turn(&mut tx, name).await?;
        let events: Vec<Event> = wanted.iter().map(|row| row.event.clone()).collect();
        let bounds = Bounds {
            interrupted,
            log: &Answers::live(&self.store),
            give_way: GIVE_WAY,
            order,
            turns,
            until_trap: false,
            time: HOLD,
            requests: Requests::Refused,
            stop: &self.stop,
        };
        let delivery = deliver(tx, active, &events, &bounds).await?;
        let mut fatal =
            self.breaker.delivered(active, events.len(), &delivery, self.config.stop_after);
        aside.extend(delivery.failed.iter().map(|(index, failure)| {
            log_failure(active, &events[*index], 1, failure);
            Aside {
                attempts: 1,
                delay: self.config.backoff.delay(1),
                ..waiting(wanted[*index], Some(&failure.message))
            }
        }));
        let behind = delivery.behind.iter().map(|index| wanted[*index]);
        aside.extend(behind.map(|row| Aside { held: true, ..waiting(row, None) }));
        if let Some((left, failure)) = delivery.left {
            aside.extend(left.iter().map(|index| waiting(wanted[*index], Some(&failure.message))));
            if failure.kind == FailureKind::Fatal {
                fatal = Some(failure);
            }
        }
        Ok(Delivered { tx: delivery.tx, aside, fatal })
    }

    /// Says once when another program's workers own the queue, and when they have stopped.
    async fn look_for_foreign(&self, known: &mut Option<String>) {
        let lease = self.config.foreign_lease;
        let look = store::foreign_worker(self.store.pool(), lease);
        let Ok(foreign) = unless_stopped(&self.stop, look).await else { return };
        match (foreign, known.is_some()) {
            (Some(foreign), false) => {
                let worker = foreign.worker.unwrap_or_else(|| "unnamed".to_owned());
                tracing::warn!(worker, locked_at = %foreign.locked_at,
                    "workers of another program take rows from the outbox; this host waits until \
                     their claims are older than {lease:?}");
                *known = Some(worker);
            }
            (None, true) => {
                tracing::info!("the other program's workers have stopped; this host takes over");
                *known = None;
            }
            _ => {}
        }
    }
}

/// The rows that a projection wants; all of them where it is not known.
fn wanted<'a>(claimed: &'a [Claimed], active: Option<&Arc<Active>>) -> Vec<&'a Claimed> {
    claimed
        .iter()
        .filter(|row| row.event.dismissed_at.is_none())
        .filter(|row| active.is_none_or(|active| active.wants(&row.event)))
        .collect()
}

/// A row that waits for its projection, without a failed attempt.
fn waiting(row: &Claimed, error: Option<&str>) -> Aside {
    Aside { outbox_id: row.outbox_id, ..untried(&row.event, error) }
}

/// An event of the log that waits for its projection, without a failed attempt.
pub(super) fn untried(event: &Event, error: Option<&str>) -> Aside {
    Aside {
        outbox_id: 0,
        position: event.position,
        stream: event.stream.clone(),
        topic: event.topic.clone(),
        attempts: 0,
        delay: Duration::ZERO,
        error: error.map(str::to_owned),
        held: false,
    }
}

/// Stops a projection that is wrong for every event, for all hosts, until a new version comes.
pub(super) async fn stop(registry: &Registry, active: &Active, failure: &Failure) {
    let name = &active.plugin.description.name;
    tracing::error!(projection = name, version = %active.plugin.version, error = failure.message,
        "the projection has stopped, its events wait; deploy a version that works, or restart the \
         host to try again");
    let noted = registry.note_state(name, active.generation, Some(&failure.message)).await;
    if let Err(error) = noted {
        tracing::warn!(projection = name, %error, "its state could not be noted");
    }
    if let Err(error) = registry.sync().await {
        tracing::warn!(%error, "the registry could not be read");
    }
    fallback::consider(registry, active, None, &failure.message).await;
}

pub(super) fn log_failure(active: &Active, event: &Event, attempts: i32, failure: &Failure) {
    tracing::warn!(projection = active.plugin.description.name, version = %active.plugin.version,
        position = event.position, stream = %event.stream, event_type = event.event_type, attempts,
        error = failure.message, "an event failed");
    trace::failed(failure.class().as_str(), || failure.for_others());
}

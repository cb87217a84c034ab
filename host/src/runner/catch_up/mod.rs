//! A catch-up projection: follows the log in order from its checkpoint. Batch, handler and
//! checkpoint share a transaction, and the lock on the checkpoint keeps other hosts away.

mod tenant;
mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::CatchUpConfig;
use super::head::{Head, RECONNECT};
use super::supervisor::unless_stopped;
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Active, Registry};
use crate::projection::Failure;
use crate::store::{self, EventStore, LogFilter, StoreError};
use tenant::{IDLE_SAVE, Tenant, Verdict};
use turns::Turns;

/// How long a host that found another one at work waits before it looks again.
const CONTENDED: Duration = Duration::from_millis(50);
/// Positions that one batch looks through, so that a projection of rare events, or of a quiet
/// tenant, gets through a long log in steps that end within the time of a batch.
const WINDOW: i64 = 100_000;
/// Tenants whose batches may be on their way at the same time, at most.
const LANES: usize = 4;

/// Runs one projection until cancelled.
pub(super) struct CatchUp {
    pub name: String,
    pub store: EventStore,
    pub registry: Arc<Registry>,
    pub head: watch::Receiver<Head>,
    pub config: CatchUpConfig,
    pub poll: Duration,
    pub stop: CancellationToken,
}

/// How a step ended.
enum Step {
    /// There may be more to do.
    Again,
    /// An event was handled at last that had failed before.
    Overcome,
    /// Nothing more to do now.
    Idle,
    /// Another host holds the checkpoint, or knows of a newer version.
    Contended,
}

/// What has ended: a batch, or something that belongs to none.
type Ended = Option<Done>;

/// A batch that has ended.
struct Done {
    tenant: String,
    state: Tenant,
    /// The activation that it was of, and how often the state was begun anew before it.
    generation: i64,
    epoch: u64,
    result: Result<Step, StoreError>,
}

impl CatchUp {
    pub(super) async fn run(self) {
        let this = &self;
        let mut heads = self.head.clone();
        let mut changes = self.registry.changes();
        let mut tenants: HashMap<String, Tenant> = HashMap::new();
        let mut turns = Turns::new(self.lanes());
        let mut running: FuturesUnordered<BoxFuture<'_, Ended>> = FuturesUnordered::new();
        let mut known = (0, 0, false);
        let (mut epoch, mut errors) = (0, 0);
        while !self.stop.is_cancelled() {
            let snapshot = self.registry.snapshot();
            let free = turns.is_free();
            // Not loaded here (yet)? The registry says when it is.
            let mut wait = Duration::MAX;
            let runs = snapshot.registered.get(&self.name).is_some_and(|row| row.paused.is_none());
            if let Some(active) = snapshot.current(&self.name).filter(|_| runs) {
                let head = heads.borrow_and_update().clone();
                let failed = snapshot.registered.get(&self.name).is_some_and(|row| row.failed);
                if active.generation != known.0 || head.position < known.1 || known.2 && !failed {
                    // Another version, a log that begins anew, or another host was restarted to try
                    // a stopped projection again: nothing that is known holds.
                    tenants.clear();
                    epoch += 1;
                }
                known = (active.generation, head.position, failed);
                let begins = |tenant: &str, last| match tenants.get(tenant) {
                    Some(state) => state.pause(last),
                    None => Tenant::default().pause(last),
                };
                match turns.next(&head.tenants, begins) {
                    Ok(tenant) if free => {
                        let state = tenants.remove(&tenant).unwrap_or_default();
                        turns.begins(&tenant, state.stopped.is_some());
                        let batch = this.batch(active.clone(), tenant, state, head.position, epoch);
                        running.push(batch.boxed());
                        continue;
                    }
                    Ok(_) => {}
                    Err(pause) => wait = self.poll.min(pause),
                }
            }
            let passes_on = turns.passes_on();
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(ended) = running.next() => {
                    let Some(done) = ended else { continue };
                    turns.ended(&done.tenant);
                    if done.epoch != epoch {
                        continue;
                    }
                    let overcome = matches!(done.result, Ok(Step::Overcome));
                    let (tenant, generation) = (done.tenant.clone(), done.generation);
                    tenants.insert(tenant, self.after(done, &mut errors));
                    let stopped = tenants.values().any(|tenant| tenant.stopped.is_some());
                    if overcome && !stopped && !turns.tries_stopped_ones() {
                        running.push(this.note(generation, None).map(|()| None).boxed());
                    }
                }
                _ = changes.changed() => {}
                // While nothing may begin, there is nothing to look for.
                _ = heads.changed(), if free => {}
                () = tokio::time::sleep(wait), if free => {}
                () = until(passes_on), if !free => {}
            }
        }
        // The batches in hand.
        while running.next().await.is_some() {}
    }

    /// Tenants whose batches may be on their way at the same time: more than one where a batch takes
    /// long, and never so many that they have the pool to themselves.
    fn lanes(&self) -> usize {
        let connections = self.store.pool().options().get_max_connections() as usize;
        (connections / 5).clamp(1, LANES)
    }

    async fn batch(
        &self,
        active: Arc<Active>,
        tenant: String,
        mut state: Tenant,
        head: i64,
        epoch: u64,
    ) -> Ended {
        let result = self.step(&active, &tenant, &mut state, head).await;
        Some(Done { tenant, state, generation: active.generation, epoch, result })
    }

    /// What is known of a tenant after a batch.
    fn after(&self, done: Done, errors: &mut u32) -> Tenant {
        let Done { tenant, mut state, result, .. } = done;
        match result {
            Ok(step) => {
                *errors = 0;
                if matches!(step, Step::Contended) {
                    state.interrupted(CONTENDED);
                }
            }
            Err(error) => {
                *errors += 1;
                let delay = RECONNECT.delay(*errors);
                tracing::warn!(projection = self.name, tenant, %error, ?delay,
                    "a catch-up batch was interrupted; it is tried again");
                state.interrupted(delay);
            }
        }
        state
    }

    /// Handles the next batch of one tenant.
    async fn step(
        &self,
        active: &Active,
        tenant: &str,
        state: &mut Tenant,
        head: i64,
    ) -> Result<Step, StoreError> {
        let pool = self.store.pool();
        if !state.created {
            let create =
                store::create_checkpoint(pool, &self.name, tenant, active.settings.starts_after);
            let begins = unless_stopped(&self.stop, create).await?;
            state.created = true;
            if begins {
                self.say_what_is_detached(tenant).await?;
            }
        }
        let begin = Tx::begin(pool, active.plugin.limits().batch);
        let mut tx = unless_stopped(&self.stop, begin).await?;
        let locked =
            store::lock_checkpoint(tx.conn(), &self.name, tenant, active.generation).await?;
        let Some(position) = locked else {
            tx.rollback().await?;
            // Perhaps somebody has deleted it, to begin anew.
            state.created = false;
            return Ok(Step::Contended);
        };
        if self.stays_stopped(state, position) {
            tx.rollback().await?;
            return Ok(Step::Idle);
        }
        if position >= head {
            tx.rollback().await?;
            state.seen = state.seen.max(position);
            state.unsaved = None;
            return Ok(Step::Idle);
        }
        let until = head.min(position.saturating_add(WINDOW));
        let filter = LogFilter {
            after: position,
            until: Some(until),
            types: active.plugin.description.event_types.clone(),
            tenant: Some(tenant.to_owned()),
            ..LogFilter::default()
        };
        let page = store::log_page(tx.conn(), &filter, state.batch(&self.config)).await?;
        let Some(last) = page.events.last() else {
            return self.nothing(active, tx, tenant, state, until, head).await;
        };
        let upto = if page.full { last.position } else { until };
        let (tx, result) =
            active.plugin.handle(tx, &active.sql, &page.events, &active.config).await;
        match (tx, result) {
            (Some(mut tx), Ok(stats)) => {
                let version = active.plugin.version.full();
                store::save_checkpoint(tx.conn(), &self.name, tenant, upto, &version).await?;
                tx.commit().await?;
                tracing::debug!(
                    projection = self.name,
                    tenant,
                    events = page.events.len(),
                    upto,
                    ?stats,
                    "batch handled"
                );
                Ok(match state.done(upto, page.events.len(), &self.config) {
                    true => Step::Overcome,
                    false if upto < head => Step::Again,
                    false => Step::Idle,
                })
            }
            (tx, Err(failure)) => {
                if let Some(tx) = tx {
                    tx.rollback().await?;
                }
                self.failed(active, tenant, state, position, &page.events, failure).await;
                Ok(Step::Again)
            }
            (None, Ok(_)) => Err(sqlx::Error::WorkerCrashed.into()),
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

    /// There was no event for the projection up to `until`: moves the checkpoint, now and then.
    async fn nothing(
        &self,
        active: &Active,
        mut tx: Tx,
        tenant: &str,
        state: &mut Tenant,
        until: i64,
        head: i64,
    ) -> Result<Step, StoreError> {
        let since = *state.unsaved.get_or_insert_with(Instant::now);
        if until == head && since.elapsed() < IDLE_SAVE {
            tx.rollback().await?;
            state.seen = until;
            return Ok(Step::Idle);
        }
        let version = active.plugin.version.full();
        store::save_checkpoint(tx.conn(), &self.name, tenant, until, &version).await?;
        tx.commit().await?;
        state.unsaved = None;
        state.seen = until;
        Ok(if until < head { Step::Again } else { Step::Idle })
    }

    /// Whether a projection that has stopped at this checkpoint stays so. It goes on when another
    /// host has passed the event, or when it was told to run again.
    fn stays_stopped(&self, state: &mut Tenant, position: i64) -> bool {
        let Some(at) = state.stopped else { return false };
        let snapshot = self.registry.snapshot();
        let failed = snapshot.registered.get(&self.name).is_some_and(|known| known.failed);
        if position == at && failed {
            state.look_later();
            return true;
        }
        state.resume();
        false
    }

    /// Decides how to go on after a batch that was rolled back, and says so.
    async fn failed(
        &self,
        active: &Active,
        tenant: &str,
        state: &mut Tenant,
        position: i64,
        events: &[Event],
        failure: Failure,
    ) {
        let version = &active.plugin.version;
        match state.failed(events.len(), &failure, &self.config) {
            Verdict::Smaller => {
                tracing::debug!(projection = self.name, %version, tenant, from = events[0].position,
                    events = events.len(), error = failure.message, "a batch is divided");
            }
            Verdict::Later(delay) => {
                tracing::warn!(projection = self.name, %version, tenant, from = events[0].position,
                    events = events.len(), ?delay, error = failure.message,
                    "a batch failed and is tried again");
            }
            Verdict::Stop => {
                let event = &events[failure.index.unwrap_or(0).min(events.len() - 1)];
                let error = format!(
                    "stopped at {} (position {}, version {} of {}): {}",
                    event.event_type, event.position, event.version, event.stream, failure.message
                );
                tracing::error!(projection = self.name, %version, tenant, error,
                    "the projection has stopped; deploy a version that handles this event, or \
                     restart the host to try it again");
                state.stopped = Some(position);
                self.note(active.generation, Some(&error)).await;
            }
        }
    }

    async fn note(&self, generation: i64, error: Option<&str>) {
        let noted = self.registry.note_state(&self.name, generation, error).await;
        if let Err(error) = noted {
            tracing::warn!(projection = self.name, %error, "its state could not be noted");
        }
        if let Err(error) = self.registry.sync().await {
            tracing::warn!(error = format!("{error:#}"), "the registry cannot be read");
        }
    }
}

/// Waits until then; for ever without it.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

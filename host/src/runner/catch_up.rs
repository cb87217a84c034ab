//! A catch-up projection: follows the log in order from its checkpoint. Batch, handler and
//! checkpoint share a transaction, and the lock on the checkpoint keeps other hosts away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::CatchUpConfig;
use super::head::{Head, RECONNECT};
use super::supervisor::unless_stopped;
use crate::db::Tx;
use crate::plugin::{Active, Registry};
use crate::projection::{Failure, FailureKind};
use crate::store::{self, EventStore, LogFilter};

/// Past events of other types a checkpoint is moved at most this often.
const IDLE_SAVE: Duration = Duration::from_millis(200);
/// How long a host that found another one at work waits before it looks again.
const CONTENDED: Duration = Duration::from_millis(50);

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

/// What this host knows of the work for one tenant.
#[derive(Default)]
struct Tenant {
    /// Nothing that concerns the projection is at or below this.
    seen: i64,
    /// The checkpoint exists.
    created: bool,
    /// The checkpoint in the database is behind `seen`, by events of other types.
    unsaved: Option<Instant>,
    /// The search for a poison event, while it goes on.
    search: Option<Search>,
    /// Failed attempts at the first event after the checkpoint.
    attempts: u32,
    /// Not before this.
    not_before: Option<Instant>,
    /// The projection stopped at an event of this tenant.
    stopped: bool,
}

/// How a step ended.
enum Step {
    /// There may be more to do.
    Again,
    /// Nothing more to do now.
    Idle,
    /// Another host holds the checkpoint.
    Contended,
}

impl CatchUp {
    pub(super) async fn run(mut self) {
        let mut tenants: HashMap<String, Tenant> = HashMap::new();
        let mut changes = self.registry.changes();
        let mut generation = 0;
        let mut failed = false;
        let mut errors = 0;
        while !self.stop.is_cancelled() {
            let snapshot = self.registry.snapshot();
            let Some(active) = snapshot.active.get(&self.name).cloned() else {
                // Not loaded here (yet); the registry says when it is.
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    _ = changes.changed() => continue,
                }
            };
            let failed_before = failed;
            failed = snapshot.registered.get(&self.name).is_some_and(|known| known.failed);
            if active.generation != generation || failed_before && !failed {
                // A new version, or the first: nothing that is known of the old one holds. Or
                // another host was restarted, and it is tried again there and here.
                generation = active.generation;
                tenants.clear();
            }
            let head = self.head.borrow_and_update().clone();
            let mut wait = self.poll;
            let mut again = false;
            for (tenant, last) in head.tenants.iter() {
                if self.stop.is_cancelled() {
                    return;
                }
                let others_run =
                    tenants.iter().all(|(other, state)| other == tenant || !state.stopped);
                let state = tenants.entry(tenant.clone()).or_default();
                if let Some(delay) = state.pause(*last) {
                    wait = wait.min(delay);
                    continue;
                }
                let troubled = state.attempts > 0;
                let step = self.step(&active, tenant, state, head.position).await;
                if troubled && state.attempts == 0 && others_run {
                    // Another host may have stopped at the event that this one has handled.
                    self.note(&active, None).await;
                }
                match step {
                    Ok(Step::Again) => {
                        errors = 0;
                        again = true;
                    }
                    Ok(Step::Idle) => errors = 0,
                    Ok(Step::Contended) => wait = wait.min(CONTENDED),
                    Err(error) => {
                        errors += 1;
                        let delay = RECONNECT.delay(errors);
                        tracing::warn!(projection = self.name, tenant, %error, ?delay,
                            "a catch-up batch was interrupted; it is tried again");
                        state.not_before = Some(Instant::now() + delay);
                        wait = wait.min(delay);
                    }
                }
                if state.unsaved.is_some() {
                    wait = wait.min(IDLE_SAVE);
                }
            }
            if again {
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = self.head.changed() => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Handles the next batch of one tenant.
    async fn step(
        &self,
        active: &Active,
        tenant: &str,
        state: &mut Tenant,
        head: i64,
    ) -> Result<Step, store::StoreError> {
        if !state.created {
            let create = store::create_checkpoint(self.store.pool(), &self.name, tenant);
            unless_stopped(&self.stop, create).await?;
            state.created = true;
        }
        let limits = active.plugin.limits();
        let begin = Tx::begin(self.store.pool(), limits.batch);
        let mut tx = unless_stopped(&self.stop, begin).await?;
        let Some(position) = store::lock_checkpoint(tx.conn(), &self.name, tenant).await? else {
            tx.rollback().await?;
            return Ok(Step::Contended);
        };
        if position >= head {
            tx.rollback().await?;
            state.seen = state.seen.max(position);
            state.unsaved = None;
            return Ok(Step::Idle);
        }
        let limit = state.search.as_ref().map_or(self.config.batch, Search::batch);
        let filter = LogFilter {
            after: position,
            until: Some(head),
            types: active.plugin.description.event_types.clone(),
            tenant: Some(tenant.to_owned()),
            ..LogFilter::default()
        };
        let events = store::log_page(tx.conn(), &filter, limit).await?;
        let full = events.len() as i64 == limit;
        let upto = if full { events.last().map_or(head, |event| event.position) } else { head };
        let version = &active.plugin.version.full();
        if events.is_empty() {
            let since = state.unsaved.get_or_insert_with(Instant::now);
            if since.elapsed() >= IDLE_SAVE {
                store::save_checkpoint(tx.conn(), &self.name, tenant, upto, version).await?;
                tx.commit().await?;
                state.unsaved = None;
            } else {
                tx.rollback().await?;
            }
            state.seen = upto;
            return Ok(Step::Idle);
        }
        let (tx, result) = active.plugin.handle(tx, &active.sql, &events, &active.config).await;
        match (tx, result) {
            (Some(mut tx), Ok(stats)) => {
                store::save_checkpoint(tx.conn(), &self.name, tenant, upto, version).await?;
                tx.commit().await?;
                tracing::debug!(
                    projection = self.name,
                    tenant,
                    events = events.len(),
                    upto,
                    ?stats,
                    "batch handled"
                );
                let search = state.search.and_then(|search| search.passed(events.len()));
                *state = Tenant { seen: upto, created: true, search, ..Tenant::default() };
                Ok(if full { Step::Again } else { Step::Idle })
            }
            (tx, Err(failure)) => {
                if let Some(tx) = tx {
                    tx.rollback().await?;
                }
                self.failed(active, tenant, state, &events, failure).await;
                Ok(Step::Again)
            }
            (None, Ok(_)) => Err(sqlx::Error::WorkerCrashed.into()),
        }
    }

    /// Decides how to go on after a batch that was rolled back: a smaller batch until the event is
    /// alone, then a few attempts, then a stop.
    async fn failed(
        &self,
        active: &Active,
        tenant: &str,
        state: &mut Tenant,
        events: &[crate::event::Event],
        failure: Failure,
    ) {
        let known = failure.index.is_some();
        if events.len() > 1
            && (failure.kind == FailureKind::Poison || failure.kind == FailureKind::Retry && known)
        {
            state.search = Some(Search::within(events.len(), failure.index));
            return;
        }
        if failure.kind != FailureKind::Fatal {
            if !failure.connection_lost {
                state.attempts += 1;
            }
            if failure.kind == FailureKind::Retry || state.attempts < self.config.max_attempts {
                let delay = self.config.backoff.delay(state.attempts.max(1));
                tracing::warn!(projection = self.name, version = %active.plugin.version, tenant,
                    from = events[0].position, attempts = state.attempts, ?delay,
                    error = failure.message, "a batch failed and is tried again");
                state.not_before = Some(Instant::now() + delay);
                return;
            }
        }
        let event = &events[failure.index.unwrap_or(0).min(events.len() - 1)];
        let error = format!(
            "stopped at {} (position {}, version {} of {}): {}",
            event.event_type, event.position, event.version, event.stream, failure.message
        );
        tracing::error!(projection = self.name, version = %active.plugin.version, tenant, error,
            "the projection has stopped; deploy a version that handles this event, or restart the \
             host to try it again");
        state.stopped = true;
        self.note(active, Some(&error)).await;
    }

    async fn note(&self, active: &Active, error: Option<&str>) {
        if let Err(error) = self.registry.note_state(&self.name, active.generation, error).await {
            tracing::warn!(projection = self.name, %error, "its state could not be noted");
        }
    }
}

/// Looks for the event that fails, among those after the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Search {
    /// It is one of so many.
    within: usize,
    /// So many of them are taken to be good.
    good: usize,
}

impl Search {
    /// A batch of `events` has failed, at its event `index` where that is known.
    fn within(events: usize, index: Option<usize>) -> Self {
        match index {
            // The first one: it is to be alone.
            Some(0) => Self { within: 1, good: 0 },
            Some(index) if index < events => Self { within: index + 1, good: index },
            _ => Self { within: events, good: events / 2 },
        }
    }

    /// How many events to try.
    fn batch(&self) -> i64 {
        self.good.max(1) as i64
    }

    /// A batch went well. `None` when nothing is left to look for.
    fn passed(self, events: usize) -> Option<Self> {
        let within = self.within.checked_sub(events).filter(|within| *within > 0)?;
        Some(Self { within, good: within / 2 })
    }
}

impl Tenant {
    /// How long to leave this tenant alone, where its last event is at `last`.
    fn pause(&self, last: i64) -> Option<Duration> {
        if self.stopped {
            return Some(Duration::MAX);
        }
        if let Some(at) = self.not_before {
            let left = at.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Some(left);
            }
        }
        if self.seen < last {
            return None;
        }
        match self.unsaved {
            None => Some(Duration::MAX),
            Some(since) => {
                let left = IDLE_SAVE.saturating_sub(since.elapsed());
                (!left.is_zero()).then_some(left)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_without_new_events_is_left_alone() {
        let mut tenant = Tenant::default();
        assert_eq!(tenant.pause(0), Some(Duration::MAX));
        assert_eq!(tenant.pause(7), None);
        tenant.seen = 7;
        assert_eq!(tenant.pause(7), Some(Duration::MAX));
        tenant.stopped = true;
        assert_eq!(tenant.pause(8), Some(Duration::MAX));
    }

    /// Searches for one bad event as the runner does. Answers how many batches failed.
    fn failed_batches(events: usize, bad: usize, says_which: bool) -> usize {
        let (mut at, mut failed) = (0, 0);
        let mut search: Option<Search> = None;
        loop {
            let batch = search.map_or(events, |search| search.batch() as usize).min(events - at);
            if !(at..at + batch).contains(&bad) {
                search = search.and_then(|search| search.passed(batch));
                at += batch;
                continue;
            }
            failed += 1;
            if batch == 1 {
                assert_eq!(at, bad);
                return failed;
            }
            search = Some(Search::within(batch, says_which.then_some(bad - at)));
        }
    }

    #[test]
    fn a_bad_event_is_found_by_halving_and_at_once_where_the_plugin_names_it() {
        for bad in 0..500 {
            assert!(failed_batches(500, bad, false) <= 10, "{bad}");
            assert!(failed_batches(500, bad, true) <= 2, "{bad}");
        }
    }

    #[test]
    fn a_failed_tenant_waits_its_delay() {
        let tenant = Tenant {
            not_before: Some(Instant::now() + Duration::from_secs(60)),
            ..Tenant::default()
        };
        assert!(tenant.pause(7).is_some_and(|left| left > Duration::from_secs(50)));
    }
}

//! What a host knows of a projection's work for one tenant, and how it goes on after a failure: a
//! value with transitions, without a database.

use std::time::{Duration, Instant};

use super::super::config::CatchUpConfig;
use crate::projection::{Failure, FailureKind};

/// Past events of other types a checkpoint is moved at most this often.
pub(super) const IDLE_SAVE: Duration = Duration::from_millis(200);
/// A stopped projection looks this often whether another host has passed its event, or somebody has
/// told it to try again.
const STOPPED_LOOK: Duration = Duration::from_secs(5);
/// A connection that is lost so often in a row while the plugin has it is the batch's doing.
const LOSSES: u32 = 5;

/// The work for one tenant.
#[derive(Debug, Default)]
pub(super) struct Tenant {
    /// Nothing that concerns the projection is at or below this.
    pub seen: i64,
    /// The checkpoint exists.
    pub created: bool,
    /// The checkpoint in the database is behind `seen`, by events of other types.
    pub unsaved: Option<Instant>,
    /// The checkpoint at which the projection has stopped.
    pub stopped: Option<i64>,
    /// The search for a bad event, while it goes on.
    search: Option<Search>,
    /// Events in the next batch, where the whole took too long.
    slow: Option<i64>,
    /// Failures in a row, by what they ask for.
    poisons: u32,
    retries: u32,
    losses: u32,
    /// Not before this.
    not_before: Option<Instant>,
}

/// How to go on after a batch that was rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// At once, with fewer events.
    Smaller,
    /// The same, after this time at the most.
    Later(Duration),
    /// Not at all.
    Stop,
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
    fn batch(self) -> i64 {
        self.good.max(1) as i64
    }

    /// A batch went well. `None` when nothing is left to look for.
    fn passed(self, events: usize) -> Option<Self> {
        let within = self.within.checked_sub(events).filter(|within| *within > 0)?;
        Some(Self { within, good: within / 2 })
    }
}

impl Tenant {
    /// Events to ask for.
    pub(super) fn batch(&self, config: &CatchUpConfig) -> i64 {
        let search = self.search.map_or(config.batch, Search::batch);
        search.min(self.slow.unwrap_or(config.batch))
    }

    /// A batch of `events` was committed: everything up to `upto` is handled. Answers whether an event
    /// went well that had failed alone.
    pub(super) fn done(&mut self, upto: i64, events: usize, config: &CatchUpConfig) -> bool {
        let overcome = self.stopped.is_some() || self.poisons > 0;
        let search = self.search.and_then(|search| search.passed(events));
        // What made the batch slow can come again at once: grow it step by step.
        let slow = self.slow.map(|n| n.saturating_mul(2)).filter(|n| *n < config.batch);
        *self = Self { seen: upto, created: true, search, slow, ..Self::default() };
        overcome
    }

    /// A batch of `events` was rolled back.
    pub(super) fn failed(
        &mut self,
        events: usize,
        failure: &Failure,
        config: &CatchUpConfig,
    ) -> Verdict {
        let alone = events == 1;
        let half = (events / 2).max(1) as i64;
        let verdict = if failure.connection_lost {
            self.losses += 1;
            if self.losses >= LOSSES {
                self.slow = Some(half);
            }
            if alone && self.losses >= LOSSES + config.max_attempts {
                Verdict::Stop
            } else {
                Verdict::Later(config.backoff.delay(self.losses))
            }
        } else {
            match failure.kind {
                FailureKind::Fatal => Verdict::Stop,
                // The events before one that asks for a retry need not wait with it.
                FailureKind::Retry if !alone && failure.index.is_some() => {
                    self.search = Some(Search::within(events, failure.index));
                    Verdict::Smaller
                }
                FailureKind::Retry => {
                    self.retries += 1;
                    // A batch that takes too long, or that waits for a lock which it holds itself.
                    if self.retries > 1 {
                        self.slow = Some(half);
                    }
                    Verdict::Later(config.backoff.delay(self.retries))
                }
                FailureKind::Poison if !alone => {
                    self.search = Some(Search::within(events, failure.index));
                    Verdict::Smaller
                }
                FailureKind::Poison => {
                    self.poisons += 1;
                    if self.poisons >= config.max_attempts {
                        Verdict::Stop
                    } else {
                        Verdict::Later(config.backoff.delay(self.poisons))
                    }
                }
            }
        };
        self.not_before = match verdict {
            Verdict::Smaller => None,
            Verdict::Later(delay) => Some(Instant::now() + delay),
            Verdict::Stop => Some(Instant::now() + STOPPED_LOOK),
        };
        verdict
    }

    /// Still stopped: look again later.
    pub(super) fn look_later(&mut self) {
        self.not_before = Some(Instant::now() + STOPPED_LOOK);
    }

    /// The step itself was interrupted, by nobody's fault.
    pub(super) fn interrupted(&mut self, delay: Duration) {
        self.not_before = Some(Instant::now() + delay);
    }

    /// Tries again after a stop.
    pub(super) fn resume(&mut self) {
        (self.poisons, self.retries, self.losses) = (0, 0, 0);
        self.not_before = None;
    }

    /// How long to leave this tenant alone, where its last event is at `last`.
    pub(super) fn pause(&self, last: i64) -> Option<Duration> {
        if let Some(at) = self.not_before {
            let left = at.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Some(left);
            }
        }
        if self.stopped.is_some() || self.seen < last {
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

    fn config() -> CatchUpConfig {
        CatchUpConfig::default()
    }

    fn poison(index: Option<usize>) -> Failure {
        Failure { index, ..Failure::new(FailureKind::Poison, "no") }
    }

    #[test]
    fn a_tenant_without_new_events_is_left_alone() {
        let mut tenant = Tenant::default();
        assert_eq!(tenant.pause(0), Some(Duration::MAX));
        assert_eq!(tenant.pause(7), None);
        tenant.done(7, 1, &config());
        assert_eq!(tenant.pause(7), Some(Duration::MAX));
    }

    #[test]
    fn an_event_that_fails_alone_stops_the_projection_after_its_attempts() {
        let mut tenant = Tenant::default();
        for _ in 1..config().max_attempts {
            assert!(matches!(tenant.failed(1, &poison(None), &config()), Verdict::Later(_)));
        }
        assert_eq!(tenant.failed(1, &poison(None), &config()), Verdict::Stop);
        assert!(tenant.pause(100).is_some_and(|left| left > Duration::from_secs(3)));
    }

    #[test]
    fn locks_and_races_never_stop_a_projection_but_make_its_batches_small() {
        let mut tenant = Tenant::default();
        let retry = Failure::new(FailureKind::Retry, "deadlock");
        for _ in 0..100 {
            assert!(matches!(tenant.failed(500, &retry, &config()), Verdict::Later(_)));
        }
        assert_eq!(tenant.batch(&config()), 250);
        for _ in 0..100 {
            assert!(matches!(tenant.failed(1, &retry, &config()), Verdict::Later(_)));
        }
        tenant.done(1, 1, &config());
        assert!(matches!(tenant.failed(1, &poison(None), &config()), Verdict::Later(_)));
    }

    #[test]
    fn an_event_that_costs_the_connection_every_time_stops_the_projection_at_last() {
        let mut tenant = Tenant::default();
        let lost = Failure {
            connection_lost: true,
            ..Failure::new(FailureKind::Retry, "connection lost")
        };
        let stops = (0..100).position(|_| tenant.failed(1, &lost, &config()) == Verdict::Stop);
        assert_eq!(stops, Some((LOSSES + config().max_attempts) as usize - 1));
    }

    #[test]
    fn batches_that_took_too_long_grow_again_step_by_step() {
        let mut tenant = Tenant::default();
        let slow = Failure::new(FailureKind::Retry, "time");
        tenant.failed(500, &slow, &config());
        tenant.failed(500, &slow, &config());
        assert_eq!(tenant.batch(&config()), 250);
        tenant.failed(250, &slow, &config());
        tenant.done(1, 125, &config());
        assert_eq!(tenant.batch(&config()), 250);
        tenant.done(2, 250, &config());
        assert_eq!(tenant.batch(&config()), 500);
    }

    /// Searches for one bad event as the runner does. Answers how many batches failed.
    fn failed_batches(events: usize, bad: usize, says_which: bool) -> usize {
        let (mut at, mut failed) = (0, 0);
        let mut tenant = Tenant::default();
        loop {
            let batch = (tenant.batch(&config()) as usize).min(events - at);
            if !(at..at + batch).contains(&bad) {
                tenant.done(0, batch, &config());
                at += batch;
                continue;
            }
            failed += 1;
            if batch == 1 {
                assert_eq!(at, bad);
                return failed;
            }
            tenant.failed(batch, &poison(says_which.then_some(bad - at)), &config());
        }
    }

    #[test]
    fn a_bad_event_is_found_by_halving_and_at_once_where_the_plugin_names_it() {
        for bad in 0..500 {
            assert!(failed_batches(500, bad, false) <= 10, "{bad}");
            assert!(failed_batches(500, bad, true) <= 2, "{bad}");
        }
    }
}

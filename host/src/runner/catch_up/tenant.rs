//! What a host knows of a projection's work for one tenant, and how it goes on after a failure: a
//! value with transitions, without a database.

use std::time::{Duration, Instant};

use super::super::config::CatchUpConfig;
use super::ahead::Ahead;
use super::batch_size::BatchSize;
use crate::projection::{Failure, FailureKind};

/// A stopped projection looks this often whether another host has passed its event, or somebody has
/// told it to try again.
const STOPPED_LOOK: Duration = Duration::from_secs(5);
/// A connection that is lost so often in a row while the plugin has it is the batch's doing.
const LOSSES: u32 = 5;

/// A host looks this often whether the one that is to do the work does it.
const WATCH: Duration = Duration::from_secs(5);

/// The work for one tenant.
#[derive(Debug, Default)]
pub(super) struct Tenant {
    /// Nothing that concerns the projection is at or below this.
    pub seen: i64,
    /// In how many shards the checkpoint is; `None` before it is known to exist.
    pub layout: Option<i32>,
    /// The checkpoint in the database, as it was seen last. It can be behind `seen`, by events of
    /// other types.
    pub base: i64,
    /// The checkpoint at which the projection has stopped.
    pub stopped: Option<i64>,
    /// The next batch, where it is read already.
    pub ahead: Option<Ahead>,
    /// This host does what another one should do and does not.
    pub took_over: bool,
    /// Where the checkpoint stood when this host looked whether another one moves it.
    watched: Option<i64>,
    /// When to look at what another host is to do, unless hosts come or go before.
    next_look: Option<Instant>,
    /// All went well the last time, so events may come from memory.
    warm: bool,
    /// The search for a bad event, while it goes on.
    search: Option<Search>,
    /// How many events the next batch has.
    size: BatchSize,
    /// The first failure of those in a row.
    first_failed: Option<Instant>,
    /// Failures in a row, by what they ask for.
    poisons: u32,
    retries: u32,
    losses: u32,
    /// Failures in a row that cost as much as they may, over all events.
    costly: u32,
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
    /// Not at all, with this event.
    Stop,
    /// Not at all, with any event: the plugin was stopped so often in a row.
    Broken(u32),
}

/// What a look at another host's work has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// Somebody does it, or it is too early to say.
    Moves,
    /// Nobody does.
    Stands,
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
        let size = self.size.events(config);
        self.search.map_or(size, |search| search.batch().min(size))
    }

    /// Whether the next batch can be read while this one is handled.
    pub(super) fn reads_ahead(&self) -> bool {
        self.search.is_none() && self.first_failed.is_none()
    }

    /// Whether events may come from memory: not for who begins or failed, as an event may have been
    /// dismissed since it was read.
    pub(super) fn is_warm(&self) -> bool {
        self.warm
    }

    /// A batch of `events` was committed: everything up to `upto` is handled. Its transaction took `took`, all of
    /// it `whole`. Answers whether an event went well that had failed alone.
    pub(super) fn done(
        &mut self,
        upto: i64,
        events: usize,
        (took, whole): (Duration, Duration),
        config: &CatchUpConfig,
    ) -> bool {
        let overcome = self.stopped.is_some() || self.poisons > 0;
        let search = self.search.and_then(|search| search.passed(events));
        let mut size = std::mem::take(&mut self.size);
        if self.search.is_none() {
            // One that is smaller than it might have been, or was asked for before the last one ended, says
            // nothing of this size.
            let asked = size.events(config);
            if events as i64 == asked {
                size.done(took, whole, config);
            } else if events as i64 <= asked && took > config.batch_time {
                size.too_long(config);
            }
        }
        *self = Self {
            seen: upto,
            base: upto,
            layout: self.layout,
            ahead: self.ahead.take(),
            took_over: self.took_over,
            warm: true,
            search,
            size,
            ..Self::default()
        };
        overcome
    }

    /// There was nothing for the projection up to here, and the checkpoint says so.
    pub(super) fn passed(&mut self, upto: i64) {
        (self.seen, self.base, self.warm) = (upto, upto, true);
    }

    /// The checkpoint is at the head, or beyond it.
    pub(super) fn at_head(&mut self, position: i64) {
        self.passed(self.seen.max(position));
        self.base = position;
        self.took_over = false;
    }

    /// What is known of the checkpoint may hold no more.
    pub(super) fn doubt(&mut self) {
        (self.seen, self.base, self.ahead, self.warm) = (0, 0, None, false);
    }

    /// The next batch is not the next thing to do.
    pub(super) fn forget_ahead(&mut self) {
        self.ahead = None;
    }

    /// The checkpoint could not be locked.
    pub(super) fn contended(&mut self) {
        (self.layout, self.ahead, self.warm) = (None, None, false);
    }

    /// An event was set aside, and the checkpoint is past it.
    pub(super) fn set_aside(&mut self, position: i64) {
        *self = Self {
            seen: position,
            base: position,
            layout: self.layout,
            size: std::mem::take(&mut self.size),
            costly: self.costly,
            ..Self::default()
        };
    }

    /// Attempts that failed in a row, and the time since the first of them.
    pub(super) fn attempts(&self) -> (i32, Duration) {
        let attempts = self.poisons.saturating_add(self.losses).max(1);
        let failing = self.first_failed.map(|at| at.elapsed()).unwrap_or_default();
        (i32::try_from(attempts).unwrap_or(i32::MAX), failing)
    }

    /// Looks at the checkpoint of work that another host is to do.
    pub(super) fn watch(&mut self, position: i64, head: i64) -> Watch {
        self.next_look = Some(Instant::now() + WATCH);
        if position >= head {
            (self.seen, self.base, self.watched) = (position, position, None);
            return Watch::Moves;
        }
        match self.watched.replace(position) {
            Some(before) if before == position => Watch::Stands,
            _ => Watch::Moves,
        }
    }

    /// Other hosts are there than before.
    pub(super) fn look_again(&mut self) {
        (self.watched, self.next_look) = (None, None);
        self.took_over = false;
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
        (self.warm, self.ahead) = (false, None);
        self.first_failed.get_or_insert_with(Instant::now);
        self.costly += u32::from(failure.costly);
        let verdict = if failure.costly && self.costly >= config.stop_after {
            Verdict::Broken(self.costly)
        } else if failure.connection_lost {
            self.losses += 1;
            if self.losses >= LOSSES {
                self.size.limit(half);
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
                        self.size.limit(half);
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
            Verdict::Stop | Verdict::Broken(_) => Some(Instant::now() + STOPPED_LOOK),
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
        (self.poisons, self.retries, self.losses, self.costly) = (0, 0, 0, 0);
        self.not_before = None;
    }

    /// How long to leave this tenant alone, where its last event is at `last`.
    pub(super) fn pause(&self, last: i64) -> Option<Duration> {
        if let Some(at) = self.not_before.max(self.next_look) {
            let left = at.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Some(left);
            }
        }
        (self.stopped.is_none() && self.seen >= last).then_some(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: (Duration, Duration) = (Duration::ZERO, Duration::ZERO);

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
        tenant.done(7, 1, QUICK, &config());
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
        tenant.done(1, 1, QUICK, &config());
        assert!(matches!(tenant.failed(1, &poison(None), &config()), Verdict::Later(_)));
    }

    #[test]
    fn a_plugin_that_is_stopped_again_and_again_stops_the_projection_whatever_becomes_of_events() {
        let config = config();
        let trap = Failure { trapped: true, costly: true, ..poison(None) };
        let slow = Failure { costly: true, ..Failure::new(FailureKind::Retry, "its time") };
        for failure in [trap, slow] {
            let mut tenant = Tenant::default();
            for count in 1..config.stop_after {
                let verdict = tenant.failed(1, &failure, &config);
                assert!(!matches!(verdict, Verdict::Broken(_)), "{count}");
                if verdict == Verdict::Stop {
                    tenant.set_aside(count.into());
                }
            }
            assert_eq!(tenant.failed(1, &failure, &config), Verdict::Broken(config.stop_after));
            tenant.resume();
            assert!(matches!(tenant.failed(1, &failure, &config), Verdict::Later(_)));
        }
    }

    #[test]
    fn a_batch_that_goes_well_forgives_what_was_before() {
        let config = config();
        let trap = Failure { trapped: true, costly: true, ..poison(Some(0)) };
        let mut tenant = Tenant::default();
        for _ in 0..10 * config.stop_after {
            assert_eq!(tenant.failed(500, &trap, &config), Verdict::Smaller);
            tenant.done(1, 1, QUICK, &config);
        }
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
        tenant.done(1, 125, QUICK, &config());
        assert_eq!(tenant.batch(&config()), 250);
        tenant.done(2, 250, QUICK, &config());
        assert_eq!(tenant.batch(&config()), 500);
    }

    #[test]
    fn a_batch_that_was_smaller_than_it_might_have_been_says_nothing_of_larger_ones() {
        let mut tenant = Tenant::default();
        let slow = (config().batch_time * 2, config().batch_time * 2);
        for (events, took, next) in
            [(500, QUICK, 1000), (17, QUICK, 1000), (1000, QUICK, 2000), (3, slow, 1000)]
        {
            tenant.done(1, events, took, &config());
            assert_eq!(tenant.batch(&config()), next, "{events} in {took:?}");
        }
    }

    #[test]
    fn work_of_another_host_is_taken_over_when_it_stands() {
        let mut tenant = Tenant::default();
        assert_eq!(tenant.watch(5, 10), Watch::Moves);
        assert!(tenant.pause(10).is_some(), "the next look is later");
        assert_eq!(tenant.watch(7, 10), Watch::Moves);
        assert_eq!(tenant.watch(7, 10), Watch::Stands);
        tenant.look_again();
        assert_eq!(tenant.pause(10), None);
        assert_eq!(tenant.watch(10, 10), Watch::Moves);
    }

    #[test]
    fn work_that_was_done_when_this_host_looked_moves_to_it_at_once_when_hosts_go() {
        let mut tenant = Tenant::default();
        assert_eq!(tenant.watch(10, 10), Watch::Moves);
        assert!(tenant.pause(11).is_some(), "the next look is later");
        tenant.look_again();
        assert_eq!(tenant.pause(11), None);
    }

    #[test]
    fn a_failure_is_waited_for_whatever_hosts_come_and_go() {
        let mut tenant = Tenant::default();
        tenant.interrupted(Duration::from_secs(60));
        tenant.look_again();
        assert!(tenant.pause(10).is_some());
    }

    /// Searches for one bad event as the runner does. Answers how many batches failed.
    fn failed_batches(events: usize, bad: usize, says_which: bool) -> usize {
        let (mut at, mut failed) = (0, 0);
        let mut tenant = Tenant::default();
        loop {
            let batch = (tenant.batch(&config()) as usize).min(events - at);
            if !(at..at + batch).contains(&bad) {
                tenant.done(0, batch, QUICK, &config());
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

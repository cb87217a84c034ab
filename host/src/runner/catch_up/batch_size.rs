//! How many events the next batch has. A value without a database.
//!
//! What a batch costs beside its events (begin, lock, checkpoint, commit) speaks for large ones, what its own past
//! versions of hot rows cost speaks for small ones, and which is more depends on the plugin. So sizes are
//! tried, and the one is kept at which an event takes the least time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::config::CatchUpConfig;

/// Events in the first batch, and the least that is tried because of its cost.
const FIRST: i64 = 500;
/// Another size has to be better by this part.
const BETTER: f64 = 0.03;
/// After so many batches of one size the others are tried again: the events may be others by now.
const AGAIN: u32 = 100;
/// What a batch says of its size beside what is known; one that took much longer was interrupted.
const WEIGHT: f64 = 0.2;
const MOST: f64 = 1.25;

/// The size of the batches of a tenant.
#[derive(Debug, Default)]
pub(super) struct BatchSize {
    size: Option<i64>,
    /// Seconds an event, by the size of the batch.
    costs: BTreeMap<i64, Cost>,
    /// Batches since a size was tried.
    steady: u32,
}

#[derive(Debug, Clone, Copy)]
struct Cost {
    of_one: f64,
    batches: u32,
}

impl BatchSize {
    /// Events to ask for.
    pub(super) fn events(&self, config: &CatchUpConfig) -> i64 {
        self.size.unwrap_or(FIRST).min(config.batch)
    }

    /// No more than so many from now on, until it goes well.
    pub(super) fn limit(&mut self, size: i64) {
        *self = Self { size: Some(size), ..Self::default() };
    }

    /// A batch of no more than so many events took too long: half as many.
    pub(super) fn too_long(&mut self, config: &CatchUpConfig) {
        let size = self.events(config);
        self.costs.insert(size, Cost { of_one: f64::INFINITY, batches: 2 });
        (self.size, self.steady) = (Some((size / 2).max(1)), 0);
    }

    /// A batch of as many events as were asked for went well. Its transaction took `took`, and the whole of it,
    /// from the end of the one before, `whole`.
    pub(super) fn done(&mut self, took: Duration, whole: Duration, config: &CatchUpConfig) {
        let size = self.events(config);
        if took > config.batch_time {
            return self.too_long(config);
        }
        let of_one = whole.as_secs_f64() / size as f64;
        let cost = self.costs.entry(size).or_insert(Cost { of_one, batches: 0 });
        if !cost.of_one.is_finite() {
            *cost = Cost { of_one, batches: 0 };
        }
        // Of the first ones the quicker, as the other was interrupted by something.
        cost.of_one = match cost.batches {
            0 | 1 => cost.of_one.min(of_one),
            _ => cost.of_one * (1.0 - WEIGHT) + of_one.min(cost.of_one * MOST) * WEIGHT,
        };
        cost.batches += 1;
        let here = *cost;
        let larger = size.saturating_mul(2).min(config.batch);
        let larger = (larger > size && took < config.batch_time / 2).then_some(larger);
        let smaller = Some(size / 2).filter(|smaller| *smaller >= FIRST);
        let known = |size: &i64| self.costs.contains_key(size);
        let worse = smaller
            .and_then(|smaller| self.costs.get(&smaller))
            .is_some_and(|smaller| smaller.of_one < here.of_one * (1.0 - BETTER));
        let next = if let Some(larger) = larger.filter(|larger| !known(larger) && !worse) {
            larger
        } else if here.batches < 2 {
            size
        } else if let Some(smaller) = smaller.filter(|smaller| !known(smaller)) {
            smaller
        } else {
            let others = [larger, smaller].into_iter().flatten();
            let costs = others.filter_map(|size| Some((size, self.costs.get(&size)?.of_one)));
            costs
                .filter(|(_, of_one)| *of_one < here.of_one * (1.0 - BETTER))
                .min_by(|(_, a), (_, b)| a.total_cmp(b))
                .map_or(size, |(size, _)| size)
        };
        self.size = Some(next);
        self.steady = if next == size { self.steady + 1 } else { 0 };
        if self.steady >= AGAIN {
            self.steady = 0;
            self.costs.clear();
            self.costs.insert(size, here);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(1);

    fn config() -> CatchUpConfig {
        CatchUpConfig::default()
    }

    /// The sizes of some batches, where one of so many events takes so many microseconds.
    fn sizes(batch: &mut BatchSize, batches: usize, cost: impl Fn(i64) -> i64) -> Vec<i64> {
        let next = |_| {
            let size = batch.events(&config());
            let took = Duration::from_micros(cost(size).unsigned_abs());
            batch.done(took, took, &config());
            size
        };
        (0..batches).map(next).collect()
    }

    #[test]
    fn batches_grow_while_they_are_quick_and_shrink_when_they_are_slow() {
        let mut batch = BatchSize::default();
        let slow = config().batch_time * 2;
        assert_eq!(batch.events(&config()), 500);
        for (took, next) in [(QUICK, 1000), (QUICK, 2000), (QUICK, 2000), (slow, 1000), (slow, 500)]
        {
            batch.done(took, took, &config());
            assert_eq!(batch.events(&config()), next);
        }
        (0..20).for_each(|_| batch.done(slow, slow, &config()));
        assert_eq!(batch.events(&config()), 1);
    }

    #[test]
    fn the_size_is_kept_at_which_an_event_takes_the_least_time() {
        // What a batch costs beside its events, and what its events cost each other.
        let large = |size: i64| 1000 + size;
        let middle = |size: i64| 5000 + 5 * size + size * size / 200;
        let small = |size: i64| 100 + size + size * size / 100;
        for (cost, best) in [(&large as &dyn Fn(i64) -> i64, 2000), (&middle, 1000), (&small, 500)]
        {
            let all = sizes(&mut BatchSize::default(), 80, cost);
            assert_eq!(all[..2], [500, 1000]);
            assert!(all[8..].iter().all(|size| *size == best), "{best}: {all:?}");
        }
    }

    #[test]
    fn what_holds_no_more_is_noticed() {
        let mut batch = BatchSize::default();
        sizes(&mut batch, 50, |size| 1000 + size);
        let all = sizes(&mut batch, 250, |size| 100 + size + size * size / 100);
        assert_eq!(all.last(), Some(&500), "{all:?}");
        let tried = all.iter().filter(|size| **size != 500).count();
        assert!(tried < 120, "{tried}");
    }

    #[test]
    fn a_size_that_takes_too_long_is_not_tried_again_at_once() {
        // 1000 take 65 ms, and twice as many four times as long.
        let all = sizes(&mut BatchSize::default(), 100, |size| size * size * 65 / 1000);
        let slow = all.iter().filter(|size| **size == 2000).count();
        assert!(slow <= 2 && all[50..].iter().all(|size| *size == 500), "{all:?}");
    }

    #[test]
    fn one_interruption_changes_nothing() {
        let mut batch = BatchSize::default();
        let cost = |size: i64| 1000 + 10 * size;
        sizes(&mut batch, 10, cost);
        batch.done(Duration::from_millis(40), Duration::from_millis(40), &config());
        let all = sizes(&mut batch, 20, cost);
        assert!(all.iter().filter(|size| **size == 2000).count() > 15, "{all:?}");
    }

    #[test]
    fn no_batch_is_larger_than_it_may_be() {
        let config = CatchUpConfig { batch: 700, ..config() };
        let mut batch = BatchSize::default();
        for _ in 0..50 {
            assert!(batch.events(&config) <= 700);
            batch.done(QUICK, QUICK, &config);
        }
        assert_eq!(BatchSize::default().events(&CatchUpConfig { batch: 1, ..config }), 1);
    }
}

//! Whose turn it is: a projection serves its tenants one after the other, a batch each, and one whose
//! batch takes long passes its turn on while the batch goes on. A value without a database.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::time::{Duration, Instant};

/// A batch that takes longer does not keep the next tenant from its turn.
const TURN: Duration = Duration::from_millis(100);

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    /// Batches at the same time, at most.
    lanes: usize,
    /// The tenant that was served last.
    last: Option<String>,
    /// Tenants with a batch on its way, and whether the projection had stopped there.
    busy: HashMap<String, bool>,
    /// Whose turn it is, and when it ends.
    turn: Option<(String, Instant)>,
}

impl Turns {
    pub(super) fn new(lanes: usize) -> Self {
        Self { lanes, last: None, busy: HashMap::new(), turn: None }
    }

    /// Whether another batch may begin.
    pub(super) fn is_free(&self) -> bool {
        self.busy.len() < self.lanes
            && self.turn.as_ref().is_none_or(|(_, until)| *until <= Instant::now())
    }

    /// When the next one may begin, should the batch that has its turn take longer.
    pub(super) fn passes_on(&self) -> Option<Instant> {
        let (_, until) = self.turn.as_ref()?;
        (self.busy.len() < self.lanes).then_some(*until)
    }

    /// The next tenant in the order of names after the one that was served last, of those that need
    /// not wait; or how long all of them can wait.
    pub(super) fn next(
        &self,
        tenants: &BTreeMap<String, i64>,
        mut pause: impl FnMut(&str, i64) -> Option<Duration>,
    ) -> Result<String, Duration> {
        let from = self.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let to = self.last.as_ref().map(|last| tenants.range::<String, _>(..=last));
        let mut wait = Duration::MAX;
        for (tenant, last) in
            tenants.range::<String, _>((from, Bound::Unbounded)).chain(to.into_iter().flatten())
        {
            if self.busy.contains_key(tenant) {
                continue;
            }
            match pause(tenant, *last) {
                None => return Ok(tenant.clone()),
                Some(delay) => wait = wait.min(delay),
            }
        }
        Err(wait)
    }

    /// A batch of this tenant begins.
    pub(super) fn begins(&mut self, tenant: &str, stopped: bool) {
        self.last = Some(tenant.to_owned());
        self.busy.insert(tenant.to_owned(), stopped);
        self.turn = Some((tenant.to_owned(), Instant::now() + TURN));
    }

    /// It has ended.
    pub(super) fn ended(&mut self, tenant: &str) {
        self.busy.remove(tenant);
        if self.turn.as_ref().is_some_and(|(whose, _)| whose == tenant) {
            self.turn = None;
        }
    }

    /// The projection had stopped at a tenant whose batch is on its way.
    pub(super) fn tries_stopped_ones(&self) -> bool {
        self.busy.values().any(|stopped| *stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(names: &[&str]) -> BTreeMap<String, i64> {
        names.iter().map(|name| ((*name).to_owned(), 1)).collect()
    }

    fn next(turns: &Turns, names: &[&str]) -> Option<String> {
        turns.next(&tenants(names), |_, _| None).ok()
    }

    #[test]
    fn all_have_their_turn_before_one_has_it_again() {
        let mut turns = Turns::new(4);
        let mut served = Vec::new();
        for round in 0..9 {
            // One that comes later is served within its first round.
            let names: &[&str] = if round < 3 { &["a", "c", "d"] } else { &["a", "b", "c", "d"] };
            let tenant = next(&turns, names).unwrap();
            turns.begins(&tenant, false);
            turns.ended(&tenant);
            served.push(tenant);
        }
        assert_eq!(served.concat(), "acdabcdab");
    }

    #[test]
    fn who_must_wait_is_passed_over_and_the_shortest_wait_is_told() {
        let turns = Turns::new(4);
        let pause = |tenant: &str, _| match tenant {
            "a" => Some(Duration::from_secs(5)),
            "b" => None,
            _ => Some(Duration::from_secs(3)),
        };
        assert_eq!(turns.next(&tenants(&["a", "b", "c"]), pause), Ok("b".to_owned()));
        assert_eq!(turns.next(&tenants(&["a", "c"]), pause), Err(Duration::from_secs(3)));
        assert_eq!(turns.next(&tenants(&[]), pause), Err(Duration::MAX));
    }

    #[test]
    fn one_batch_at_a_time_until_it_takes_long() {
        let mut turns = Turns::new(2);
        turns.begins("a", false);
        assert!(!turns.is_free());
        assert!(turns.passes_on().is_some_and(|at| at > Instant::now()));
        turns.turn = Some(("a".to_owned(), Instant::now()));
        assert!(turns.is_free());
        assert_eq!(next(&turns, &["a", "b"]).as_deref(), Some("b"), "one batch a tenant");
        turns.begins("b", true);
        // The first one ends, and the turn is still the second one's.
        turns.ended("a");
        assert!(!turns.is_free() && turns.tries_stopped_ones());
        turns.ended("b");
        assert!(turns.is_free() && !turns.tries_stopped_ones());
    }

    #[test]
    fn there_are_no_more_batches_than_lanes() {
        let mut turns = Turns::new(2);
        for tenant in ["a", "b"] {
            turns.begins(tenant, false);
            turns.turn = None;
        }
        assert!(!turns.is_free());
        assert_eq!(turns.passes_on(), None);
    }
}

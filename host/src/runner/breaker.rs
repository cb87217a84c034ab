//! Which async projections fail again and again in the most expensive way. Each failure alone is a
//! matter of its event; so many in a row are the plugin's, and trying on would only cost others theirs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::deliver::Delivery;
use crate::plugin::Active;
use crate::projection::{Failure, FailureKind};

/// Costly failures in a row, by projection, and under which activation.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    known: Mutex<HashMap<String, (i64, u32)>>,
}

impl Breaker {
    /// Notes how a delivery of so many events went. Answers why the projection is to stop, where
    /// `most` costly failures came with nothing good between them.
    pub(super) fn delivered(
        &self,
        active: &Active,
        events: usize,
        delivery: &Delivery,
        most: u32,
    ) -> Option<Failure> {
        let left = delivery.left.as_ref().map_or(0, |(left, _)| left.len());
        let well = events > delivery.failed.len() + delivery.behind.len() + left;
        let failures = delivery.failed.iter().map(|(_, failure)| failure);
        // Where nothing failed alone, the failure that ended the delivery is one.
        let ended = delivery.left.iter().map(|(_, failure)| failure);
        let ended = ended.filter(|_| delivery.failed.is_empty());
        let costly: Vec<&Failure> = failures.chain(ended).filter(|one| one.costly).collect();
        let name = &active.plugin.description.name;
        let count = self.count(name, active.generation, well, costly.len() as u32);
        let last = costly.last().filter(|_| count >= most)?;
        Some(Failure::new(FailureKind::Fatal, broken(count, &last.message)))
    }

    /// Whether the last that was delivered to a projection was stopped, and nothing has gone well since. Then
    /// the queue, whose transaction others share, hands it nothing: its retries do, at its own cost.
    pub(super) fn is_failing(&self, active: &Active) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let count = known.get(&active.plugin.description.name);
        count.is_some_and(|(generation, count)| *generation == active.generation && *count > 0)
    }

    fn count(&self, name: &str, generation: i64, well: bool, costly: u32) -> u32 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match known.get(name) {
            Some((of, count)) if *of == generation && !well => *count,
            _ => 0,
        };
        let count = if well { 0 } else { before.saturating_add(costly) };
        known.insert(name.to_owned(), (generation, count));
        count
    }
}

/// What is said of a projection that stops so.
pub(super) fn broken(failures: u32, last: &str) -> String {
    format!(
        "{failures} times in a row the plugin was stopped (a trap, its time, or a limit); the last \
         time: {last}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_in_a_row_of_one_activation_add_up() {
        let breaker = Breaker::default();
        assert_eq!(breaker.count("board", 1, false, 2), 2);
        assert_eq!(breaker.count("owners", 1, false, 1), 1);
        assert_eq!(
            breaker.count("board", 1, false, 0),
            2,
            "others' locks are neither good nor bad"
        );
        assert_eq!(breaker.count("board", 1, false, 3), 5);
        assert_eq!(breaker.count("board", 2, false, 1), 1, "it was resumed, or is another version");
        assert_eq!(breaker.count("board", 2, true, 4), 0);
        assert_eq!(breaker.count("board", 2, false, 1), 1);
    }
}

//! The deliveries to which projections were in each other's way of late. Workers that write to the same few
//! rows in different orders lock each other out, and the server takes a second to notice. So a delivery waits
//! for a lock a moment only (`deliver.rs`) and gives way; where that has happened, one delivery at a time is as
//! fast as it gets.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::db::Tx;
use crate::store;

/// How long deliveries take turns after they first met; each further time doubles it.
const FIRST: Duration = Duration::from_secs(10);
/// The most: to find out whether they still meet costs them some ten milliseconds.
const LAST: Duration = Duration::from_secs(300);

/// Workers of a host that are at work where one delivery at a time is all that goes: one has its turn, one gets
/// ready. A worker that waits has a transaction with claims already, and for each of those the server keeps the past
/// versions of all rows; those of the few rows that all write to are walked through at each write.
const LANE: usize = 2;

/// What this host knows of it.
#[derive(Debug)]
pub(super) struct Contention {
    known: Mutex<HashMap<String, Met>>,
    lane: Semaphore,
}

impl Default for Contention {
    fn default() -> Self {
        Self { known: Mutex::default(), lane: Semaphore::new(LANE) }
    }
}

#[derive(Debug, Clone, Copy)]
struct Met {
    until: Instant,
    time: Duration,
}

impl Contention {
    /// A delivery to this projection gave way to another one: from now on they take turns.
    pub(super) fn met(&self, projection: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let time = match known.get(projection) {
            // The deliveries that were on their way together.
            Some(met) if now < met.until => met.time,
            Some(met) => (met.time * 2).min(LAST),
            None => FIRST,
        };
        known.insert(projection.to_owned(), Met { until: now + time, time });
        drop(known);
        tracing::info!(
            projection,
            ?time,
            "its deliveries wait for each other's locks; they take turns for a while"
        );
    }

    /// Waits until one more worker that delivers to these projections and no others can be of use: where all of them
    /// take turns, it is one of [`LANE`]. To be asked before its transaction begins, and held until that has ended.
    pub(super) async fn lane(&self, projections: &[&str]) -> Option<SemaphorePermit<'_>> {
        let all = projections.iter().all(|projection| self.takes_turns(projection));
        if projections.is_empty() || !all {
            return None;
        }
        self.lane.acquire().await.ok()
    }

    /// Waits for the turn of this delivery, where deliveries to the projection take turns. Answers whether
    /// they do.
    pub(super) async fn turn(&self, tx: &mut Tx, projection: &str) -> sqlx::Result<bool> {
        let turns = self.takes_turns(projection);
        if turns {
            store::await_turn(tx.conn(), projection).await?;
        }
        Ok(turns)
    }

    fn takes_turns(&self, projection: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(projection).is_some_and(|met| Instant::now() < met.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_end_after_a_while_and_last_longer_the_next_time() {
        let contention = Contention::default();
        assert!(!contention.takes_turns("carriers"));
        contention.met("carriers");
        contention.met("carriers");
        assert!(contention.takes_turns("carriers") && !contention.takes_turns("board"));
        tokio::time::advance(FIRST).await;
        assert!(!contention.takes_turns("carriers"));
        contention.met("carriers");
        tokio::time::advance(FIRST).await;
        assert!(contention.takes_turns("carriers"));
        tokio::time::advance(FIRST).await;
        assert!(!contention.takes_turns("carriers"));
    }

    #[tokio::test(start_paused = true)]
    async fn two_workers_are_let_in_where_all_that_they_deliver_to_take_turns() {
        let contention = Contention::default();
        contention.met("carriers");
        let lane = |projections| contention.lane(projections);
        let (one, two) = (lane(&["carriers"]).await, lane(&["carriers"]).await);
        assert!(one.is_some() && two.is_some());
        let mut third = Box::pin(lane(&["carriers"]));
        assert!(futures::poll!(&mut third).is_pending());
        // One that has another projection to deliver to has something to do meanwhile.
        assert!(lane(&["board", "carriers"]).await.is_none());
        assert!(lane(&[]).await.is_none());
        drop(one);
        assert!(third.await.is_some());
        tokio::time::advance(FIRST).await;
        assert!(lane(&["carriers"]).await.is_none());
    }
}

//! The deliveries to which projections were in each other's way of late. Workers that write to the same few
//! rows in different orders lock each other out, and the server takes a second to notice. So a delivery waits
//! for a lock a moment only (`deliver.rs`) and gives way; where that has happened, one delivery at a time is as
//! fast as it gets.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::db::Tx;
use crate::store;

/// How long deliveries take turns after they first met; each further time doubles it.
const FIRST: Duration = Duration::from_secs(10);
/// The most.
const LAST: Duration = Duration::from_secs(3600);

/// What this host knows of it.
#[derive(Debug, Default)]
pub(super) struct Contention {
    known: Mutex<HashMap<String, Met>>,
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
}

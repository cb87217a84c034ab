//! The safe head: the greatest position at or below which nothing can still appear.
//!
//! Positions come from a sequence, so position 7 can become visible after 8. Positions without a
//! hole are safe at once. At a hole, exactly those transactions can still fill it that hold the
//! lock under which rows are inserted into the log, now: the lock is taken before the sequence is
//! read, and given back after the commit is visible. When all of them have ended, everything up to
//! the greatest position that was visible before they were listed has either appeared or never
//! will. Any writer is covered, and appends pay nothing.
//!
//! A sequence that caches values for a session would break this; `bigserial` caches none.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use sqlx::PgPool;

/// Events that one look takes in.
const SCAN: i64 = 10_000;
/// Most holes are commits on their way: they close before the locks need to be looked at.
const PATIENCE: Duration = Duration::from_millis(3);

/// Follows the safe head of one database.
#[derive(Debug, Default)]
pub struct SafeHead {
    position: i64,
    hole: Option<Hole>,
}

/// A hole that stops the head.
#[derive(Debug)]
struct Hole {
    since: Instant,
    /// Known once the hole has outlived the patience.
    waiting: Option<Waiting>,
}

/// The transactions that can still fill holes.
#[derive(Debug)]
struct Waiting {
    /// When all of them have ended, everything up to here is settled.
    settles: i64,
    /// Their virtual transaction ids, which are never used again while the server runs.
    writers: HashSet<String>,
}

impl Waiting {
    /// Takes in which transactions hold the lock now.
    fn seen(&mut self, now: &HashSet<String>) {
        let before = self.writers.len();
        self.writers.retain(|writer| now.contains(writer));
        if self.writers.len() < before {
            // One that was prepared for a two-phase commit has not ended: it goes on under
            // another id, which does not tell which one it was.
            self.writers.extend(now.iter().filter(|id| id.starts_with(PREPARED)).cloned());
        }
    }
}

/// How the virtual id of a prepared transaction begins.
const PREPARED: &str = "-1/";

/// What a look at the log has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The head is at the end of the log.
    AtEnd,
    /// There is more: look again at once.
    More,
    /// The log ends before what was read of it: the head begins anew.
    Shorter,
    /// A hole stops the head: look again after this time.
    AtHole(Duration),
}

impl SafeHead {
    /// Begins at a position that is known to be safe; 0 is always.
    pub fn from(position: i64) -> Self {
        Self { position, hole: None }
    }

    /// The safe head as of the last look.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Since when a hole has stopped the head, and how many transactions it waits for.
    pub fn stopped(&self) -> Option<(Duration, usize)> {
        let hole = self.hole.as_ref()?;
        let writers = hole.waiting.as_ref().map_or(0, |waiting| waiting.writers.len());
        Some((hole.since.elapsed(), writers))
    }

    /// Looks at the log and moves the head as far as it is safe.
    pub async fn look(&mut self, pool: &PgPool) -> sqlx::Result<Look> {
        if let Some(Hole { waiting: Some(waiting), .. }) = &mut self.hole {
            // No other transaction can fill a hole below `settles`.
            let now = writers(pool).await?;
            waiting.seen(&now);
            if waiting.writers.is_empty() {
                self.position = self.position.max(waiting.settles);
                self.hole = None;
            }
        }
        let run = sqlx::query_file!("src/store/sql/safe_head_scan.sql", self.position, SCAN)
            .fetch_one(pool)
            .await?;
        if run.visible < self.position {
            // The log is shorter than it was: a standby that lagged was promoted, or a backup was
            // restored. Positions will be given again.
            *self = Self::default();
            return Ok(Look::Shorter);
        }
        let (Some(first), Some(last)) = (run.first, run.last) else {
            self.hole = None;
            return Ok(Look::AtEnd);
        };
        if first == self.position + 1 {
            self.position = last;
            if last == run.visible {
                self.hole = None;
                return Ok(Look::AtEnd);
            }
            // A hole further on is another one than that which stopped the head before; but what
            // was waited for then covers it as far as `settles`.
            return Ok(Look::More);
        }
        let hole = self.hole.get_or_insert_with(|| Hole { since: Instant::now(), waiting: None });
        if hole.waiting.is_none() {
            let age = hole.since.elapsed();
            if age < PATIENCE {
                return Ok(Look::AtHole(PATIENCE - age));
            }
            // `visible` was read before the locks: whoever took a smaller position and has not
            // shown it holds its lock now, or has ended in between.
            let writers = writers(pool).await?;
            let settled = writers.is_empty();
            hole.waiting = Some(Waiting { settles: run.visible, writers });
            if settled {
                return Ok(Look::More);
            }
        }
        Ok(Look::AtHole(wait(hole.since.elapsed())))
    }
}

/// Short at first, for commits that are on their way; longer for transactions that take long.
fn wait(age: Duration) -> Duration {
    (age / 4).clamp(Duration::from_millis(2), Duration::from_millis(100))
}

async fn writers(pool: &PgPool) -> sqlx::Result<HashSet<String>> {
    let rows = sqlx::query_file!("src/store/sql/safe_head_writers.sql").fetch_all(pool).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> HashSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn waits_for_exactly_the_writers_that_were_there() {
        let mut waiting = Waiting { settles: 8, writers: ids(&["3/1", "4/1"]) };
        waiting.seen(&ids(&["3/1", "4/1", "5/1"]));
        waiting.seen(&ids(&["4/1", "5/1", "3/2"]));
        assert_eq!(waiting.writers, ids(&["4/1"]));
        waiting.seen(&ids(&["5/1"]));
        assert!(waiting.writers.is_empty());
    }

    #[test]
    fn a_writer_that_prepares_its_transaction_is_still_waited_for() {
        let mut waiting = Waiting { settles: 8, writers: ids(&["3/1"]) };
        waiting.seen(&ids(&["-1/734"]));
        assert_eq!(waiting.writers, ids(&["-1/734"]));
        waiting.seen(&ids(&["-1/735"]));
        waiting.seen(&ids(&[]));
        assert!(waiting.writers.is_empty());
    }
}

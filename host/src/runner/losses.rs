//! What a host makes of connections that it loses. Behind one there can be a crash of the server, which takes back what
//! was committed and not yet flushed: `Tx::commit_flushed`. Then nothing holds that was remembered of it; and work that
//! makes the server crash must not be forgotten by the same crash, or it would never be found out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// So long after a loss every commit waits for the disk.
const CAREFUL: Duration = Duration::from_secs(60);

/// The connections that a host has lost.
#[derive(Debug, Default)]
pub(super) struct Losses {
    count: watch::Sender<u64>,
    last: Mutex<Option<Instant>>,
}

impl Losses {
    /// Notes one.
    pub(super) fn met(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.count.send_modify(|n| *n += 1);
    }

    /// Whether commits are to wait for the disk, whatever the settings say.
    pub(super) fn are_recent(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < CAREFUL)
    }

    /// Changes with each: what is known of the database may not hold any more.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loss_is_told_and_makes_careful_for_a_while() {
        let losses = Losses::default();
        let mut changes = losses.changes();
        assert!(!losses.are_recent() && !changes.has_changed().unwrap());
        losses.met();
        assert!(losses.are_recent() && changes.has_changed().unwrap());
        changes.mark_unchanged();
        tokio::time::advance(CAREFUL).await;
        assert!(!losses.are_recent() && !changes.has_changed().unwrap());
    }
}

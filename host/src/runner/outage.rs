//! What is said of a database that is away: that it is, now and then that it still is, and that it is
//! back.

use std::time::{Duration, Instant};

use crate::store::StoreError;

/// Between the first two lines; doubled each time, up to [`LAST`].
const FIRST: Duration = Duration::from_secs(10);
const LAST: Duration = Duration::from_secs(600);

/// Whether the database answers, as one task of a host sees it.
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Instant>,
    /// When to say it again, and the pause after that.
    next: Option<(Instant, Duration)>,
}

impl Outage {
    /// It did not answer.
    pub(super) fn failed(&mut self, error: &StoreError) {
        let (now, error) = (Instant::now(), error.to_string());
        if let Some(since) = self.due(now) {
            match now - since {
                Duration::ZERO => {
                    tracing::warn!(error, "cannot read the end of the log; it is tried again");
                }
                away => tracing::warn!(error, ?away, "still cannot read the end of the log"),
            }
        } else {
            tracing::debug!(error, "cannot read the end of the log");
        }
    }

    /// It answered.
    pub(super) fn answered(&mut self) {
        if let Some(since) = std::mem::take(self).since {
            tracing::info!(away = ?since.elapsed(), "the database is back");
        }
    }

    /// Since when it has been away, where that is to be said now.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        let since = *self.since.get_or_insert(now);
        let (at, pause) = self.next.unwrap_or((now, FIRST));
        if now < at {
            return None;
        }
        self.next = Some((now + pause, (pause * 2).min(LAST)));
        Some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_of_at_growing_intervals() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let told: Vec<u64> = (0..2000)
            .filter(|second| outage.due(start + Duration::from_secs(*second)).is_some())
            .collect();
        assert_eq!(told, [0, 10, 30, 70, 150, 310, 630, 1230, 1830]);
        // The next one begins anew.
        outage.answered();
        assert!(outage.due(start + Duration::from_secs(2001)).is_some());
    }
}

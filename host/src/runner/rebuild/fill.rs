//! Filling the shadow: each part of the log by itself, a batch a transaction, in which the part's
//! position moves, too. So an event is handled once, whenever the process ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::live::Live;
use super::{RebuildError, RebuildProgress, Target};
use crate::backoff::Backoff;
use crate::db::Tx;
use crate::event::{Event, StreamId};
use crate::projection::{Failure, FailureKind};
use crate::runner::topics::with_topic;
use crate::store::rebuild::{self, Shard};

/// Positions that one batch looks through, so that it ends in time where events are rare.
const WINDOW: i64 = 100_000;
/// Passed events that are looked at together.
const LOOK: i64 = 2_000;
/// Attempts at a batch that fails for reasons which can pass.
const ATTEMPTS: u32 = 8;
/// The delay between them.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(5) };

/// One part of a rebuild at work.
pub(super) struct Filler {
    pub target: Arc<Target>,
    pub shard: Shard,
    pub progress: watch::Sender<RebuildProgress>,
    pub stop: CancellationToken,
}

/// What to go on with after a batch.
enum Step {
    /// So many events were handled, and there is more.
    More(i64),
    /// So many, and that was all.
    Done(i64),
    /// The batch failed.
    Failed(usize, Box<Event>, Failure),
}

impl Filler {
    /// Makes up for passed events that the live tables have by now, and goes on to where they are.
    /// Answers how many events were handled.
    pub(super) async fn pass(&self, live: &Live) -> Result<i64, RebuildError> {
        let made_up = self.make_up(live).await?;
        Ok(made_up + self.advance(live).await?)
    }

    /// Handles the passed events that the live tables have by now.
    async fn make_up(&self, live: &Live) -> Result<i64, RebuildError> {
        let (pool, mut after, mut handled) = (&self.target.pool, 0, 0);
        loop {
            let passed = rebuild::open_events(pool, &self.shard, after, LOOK).await?;
            let Some(last) = passed.last() else { return Ok(handled) };
            after = last.position;
            let mut ready: Vec<i64> = passed
                .iter()
                .filter(|event| live.has_passed(&event.tenant, &event.id, event.position))
                .map(|event| event.position)
                .collect();
            let open = self.target.still_open(&self.target.pool, &ready).await?;
            ready.retain(|position| !open.contains(position));
            let mut tries = Tries::new(self.target.batch);
            let mut from = 0;
            while from < ready.len() {
                let to = ready.len().min(from + tries.limit());
                let (count, step) = self.make_up_batch(&ready[from..to]).await?;
                match step {
                    Step::More(events) | Step::Done(events) => {
                        handled += events;
                        from += count;
                        tries.passed();
                    }
                    Step::Failed(events, event, failure) => {
                        self.after_failure(&mut tries, events, &event, failure).await?;
                    }
                }
            }
        }
    }

    /// Handles passed events at these positions. Answers at how many of them.
    async fn make_up_batch(&self, positions: &[i64]) -> Result<(usize, Step), RebuildError> {
        let mut tx = self.begin().await?;
        let at = rebuild::lock_shard(tx.conn(), &self.shard).await?.ok_or(RebuildError::Gone)?;
        let page = rebuild::events_at(&mut *tx.conn(), positions).await?;
        let mut done = positions;
        if let (true, Some(last)) = (page.full, page.events.last()) {
            done = &positions[..positions.partition_point(|position| *position <= last.position)];
        }
        let (wanted, _) = self.sort_out(page.events, |_| true);
        let events = wanted.len() as i64;
        let mut tx = match self.target.handle(tx, &wanted).await? {
            Ok(tx) => tx,
            Err((event, failure)) => {
                return Ok((0, Step::Failed(wanted.len(), event, failure)));
            }
        };
        rebuild::made_up(tx.conn(), &self.shard, done).await?;
        rebuild::save_shard(tx.conn(), &self.shard, at, events).await?;
        tx.commit().await?;
        self.report(at, events);
        Ok((done.len(), Step::More(events)))
    }

    /// Goes on to where the live tables are.
    async fn advance(&self, live: &Live) -> Result<i64, RebuildError> {
        let mut tries = Tries::new(self.target.batch);
        let mut handled = 0;
        loop {
            if self.stop.is_cancelled() {
                return Err(RebuildError::Stopped);
            }
            match self.advance_batch(live, tries.limit() as i64).await? {
                Step::More(events) => {
                    handled += events;
                    tries.passed();
                }
                Step::Done(events) => return Ok(handled + events),
                Step::Failed(events, event, failure) => {
                    self.after_failure(&mut tries, events, &event, failure).await?;
                }
            }
        }
    }

    async fn advance_batch(&self, live: &Live, limit: i64) -> Result<Step, RebuildError> {
        let mut tx = self.begin().await?;
        let at = rebuild::lock_shard(tx.conn(), &self.shard).await?.ok_or(RebuildError::Gone)?;
        if at >= live.bound {
            tx.rollback().await?;
            return Ok(Step::Done(0));
        }
        let until = live.bound.min(at.saturating_add(WINDOW));
        let types = &self.target.types;
        let page = rebuild::page(&mut *tx.conn(), &self.shard, at, until, types, limit).await?;
        let upto = page.events.last().filter(|_| page.full).map_or(until, |last| last.position);
        let positions: Vec<i64> = page.events.iter().map(|event| event.position).collect();
        // After the events: what is not open then was handled by then.
        let open = self.target.still_open(&mut *tx.conn(), &positions).await?;
        let keeps_order = self.target.filler.settings.stream_order;
        let blocked = if keeps_order && !positions.is_empty() {
            let events: Vec<&Event> = page.events.iter().collect();
            rebuild::blocked_streams(tx.conn(), &self.shard.projection, &events).await?
        } else {
            Vec::new()
        };
        let mut held_up: Vec<StreamId> = Vec::new();
        let (wanted, passed) = self.sort_out(page.events, |event| {
            let handled = live.has_passed(&event.stream.tenant, &event.stream.id, event.position)
                && !open.contains(&event.position)
                && !blocked.contains(&event.position)
                && !held_up.contains(&event.stream);
            if !handled && keeps_order {
                held_up.push(event.stream.clone());
            }
            handled
        });
        let events = wanted.len() as i64;
        let mut tx = match self.target.handle(tx, &wanted).await? {
            Ok(tx) => tx,
            Err((event, failure)) => return Ok(Step::Failed(wanted.len(), event, failure)),
        };
        rebuild::note_open(tx.conn(), &self.shard, &passed.iter().collect::<Vec<_>>()).await?;
        rebuild::save_shard(tx.conn(), &self.shard, upto, events).await?;
        let more = upto < live.bound;
        // What a crash of the server takes back is filled again, where that is not the end of it.
        tx.commit_flushed(!more).await?;
        self.report(upto, events);
        Ok(if more { Step::More(events) } else { Step::Done(events) })
    }

    /// Of the events that concern the rebuild: those for the shadow that the projection has handled, and those
    /// that it has not.
    fn sort_out(
        &self,
        events: Vec<Event>,
        mut handled: impl FnMut(&Event) -> bool,
    ) -> (Vec<Event>, Vec<Event>) {
        let (mut yes, mut no) = (Vec::new(), Vec::new());
        for event in events {
            let event = with_topic(event, &self.target.topics);
            if !self.target.concerns(&event) {
                continue;
            }
            if !handled(&event) {
                no.push(event);
            } else if event.dismissed_at.is_none() && self.target.lacks(&event) {
                yes.push(event);
            }
        }
        (yes, no)
    }

    async fn begin(&self) -> Result<Tx, RebuildError> {
        let time = self.target.filler.plugin.limits().batch.max(Duration::from_secs(60));
        Ok(Tx::begin(&self.target.pool, time).await?)
    }

    /// Makes the batch smaller, or waits; or gives up.
    async fn after_failure(
        &self,
        tries: &mut Tries,
        events: usize,
        event: &Event,
        failure: Failure,
    ) -> Result<(), RebuildError> {
        match tries.failed(events, &failure) {
            After::Smaller => Ok(()),
            After::Later(delay) => {
                tracing::debug!(
                    projection = self.shard.projection,
                    ?delay,
                    error = failure.message,
                    "a batch of the rebuild is tried again"
                );
                tokio::select! {
                    () = self.stop.cancelled() => Err(RebuildError::Stopped),
                    () = tokio::time::sleep(delay) => Ok(()),
                }
            }
            After::GiveUp if failure.kind == FailureKind::Fatal => {
                Err(RebuildError::Plugin(failure.message))
            }
            After::GiveUp => Err(RebuildError::Event {
                position: event.position,
                event: format!(
                    "{} at version {} of {}",
                    event.event_type, event.version, event.stream
                ),
                message: failure.message,
            }),
        }
    }

    fn report(&self, position: i64, events: i64) {
        self.progress.send_modify(|progress| {
            progress.events += events;
            if let Some(at) = usize::try_from(self.shard.number)
                .ok()
                .and_then(|number| progress.positions.get_mut(number))
            {
                *at = position;
            }
        });
    }
}

/// How large batches are, and how often one was tried: a value, without a database.
struct Tries {
    most: usize,
    limit: usize,
    failures: u32,
}

/// How to go on after a batch that failed.
#[derive(Debug, PartialEq, Eq)]
enum After {
    Smaller,
    Later(Duration),
    GiveUp,
}

impl Tries {
    fn new(most: i64) -> Self {
        let most = usize::try_from(most).unwrap_or(1).max(1);
        Self { most, limit: most, failures: 0 }
    }

    fn limit(&self) -> usize {
        self.limit
    }

    fn passed(&mut self) {
        self.failures = 0;
        self.limit = self.limit.saturating_mul(2).min(self.most);
    }

    /// A batch failed in which there were so many events for the plugin.
    fn failed(&mut self, events: usize, failure: &Failure) -> After {
        // Behind a lost connection can be a crash, and what the live tables were seen to hold may be gone with it. The
        // rebuild goes on from the beginning of a pass when it is asked for again.
        if failure.kind == FailureKind::Fatal || failure.connection_lost {
            return After::GiveUp;
        }
        if failure.kind == FailureKind::Poison {
            // To name the event that is to blame, it must be alone; until then those before it are
            // kept.
            if events <= 1 {
                return After::GiveUp;
            }
            self.limit = failure.index.unwrap_or(self.limit / 2).max(1);
            return After::Smaller;
        }
        self.failures += 1;
        if self.failures >= ATTEMPTS {
            return After::GiveUp;
        }
        if self.failures > 1 {
            self.limit = (self.limit / 2).max(1);
        }
        After::Later(BACKOFF.delay(self.failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_event_is_alone_before_the_rebuild_fails_of_it() {
        let mut tries = Tries::new(500);
        let poison = Failure::new(FailureKind::Poison, "no");
        let mut failed = 0;
        while tries.failed(tries.limit(), &poison) == After::Smaller {
            failed += 1;
            assert!(failed < 12, "it ends");
        }
        assert_eq!(tries.limit(), 1);
    }

    #[test]
    fn locks_and_races_are_tried_again_and_not_for_ever() {
        let mut tries = Tries::new(500);
        let retry = Failure::new(FailureKind::Retry, "deadlock");
        let later = (0..100).take_while(|_| tries.failed(9, &retry) != After::GiveUp).count();
        assert_eq!(later, ATTEMPTS as usize - 1);
        tries.passed();
        assert!(matches!(tries.failed(9, &retry), After::Later(_)));
    }
}

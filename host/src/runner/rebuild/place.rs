//! The end of a rebuild: the writers are held off for a moment, the rest is made up for, and the tables
//! change places, in one transaction.

use std::time::{Duration, Instant};

use super::live::Live;
use super::{BRIEFLY, RebuildError, Successor, Work, also, wants};
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{self, Outcome, ProjectionSettings};
use crate::projection::Mode;
use crate::runner::topics::with_topic;
use crate::store::SafeHead;
use crate::store::rebuild::{self, Rebuild, Shard};

/// For the host's own statements, once nobody is in the way.
const STATEMENT: Duration = Duration::from_secs(60);
/// Events in one batch of the last ones.
const BATCH: i64 = 500;

/// Whether the tables have taken their place.
pub(super) enum Place {
    /// They have; the writers were held off so long.
    Taken(Duration),
    /// Somebody was in the way, and nothing has changed.
    Blocked(&'static str),
}

impl Work<'_> {
    /// Puts the rebuilt tables into the place of the live ones, unless somebody is in the way for longer
    /// than `patience`.
    pub(super) async fn place(
        &self,
        head: &mut SafeHead,
        patience: Duration,
    ) -> Result<Place, RebuildError> {
        let (target, name) = (&self.target, self.name());
        let mut tx = Tx::begin(&target.pool, patience).await?;
        self.hold(&mut tx).await?;
        let held = Instant::now();
        let live = Live::hold(&mut tx, &target.pool, &target.filler, head).await?;
        tx.statement_timeout(STATEMENT).await?;
        if target.filler.plugin.description.mode == Mode::CatchUp {
            let reached = live.bound.max(self.rebuild.starts_after);
            let shards = rebuild::shards(&target.pool, name).await?;
            if shards.iter().any(|shard| shard.position > reached) {
                tx.rollback().await?;
                rebuild::forget(&target.pool, name).await?;
                return Err(RebuildError::Changed("the projection went back in the log"));
            }
        }
        // In transactions of their own: what they do is right, whether or not this one commits.
        self.pass(&live).await?;
        let mut beyond = Vec::new();
        if target.filler.plugin.description.mode == Mode::Async {
            (tx, beyond) = self.beyond(tx, live.bound).await?;
        }
        if !live.keep(&mut tx, &target.filler).await? {
            tx.rollback().await?;
            return Ok(Place::Blocked("a tenant that has just begun"));
        }
        tx.statement_timeout(STATEMENT).await?;
        let sandbox = self.registry.sandbox();
        sandbox.replace(tx.conn(), name, &self.live_made, self.keep_old, BRIEFLY).await?;
        if self.keep_old {
            rebuild::forget_kept(&mut *tx.conn(), name).await?;
        }
        match self.successor {
            Some(Successor { plugin, bytes, outcome, .. }) => {
                if self.keep_old {
                    rebuild::keep(tx.conn(), name, &self.live, live.bound, &beyond).await?;
                }
                let report = self.trial.as_ref().and_then(|trial| serde_json::to_value(trial).ok());
                let tried = self.trial.as_ref().map_or(0, |trial| trial.tried);
                let outcome = Outcome { tried, trial: report.as_ref(), ..*outcome };
                let activated =
                    self.registry.activate_in(tx.conn(), plugin, bytes, &outcome, None).await;
                activated.map_err(|error| RebuildError::Activate(format!("{error:#}")))?;
                self.registry.remember(plugin);
            }
            None => {
                plugin::renew(&mut *tx.conn(), name).await?;
            }
        }
        if target.filler.plugin.description.mode == Mode::CatchUp {
            let Rebuild { version, starts_after, .. } = &self.rebuild;
            rebuild::note_ranges(tx.conn(), name, version, *starts_after).await?;
        }
        rebuild::forget(&mut *tx.conn(), name).await?;
        tx.commit().await?;
        Ok(Place::Taken(held.elapsed()))
    }

    /// Keeps the projection as it is, and refuses when it is not what it was at the beginning.
    async fn hold(&self, tx: &mut Tx) -> Result<(), RebuildError> {
        let held = rebuild::hold(tx.conn(), self.name(), self.rebuild.id).await?;
        let held = held.ok_or(RebuildError::Gone)?;
        if held.version != self.live {
            return Err(RebuildError::Changed("another version became active"));
        }
        let filler = &self.target.filler;
        let topics = held.topics.and_then(|topics| serde_json::from_value(topics).ok());
        let settings = ProjectionSettings {
            topics,
            starts_after: held.starts_after,
            ..filler.settings.clone()
        };
        let also = also(self.target.kept.as_deref());
        if wants(&filler.plugin.description.mode, &settings, &self.target.topics, &also)
            != self.rebuild.wants
        {
            return Err(RebuildError::Changed("other topics were decided for the projection"));
        }
        Ok(())
    }

    /// Handles the events beyond the safe head that were delivered already, in this very transaction: what
    /// is still to appear between them must not be passed, should it not commit. Answers those that the
    /// tables hold that are kept.
    async fn beyond(&self, mut tx: Tx, mut after: i64) -> Result<(Tx, Vec<i64>), RebuildError> {
        let target = &self.target;
        let shard = Shard {
            projection: self.name().to_owned(),
            rebuild: self.rebuild.id,
            number: 0,
            of: 1,
        };
        let mut held = Vec::new();
        loop {
            let page =
                rebuild::page(&mut *tx.conn(), &shard, after, i64::MAX, &target.types, BATCH)
                    .await?;
            let Some(last) = page.events.last() else { return Ok((tx, held)) };
            after = last.position;
            let positions: Vec<i64> = page.events.iter().map(|event| event.position).collect();
            let open = target.still_open(&mut *tx.conn(), &positions).await?;
            let delivered: Vec<Event> = page
                .events
                .into_iter()
                .filter(|event| event.dismissed_at.is_none() && !open.contains(&event.position))
                .map(|event| with_topic(event, &target.topics))
                .collect();
            if let Some(kept) = &target.kept {
                let by_it = delivered.iter().filter(|event| kept.wants(event));
                held.extend(by_it.map(|event| event.position));
            }
            let events: Vec<Event> =
                delivered.into_iter().filter(|event| target.lacks(event)).collect();
            let count = events.len() as i64;
            tx = target.handle(tx, &events).await?.map_err(|(event, failure)| {
                RebuildError::Event {
                    position: event.position,
                    event: format!("{} of {}", event.event_type, event.stream),
                    message: failure.message,
                }
            })?;
            self.progress.send_modify(|progress| progress.events += count);
            if !page.full {
                return Ok((tx, held));
            }
        }
    }
}

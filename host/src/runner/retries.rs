//! Second and later attempts at events that an async projection could not handle, and their end as
//! dead letters.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::AsyncConfig;
use super::deliver::{Bounds, Interrupted, cause, deliver};
use super::head::{Hints, RECONNECT};
use super::outbox::{log_failure, stop};
use super::supervisor::unless_stopped;
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Active, Registered, Registry};
use crate::projection::{Failure, FailureKind};
use crate::store::{self, EventStore, Retry};

/// Retries in one transaction.
const BATCH: i64 = 100;
/// Due rows that another host is working on: look again after this time.
const BUSY: Duration = Duration::from_millis(50);
/// Connections lost in a row under one event alone before that counts as its failed attempt.
const LOSSES: u32 = 5;
/// The host's own statements in this transaction.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// Without a hint, retries that another host or `dlq requeue` added are found after this time.
const LOOK: Duration = Duration::from_secs(1);

/// Retries the events of one async projection until cancelled.
pub(super) struct Retries {
    pub name: String,
    pub store: EventStore,
    pub registry: Arc<Registry>,
    pub hints: watch::Receiver<Hints>,
    pub added: watch::Receiver<u64>,
    pub config: AsyncConfig,
    pub stop: CancellationToken,
}

impl Retries {
    pub(super) async fn run(mut self) {
        let mut changes = self.registry.changes();
        let mut interrupted = 0;
        let mut batch = BATCH;
        while !self.stop.is_cancelled() {
            let wait = match self.step(interrupted, &mut batch).await {
                Ok(wait) => {
                    interrupted = 0;
                    wait
                }
                Err(why) => {
                    interrupted += 1;
                    // One at a time, until it is known which one is to blame.
                    batch = 1;
                    let delay = RECONNECT.delay(interrupted);
                    tracing::warn!(
                        projection = self.name,
                        ?delay,
                        ?why,
                        "retries were interrupted; they are tried again"
                    );
                    delay
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = self.added.changed(), if interrupted == 0 => {}
                _ = self.hints.changed(), if interrupted == 0 => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Handles what is due. Answers how long to wait for more.
    async fn step(&self, interrupted: u32, batch: &mut i64) -> Result<Duration, Interrupted> {
        let snapshot = self.registry.snapshot();
        let runs = snapshot.registered.get(&self.name).is_some_and(Registered::runs);
        let Some(active) = snapshot.current(&self.name).filter(|_| runs) else {
            return Ok(LOOK);
        };
        let next = store::next_retry(self.store.pool(), &self.name);
        match unless_stopped(&self.stop, next).await? {
            None => return Ok(LOOK),
            Some(wait) if !wait.is_zero() => return Ok(wait.min(LOOK)),
            Some(_) => {}
        }
        let begin = Tx::begin(self.store.pool(), STATEMENT_TIMEOUT);
        let mut tx = unless_stopped(&self.stop, begin).await?;
        let claimed =
            store::claim_retries(tx.conn(), &self.name, *batch, active.generation).await?;
        if claimed.is_empty() {
            tx.commit().await?;
            return Ok(BUSY);
        }
        if let ([only], true) = (claimed.as_slice(), interrupted >= LOSSES) {
            let message = "the connection was lost each time that this event was handled";
            let failure = Failure::new(FailureKind::Poison, message);
            self.failed(&mut tx, active, only, &failure).await?;
            tx.commit().await?;
            return Ok(Duration::ZERO);
        }
        let wanted: Vec<&Retry> = claimed
            .iter()
            .filter(|retry| retry.event.dismissed_at.is_none())
            .filter(|retry| active.wants(&retry.event))
            .collect();
        let events: Vec<Event> = wanted.iter().map(|retry| retry.event.clone()).collect();
        let time = active.plugin.limits().batch;
        let bounds = Bounds { give_way: interrupted < 2, time, stop: &self.stop };
        let delivery = match deliver(tx, active, &events, &bounds).await {
            Ok(delivery) => delivery,
            Err((tx, why)) => {
                if let Some(tx) = tx {
                    tx.rollback().await?;
                }
                return Err(why);
            }
        };
        let mut tx = delivery.tx;
        let mut open: Vec<i64> = Vec::new();
        for (index, failure) in &delivery.failed {
            open.push(events[*index].position);
            self.failed(&mut tx, active, wanted[*index], failure).await?;
        }
        let mut fatal = None;
        match delivery.left {
            Some((left, failure)) => {
                open.extend(left.iter().map(|index| events[*index].position));
                *batch = 1;
                fatal = (failure.kind == FailureKind::Fatal).then_some(failure);
            }
            None => *batch = (*batch * 2).min(BATCH),
        }
        let done: Vec<i64> = claimed
            .iter()
            .map(|retry| retry.event.position)
            .filter(|position| !open.contains(position))
            .collect();
        store::retry_done(tx.conn(), &self.name, &done).await?;
        tx.commit().await?;
        if let Some(failure) = fatal {
            stop(&self.registry, active, &failure).await;
        }
        Ok(Duration::ZERO)
    }

    async fn failed(
        &self,
        tx: &mut Tx,
        active: &Active,
        retry: &Retry,
        failure: &Failure,
    ) -> Result<(), sqlx::Error> {
        let attempts = retry.attempts + 1;
        let (name, position) = (&self.name, retry.event.position);
        let version = &active.plugin.version.full();
        log_failure(active, &retry.event, attempts, failure);
        let allowed = match failure.kind {
            FailureKind::Retry => self.config.max_retries,
            FailureKind::Poison | FailureKind::Fatal => self.config.max_attempts,
        };
        if attempts < allowed {
            let delay = self.config.backoff.delay(attempts.unsigned_abs());
            store::retry_later(
                tx.conn(),
                name,
                position,
                attempts,
                delay,
                &failure.message,
                version,
            )
            .await
        } else {
            tracing::error!(
                projection = name,
                position,
                attempts,
                error = failure.message,
                "an event became a dead letter (see `eventfabric dlq list`)"
            );
            store::bury(tx.conn(), name, version, position, attempts, &cause(failure)).await
        }
    }
}

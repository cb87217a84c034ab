//! What becomes of a batch that failed: a smaller one, a later one, a stop, or a dead letter.

use super::CatchUp;
use super::tenant::{Tenant, Verdict};
use super::work::Work;
use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{OnPoison, short};
use crate::projection::{Failure, FailureKind};
use crate::runner::breaker::broken;
use crate::runner::deliver::cause;
use crate::runner::fallback;
use crate::store::{self, Place, StoreError};

impl CatchUp {
    /// Whether a projection that has stopped at this checkpoint stays so. It goes on when another
    /// host has passed the event, or when it was told to run again.
    pub(super) fn stays_stopped(&self, state: &mut Tenant, position: i64) -> bool {
        let Some(at) = state.stopped else { return false };
        let snapshot = self.registry.snapshot();
        let failed = snapshot.registered.get(&self.name).is_some_and(|known| known.failed);
        if position == at && failed {
            state.look_later();
            return true;
        }
        state.resume();
        false
    }

    /// Decides how to go on after a batch that was rolled back, and says so.
    pub(super) async fn failed(
        &self,
        work: &Work,
        place: &Place,
        state: &mut Tenant,
        position: i64,
        events: &[Event],
        failure: Failure,
    ) -> Result<(), StoreError> {
        if failure.connection_lost {
            self.losses.met();
        }
        let (version, tenant) = (work.version(), &place.tenant);
        let version = short(&version);
        match state.failed(events.len(), &failure, &work.pace(&self.config)) {
            Verdict::Smaller => {
                tracing::debug!(
                    projection = self.name,
                    version,
                    tenant,
                    from = events[0].position,
                    events = events.len(),
                    error = failure.message,
                    "a batch is divided"
                );
            }
            Verdict::Later(delay) => {
                tracing::warn!(
                    projection = self.name,
                    version,
                    tenant,
                    from = events[0].position,
                    events = events.len(),
                    ?delay,
                    error = failure.message,
                    "a batch failed and is tried again"
                );
                self.note_trouble(work, Some(&failure.message)).await;
            }
            verdict @ (Verdict::Stop | Verdict::Broken(_)) => {
                let event = &events[failure.index.unwrap_or(0).min(events.len() - 1)];
                let aside = verdict == Verdict::Stop
                    && work.settings().on_poison == OnPoison::SetAside
                    && failure.kind != FailureKind::Fatal
                    && events.len() == 1;
                if aside {
                    return self.set_aside(work, place, state, position, event, &failure).await;
                }
                let why = match verdict {
                    Verdict::Broken(times) => broken(times, &failure.message),
                    _ => failure.message,
                };
                let error = format!(
                    "stopped at {} (position {}, version {} of {}): {why}",
                    event.event_type, event.position, event.version, event.stream
                );
                tracing::error!(
                    projection = self.name,
                    version,
                    tenant,
                    error,
                    "the projection has stopped; deploy a version that handles this event, or \
                     restart the host to try it again"
                );
                state.stopped = Some(position);
                self.note(work.generation(), Some(&error)).await;
                if let Work::Plugin(active) = work {
                    fallback::consider(&self.registry, active, Some(event.position), &error).await;
                }
            }
        }
        Ok(())
    }

    /// Makes a dead letter of an event and moves the checkpoint from `position` past it, in one transaction.
    async fn set_aside(
        &self,
        work: &Work,
        place: &Place,
        state: &mut Tenant,
        position: i64,
        event: &Event,
        failure: &Failure,
    ) -> Result<(), StoreError> {
        let mut tx = Tx::begin(self.store.connections(), work.time()).await?;
        let locked = store::lock_checkpoint(tx.conn(), place, work.generation()).await?;
        // Somebody else is there already, or has passed it, or a crash of the server has taken back what was before
        // it: the next step will see.
        if locked != Some(position) {
            tx.rollback().await?;
            return Ok(());
        }
        let (version, name) = (work.version(), &self.name);
        let (attempts, failing) = state.attempts();
        store::bury_new(tx.conn(), name, &version, event, attempts, failing, &cause(failure))
            .await?;
        store::save_checkpoint(tx.conn(), place, event.position, self.mover(&version)).await?;
        tx.commit().await?;
        tracing::error!(
            projection = name,
            version = short(&version),
            tenant = place.tenant,
            position = event.position,
            attempts,
            error = failure.message,
            "an event was set aside as a dead letter (see `eventfabric dlq list`)"
        );
        state.set_aside(event.position);
        Ok(())
    }
}

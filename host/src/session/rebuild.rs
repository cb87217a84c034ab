//! Making snapshots anew from the events.

use chrono::Utc;

use super::aggregate::Aggregate;
use super::error::SessionError;
use super::factory::SessionFactory;
use super::load::load_whole;
use super::tracked::Slot as _;
use crate::event::StreamId;
use crate::store::{SnapshotFilter, save_snapshots, snapshots};

/// Snapshots that are listed at a time.
const PAGE: i64 = 200;

/// What became of snapshots that were to be made anew.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// How many were.
    pub rebuilt: u64,
    /// Those that were not, and why.
    pub failed: Vec<(StreamId, SessionError)>,
}

impl SessionFactory {
    /// Makes the snapshots of one kind of aggregate anew, each from all events of its stream: those
    /// that match, of all tenants where the filter names none and the factory is not confined to one. With
    /// [`SnapshotFilter::rebuild_requested`] only those that somebody has asked for, such as by
    /// `eventfabric snapshots rebuild`.
    ///
    /// # Errors
    /// When the kind is not registered, or the database can't be read. What fails for one aggregate
    /// is in the answer.
    pub async fn rebuild_snapshots<A: Aggregate>(
        &self,
        filter: SnapshotFilter,
    ) -> Result<Rebuilt, SessionError> {
        self.parts.setup::<A>()?;
        let tenant = self.context.narrowed(filter.tenant)?;
        let filter = SnapshotFilter { aggregate: Some(A::NAME.to_owned()), tenant, ..filter };
        let (mut report, mut after) = (Rebuilt::default(), None);
        loop {
            let page = snapshots(self.context.store.pool(), &filter, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(report) };
            after = Some(last.stream());
            for stream in page.iter().map(|info| info.stream()) {
                match self.rebuild::<A>(stream.clone()).await {
                    Ok(true) => report.rebuilt += 1,
                    Ok(false) => {}
                    Err(error) => report.failed.push((stream, error)),
                }
            }
        }
    }

    async fn rebuild<A: Aggregate>(&self, stream: StreamId) -> Result<bool, SessionError> {
        let (parts, store) = (&self.parts, &self.context.store);
        let setup = parts.setup::<A>()?;
        let whole = load_whole(store, &parts.upcasters, &setup, stream).await?;
        let Some(mut tracked) = whole else { return Ok(false) };
        tracked.last_snapshot.wanted = true;
        let Some(snapshot) = tracked.snapshot(Utc::now()) else { return Ok(false) };
        save_snapshots(&mut *store.pool().acquire().await?, &[snapshot]).await?;
        Ok(true)
    }
}

//! Parting a tenant into another number of shards: first the shards that are behind come to where the
//! first of them stands, then all checkpoints are made anew at that position, in one transaction. The
//! task of shard 0 does it, under a lock on the layout, while the others wait.

use std::time::Duration;

use super::step::{Batch, Handled};
use super::tenant::Tenant;
use super::work::Work;
use super::{CatchUp, LATER, Step};
use crate::db::Tx;
use crate::event::Shard;
use crate::runner::supervisor::unless_stopped;
use crate::store::{self, Layout, Place, StoreError};

/// How long the tasks of the other shards wait before they look again.
const WAIT: Duration = Duration::from_millis(100);

/// The shard that is farthest behind, and where it has to come; none when all stand at one position.
fn behind(layout: &Layout) -> Option<(i32, i64, i64)> {
    let target = *layout.positions.iter().max()?;
    let (index, from) =
        layout.positions.iter().enumerate().min_by_key(|(_, position)| **position)?;
    (*from < target).then_some((index as i32, *from, target))
}

impl CatchUp {
    /// One step on the way to the number of shards that was asked for.
    pub(super) async fn reshard(
        &self,
        work: &Work,
        tenant: &str,
        state: &mut Tenant,
        head: i64,
    ) -> Result<Step, StoreError> {
        // Whatever is known of one shard does not hold for another.
        state.forget_ahead();
        if self.shard != 0 {
            state.layout = None;
            state.interrupted(WAIT);
            return Ok(Step::Idle);
        }
        let begin = Tx::begin(self.store.connections(), work.time().saturating_add(LATER));
        let mut tx = unless_stopped(&self.stop, begin).await?;
        let locked = store::lock_layout(tx.conn(), &self.name, tenant, work.generation()).await?;
        let Some(layout) = locked else {
            tx.rollback().await?;
            state.contended();
            return Ok(Step::Contended);
        };
        let wanted = work.settings().shards;
        let Some((index, from, target)) = behind(&layout) else {
            let position = layout.positions.first().copied().unwrap_or_default();
            if layout.shards != wanted {
                store::change_layout(tx.conn(), &self.name, tenant, position, wanted).await?;
                tracing::info!(
                    projection = self.name,
                    tenant,
                    position,
                    before = layout.shards,
                    shards = wanted,
                    "the projection's work is parted anew"
                );
            }
            tx.commit().await?;
            *state = Tenant::default();
            return Ok(Step::Again);
        };
        let shard = Shard { index, count: layout.shards };
        let place = Place { shard, ..self.place(tenant, layout.shards) };
        if self.stays_stopped(state, from) {
            tx.rollback().await?;
            return Ok(Step::Idle);
        }
        let filter = self.filter(work, tenant, shard, from, target.min(head.max(from)));
        let until = filter.until.unwrap_or(target);
        let page =
            store::log_page(tx.conn(), &filter, state.batch(&work.pace(&self.config))).await?;
        let mut batch = Batch::new(page.events, page.full, until);
        let known = state.layout;
        let handled = self.handle(tx, work, &place, state, from, &mut batch).await?;
        let overcome = match handled {
            Handled::Well { overcome } => overcome,
            Handled::Failed => return Ok(Step::Again),
            Handled::Elsewhere => return Ok(Step::Contended),
        };
        // Not what is known of shard 0.
        (state.layout, state.seen) = (known, 0);
        Ok(if overcome { Step::Overcome } else { Step::Again })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_comes_to_where_the_first_one_stands() {
        let layout = |positions: &[i64]| Layout {
            shards: positions.len() as i32,
            positions: positions.to_vec(),
        };
        assert_eq!(behind(&layout(&[7, 7, 7])), None);
        assert_eq!(behind(&layout(&[7])), None);
        assert_eq!(behind(&layout(&[7, 9, 3])), Some((2, 3, 9)));
    }
}

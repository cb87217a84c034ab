//! Which events the live tables hold. A rebuilt projection must hold exactly these when it takes their
//! place, for the others are still to come to it.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::RebuildError;
use crate::db::Tx;
use crate::event::Shard;
use crate::plugin::Active;
use crate::projection::Mode;
use crate::store::rebuild::{self, LivePosition};
use crate::store::{Look, SafeHead};

/// How long a hole may keep a rebuild waiting before it is said so.
const HOLE_WARNING: Duration = Duration::from_secs(10);

/// How far the live tables have come, at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Live {
    /// Nothing after this is in the live tables, or what is there is safe to read up to here.
    pub bound: i64,
    /// Catch-up: how far each tenant has come, in each of its shards.
    tenants: Option<HashMap<String, Vec<i64>>>,
}

impl Live {
    /// How far the projection has come now. It goes on meanwhile.
    pub(super) async fn look(
        pool: &PgPool,
        active: &Active,
        head: &mut SafeHead,
        stop: &CancellationToken,
    ) -> Result<Self, RebuildError> {
        let head = settled(pool, head, stop).await?;
        let name = &active.plugin.description.name;
        Ok(match active.plugin.description.mode {
            Mode::CatchUp => {
                let live = Self::of(rebuild::live_positions(pool, name).await?);
                Self { bound: live.bound.min(head), ..live }
            }
            Mode::Async | Mode::Inline => Self { bound: head, tenants: None },
        })
    }

    /// Holds off whoever writes to the live tables, in this transaction, and tells how far they have
    /// come. Who is in the way for longer than the transaction's time-out is not waited for.
    pub(super) async fn hold(
        tx: &mut Tx,
        pool: &PgPool,
        active: &Active,
        head: &mut SafeHead,
    ) -> Result<Self, RebuildError> {
        let name = &active.plugin.description.name;
        Ok(match active.plugin.description.mode {
            Mode::CatchUp => {
                let live = Self::of(rebuild::hold_positions(tx.conn(), name).await?);
                // From here on something is held while waiting: not for long, so that there is no
                // deadlock for the server to end.
                tx.statement_timeout(super::BRIEFLY).await?;
                rebuild::hold_retries(tx.conn()).await?;
                live
            }
            Mode::Async => {
                rebuild::hold_deliveries(tx.conn()).await?;
                tx.statement_timeout(super::BRIEFLY).await?;
                rebuild::hold_retries(tx.conn()).await?;
                // Who is in the middle of an append may wait for this very transaction.
                while let Look::More = head.look(pool).await? {}
                Self { bound: head.position(), tenants: None }
            }
            Mode::Inline => {
                rebuild::hold_log(tx.conn()).await?;
                // Nobody writes to the log: all that is visible is all there is.
                Self { bound: rebuild::log_end(tx.conn()).await?, tenants: None }
            }
        })
    }

    /// Lets no tenant begin any more. Answers whether none has begun since [`Live::hold`].
    pub(super) async fn keep(&self, tx: &mut Tx, active: &Active) -> Result<bool, RebuildError> {
        if active.plugin.description.mode != Mode::CatchUp {
            return Ok(true);
        }
        tx.statement_timeout(super::BRIEFLY).await?;
        rebuild::keep_positions(tx.conn()).await?;
        let name = &active.plugin.description.name;
        Ok(*self == Self::of(rebuild::live_positions(&mut *tx.conn(), name).await?))
    }

    fn of(positions: Vec<LivePosition>) -> Self {
        let bound = positions.iter().map(|live| live.position).max().unwrap_or(0);
        let mut tenants: HashMap<String, Vec<i64>> = HashMap::new();
        for live in positions {
            let shards = tenants.entry(live.tenant).or_default();
            let (shard, of) = (live.shard.unsigned_abs() as usize, live.shards.max(1) as usize);
            shards.resize(of.max(shards.len()), 0);
            if let Some(position) = shards.get_mut(shard) {
                *position = live.position;
            }
        }
        Self { bound, tenants: Some(tenants) }
    }

    /// Whether the projection has passed a position, in a stream of this tenant and id.
    pub(super) fn has_passed(&self, tenant: &str, id: &str, position: i64) -> bool {
        let Some(tenants) = &self.tenants else { return true };
        let Some(shards) = tenants.get(tenant) else { return false };
        let live = match shards.as_slice() {
            [one] => Some(one),
            shards => shards.get(Shard::of(id, shards.len() as i32) as usize),
        };
        live.is_some_and(|live| position <= *live)
    }
}

/// Moves the safe head to what is visible now, however long a transaction takes that can still add an
/// event before that.
async fn settled(
    pool: &PgPool,
    head: &mut SafeHead,
    stop: &CancellationToken,
) -> Result<i64, RebuildError> {
    let visible = rebuild::log_end(pool).await?;
    let mut warned = false;
    while head.position() < visible {
        match head.look(pool).await? {
            Look::More => {}
            Look::Shorter | Look::AtEnd => break,
            Look::AtHole(wait) => {
                let age = head.stopped().map_or(Duration::ZERO, |(age, _)| age);
                if age > HOLE_WARNING && !warned {
                    warned = true;
                    tracing::warn!(
                        position = head.position(),
                        ?age,
                        "the rebuild waits for a \
                        transaction that may still add an event (see pg_stat_activity.xact_start)"
                    );
                }
                tokio::select! {
                    () = stop.cancelled() => return Err(RebuildError::Stopped),
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
    Ok(head.position())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tenant: &str, shard: i32, shards: i32, position: i64) -> LivePosition {
        LivePosition { tenant: tenant.to_owned(), shard, shards, position }
    }

    #[test]
    fn an_event_is_passed_when_the_shard_of_its_stream_is() {
        let live = Live::of(vec![at("a", 0, 1, 7), at("b", 0, 2, 10), at("b", 1, 2, 20)]);
        assert_eq!(live.bound, 20);
        assert!(live.has_passed("a", "1", 7) && !live.has_passed("a", "1", 8));
        assert!(!live.has_passed("c", "1", 1), "a tenant that has not begun");
        let (even, odd) = ("1", "3");
        assert_eq!((Shard::of(even, 2), Shard::of(odd, 2)), (0, 1));
        assert!(live.has_passed("b", even, 10) && !live.has_passed("b", even, 11));
        assert!(live.has_passed("b", odd, 20) && !live.has_passed("b", odd, 21));
    }
}

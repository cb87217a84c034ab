//! Which events the live tables hold. A rebuilt projection must hold exactly these when it takes their
//! place, for the others are still to come to it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::RebuildError;
use crate::db::Tx;
use crate::event::Event;
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
    /// Catch-up: how far each tenant has come.
    tenants: Option<HashMap<String, i64>>,
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
        let tenants: HashMap<_, _> =
            positions.into_iter().map(|live| (live.tenant, live.position)).collect();
        Self { bound: tenants.values().copied().max().unwrap_or(0), tenants: Some(tenants) }
    }

    /// Whether the projection has passed a position of this tenant.
    pub(super) fn has_passed(&self, tenant: &str, position: i64) -> bool {
        self.tenants
            .as_ref()
            .is_none_or(|tenants| tenants.get(tenant).is_some_and(|live| position <= *live))
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

/// Gives an event the topic that its outbox row had, as the settings have it: the row is gone.
pub(super) fn with_topic(mut event: Event, topics: &BTreeMap<String, String>) -> Event {
    event.topic = topics.get(&event.stream.aggregate).cloned();
    event
}

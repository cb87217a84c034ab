//! Forgets the traces of old events.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::config::TracesConfig;
use crate::store;

/// Traces that one statement forgets: so few that nobody waits long for what it locks.
const STEP: i64 = 1000;
/// Between two such statements, so that appends have most of the disk.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks now and then, until cancelled. Where nothing is old enough that costs one cheap query a look. Several
/// hosts pass over what another one has in hand.
pub(super) async fn forget_old(pool: PgPool, config: TracesConfig, stop: CancellationToken) {
    if config.keep.is_zero() {
        return stop.cancelled().await;
    }
    let (mut after, mut failing) = (0, false);
    loop {
        let forgotten = tokio::select! {
            biased;
            forgotten = store::forget_traces(&pool, after, config.keep, STEP) => forgotten,
            () = stop.cancelled() => return,
        };
        let pause = match forgotten {
            Ok(last) => {
                failing = false;
                // What was just forgotten is not looked through again.
                after = last.unwrap_or(0);
                if last.is_some() { PAUSE } else { config.every }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "the traces of old events cannot be forgotten");
                }
                failing = true;
                config.every
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

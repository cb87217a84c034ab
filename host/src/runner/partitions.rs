//! Makes the partitions of the log before they are needed.

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::config::PartitionsConfig;
use crate::store::partition::create_ahead;

/// Looks now and then, until cancelled. A log without partitions costs one cheap query a look.
pub(super) async fn keep_ahead(pool: PgPool, config: PartitionsConfig, stop: CancellationToken) {
    let mut failing = false;
    loop {
        let made = tokio::select! {
            biased;
            made = create_ahead(&pool, config.ahead) => made,
            () = stop.cancelled() => return,
        };
        match made {
            Ok(_) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "the partitions of the log cannot be made ahead");
                }
                failing = true;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(config.every) => {}
        }
    }
}

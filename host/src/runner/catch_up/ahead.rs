//! Reading the next batch on another connection while this one is handled.

use sqlx::PgPool;
use tokio_util::task::AbortOnDropHandle;

use crate::store::{LogFilter, Page, StoreError, log_page};

/// A page of the log that is being read.
#[derive(Debug)]
pub(super) struct Ahead {
    after: i64,
    /// Up to where it looks.
    pub until: i64,
    page: AbortOnDropHandle<Result<Page, StoreError>>,
}

impl Ahead {
    /// Begins to read.
    pub(super) fn begin(pool: PgPool, filter: LogFilter, limit: i64) -> Self {
        let (after, until) = (filter.after, filter.until.unwrap_or(i64::MAX));
        let read = async move { log_page(&pool, &filter, limit).await };
        Self { after, until, page: AbortOnDropHandle::new(tokio::spawn(read)) }
    }

    /// The page, where it is what follows this position and could be read.
    pub(super) async fn after(self, position: i64) -> Option<Page> {
        if self.after != position {
            return None;
        }
        self.page.await.ok()?.ok()
    }
}

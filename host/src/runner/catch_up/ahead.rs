//! The next batch, while this one is handled: it is read on another connection, and the plugin begins with it,
//! up to its first statement. The server works on this one meanwhile, and the processors that the plugin runs
//! on would have nothing to do.

use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Active, HandleStats};
use crate::projection::Failure;
use crate::store::{LogFilter, StoreError, log_page};

/// A page of the log that is being read.
#[derive(Debug)]
pub(super) struct Ahead {
    after: i64,
    /// Up to where it looks.
    pub until: i64,
    page: AbortOnDropHandle<Result<Page, StoreError>>,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Page {
    pub events: Arc<Vec<Event>>,
    /// There can be more.
    pub full: bool,
    /// The plugin that has begun with it.
    pub begun: Option<Begun>,
}

impl Ahead {
    /// Begins to read, and has a plugin begin with what was read, where one is given.
    pub(super) fn begin(
        pool: PgPool,
        filter: LogFilter,
        limit: i64,
        active: Option<Arc<Active>>,
    ) -> Self {
        let (after, until) = (filter.after, filter.until.unwrap_or(i64::MAX));
        let read = async move {
            let page = log_page(&pool, &filter, limit).await?;
            let events = Arc::new(page.events);
            let active = active.filter(|_| !events.is_empty());
            let begun = active.map(|active| Begun::new(active, events.clone()));
            Ok(Page { events, full: page.full, begun })
        };
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

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").finish_non_exhaustive()
    }
}

/// How a call ended, and its transaction.
type Ended = (Option<Tx>, Result<HandleStats, Failure>);

/// A call that has begun, and waits for its transaction. Dropped, it never was.
pub(super) struct Begun {
    active: Arc<Active>,
    // It is ended before it could find that no transaction comes.
    call: AbortOnDropHandle<Option<Ended>>,
    sender: oneshot::Sender<Tx>,
}

impl Begun {
    fn new(active: Arc<Active>, events: Arc<Vec<Event>>) -> Self {
        let (sender, later) = oneshot::channel();
        let call = {
            let active = active.clone();
            async move {
                let Active { plugin, sql, config, meter, .. } = &*active;
                plugin.handle_early(later, sql, &events, config, meter).await
            }
        };
        Self { active, call: AbortOnDropHandle::new(tokio::spawn(call)), sender }
    }

    /// Whether it is a call of this activation.
    pub(super) fn is_of(&self, active: &Arc<Active>) -> bool {
        Arc::ptr_eq(&self.active, active)
    }

    /// Goes on with its transaction, to its end.
    pub(super) async fn finish(self, tx: Tx) -> Option<Ended> {
        // One that has ended already has nobody who takes it, and an answer that is none.
        drop(self.sender.send(tx));
        match self.call.await {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => None,
        }
    }
}

//! The store: the log of events, the outbox, checkpoints. One verb a file, one statement a file in
//! `sql/`. It never knows that plugins exist.

mod append;
mod backfill;
mod blockers;
mod checkpoint;
mod confined;
mod dead_letter;
mod dismissal;
mod error;
mod hosts;
mod inline;
mod load;
pub mod migrate;
mod order;
mod outbox;
pub mod partition;
mod payload;
mod prepare;
mod query;
mod read;
pub mod rebuild;
mod retry;
mod row;
mod safe_head;
mod schema;
pub mod seal;
mod snapshot;
mod statistics;
mod streams;
mod tenant;
#[cfg(all(test, feature = "runtime"))]
pub(crate) mod tests;
mod trace;
mod wake;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;

use crate::db::Connections;

pub use append::{
    APPEND_TIMEOUT, Append, Appended, AppendedEvent, Deadline, Found, InTransaction, KnownCause,
    causes, find_events, note_chain,
};
pub use backfill::{
    Backfill, drop_passed, end_backfill, lock_backfill, save_backfill, share_backfill,
};
pub use blockers::{Blocker, blockers};
pub use checkpoint::{
    Checkpoint, IdleMove, IdleMoved, Layout, Mover, Place, change_layout, checkpoints,
    create_checkpoint, lock_checkpoint, lock_layout, look_at_checkpoint, move_idle,
    reset_checkpoints, save_checkpoint,
};
pub use confined::{TenantAppend, TenantStore};
pub use dead_letter::{
    Cause, DeadLetter, LetterFilter, bury, bury_new, dead_letter, dead_letters, purge, requeue,
};
pub use dismissal::{Dismissal, DismissalFilter, EventRef, InvalidEventRef};
pub use error::{StoreError, describe};
pub use hosts::{HostInfo, hosts};
pub use inline::{Epoch, Inline, InlineFailure};
pub use order::{await_turn, blocked, hold, release, take_order_turn};
pub use outbox::{
    Batch, Claimed, ForeignWorker, acknowledge, async_epoch, claim, foreign_worker, outbox_depth,
};
pub use query::{Dismissed, Query};
#[cfg(feature = "runtime")]
pub(crate) use read::PAGE_BYTES;
pub use read::{Direction, LogFilter, Page, log_page, stream_page};
pub use retry::{
    Aside, Due, Retry, claim_retries, due_retries, park, put_aside, retry_done, retry_later, unpark,
};
pub use safe_head::{Look, SafeHead};
pub use schema::{
    EventChecker, EventSchema, MAX_SCHEMA_BYTES, SchemaError, enforce_schema, register_schema,
    remove_schema, schemas,
};
pub use snapshot::{
    NewSnapshot, Snapshot, SnapshotFilter, SnapshotInfo, StreamHead, delete_snapshots,
    request_snapshot_rebuild, save_snapshots, snapshots,
};
pub use statistics::{
    AggregateStatistics, Backlog, ProjectionBacklog, Statistics, Tally, TopicBacklog,
    TypeStatistics,
};
pub use streams::{StreamInfo, appends_so_far, stream_kinds, streams_of};
pub use tenant::{tenant_exists, tenants};
pub use trace::{add_traces, forget_traces, traces};
pub use wake::{CHANNEL, Wake, notify_events, notify_plugins};

/// A handle on the event store of one database. Cheap to clone.
#[derive(Clone)]
pub struct EventStore {
    pool: PgPool,
    connections: Connections,
    inline: Option<Arc<dyn Inline>>,
    groups: Option<Arc<append::Groups>>,
    schemas: Arc<schema::Enforced>,
    seal: Option<seal::Seal>,
    append_timeout: Duration,
    wake: Wake,
}

impl EventStore {
    /// A store over a pool of [`crate::db::pool`]. A database with inline plugins refuses its
    /// appends until it is given them with [`EventStore::with_inline`].
    pub fn new(pool: PgPool) -> Self {
        let connections = Connections::new(pool.clone());
        let wake = Wake::new(connections.clone());
        let append_timeout = APPEND_TIMEOUT;
        let schemas = Arc::default();
        Self {
            pool,
            connections,
            inline: None,
            groups: None,
            schemas,
            seal: None,
            append_timeout,
            wake,
        }
    }

    /// The same store with the inline projections that run in the transaction of each append.
    pub fn with_inline(mut self, inline: Arc<dyn Inline>) -> Self {
        self.inline = Some(inline);
        self
    }

    /// The same store with group commit: appends to one stream each that arrive while others are
    /// being committed share the next transaction, for all clones of this store. Each keeps its own
    /// expectation and its own answer; none fails or waits for a lock because of another one, and
    /// inline projections are handed the events of one append at a time. An append whose caller
    /// goes away is made or not, as without groups.
    pub fn with_group_commit(mut self) -> Self {
        self.groups = Some(Arc::default());
        self
    }

    /// The same store with seals: every event that it appends carries one, see [`seal`]. Costs an
    /// append a transaction with two more statements.
    pub fn with_seal(mut self, seal: seal::Seal) -> Self {
        self.seal = Some(seal);
        self
    }

    /// The same store with another time that an append may take as a whole, in which its inline
    /// projections must be done, too. (30 s where nothing is said.)
    pub fn with_append_timeout(mut self, timeout: Duration) -> Self {
        self.append_timeout = timeout;
        self
    }

    /// The pool that the store works on.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The same pool, and those of its connections that were used a moment ago.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The hint that tells readers of new events.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }
}

//! The hint that there is something new. A NOTIFY in the append's own transaction would make
//! commits wait for each other, so it is sent afterwards, one for all appends of a moment. What it
//! says is never relied on: readers poll as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::sync::watch;

use crate::db::Connections;

/// The channel of NOTIFY. The payload is empty for new events, and `plugins` for a changed
/// registry.
pub const CHANNEL: &str = "eventfabric";

/// Between two hints to other processes. The first of a burst is sent at once.
const PAUSE: Duration = Duration::from_millis(2);

/// Tells readers of all hosts that there are new events. Cheap to clone.
#[derive(Clone)]
pub struct Wake {
    shared: Arc<Shared>,
}

struct Shared {
    connections: Connections,
    local: watch::Sender<u64>,
    sending: AtomicBool,
    again: AtomicBool,
}

impl Wake {
    pub(super) fn new(connections: Connections) -> Self {
        Self {
            shared: Arc::new(Shared {
                connections,
                local: watch::Sender::new(0),
                sending: AtomicBool::new(false),
                again: AtomicBool::new(false),
            }),
        }
    }

    /// The hints of this process, which come sooner than those through the database.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.local.subscribe()
    }

    /// Gives the hint, in the background: to this process at once, to others at most once in [`PAUSE`],
    /// for all that came meanwhile.
    pub fn hint(&self) {
        self.shared.local.send_modify(|n| *n += 1);
        self.shared.again.store(true, Ordering::SeqCst);
        if self.shared.sending.swap(true, Ordering::SeqCst) {
            return;
        }
        let shared = self.shared.clone();
        tokio::spawn(async move {
            loop {
                // One for all that follow each other, of a pool that has some to spare. (It is given back to that,
                // for a hint writes nothing, so it says nothing of whether others could.)
                let mut conn = None;
                let (pool, small) = (shared.connections.pool(), shared.connections.is_small());
                while shared.again.swap(false, Ordering::SeqCst) {
                    if let Err(error) = send_by(&mut conn, pool).await {
                        tracing::debug!(%error, "the hint of new events was not sent");
                        conn = None;
                    }
                    conn = conn.filter(|_| !small);
                    tokio::time::sleep(PAUSE).await;
                }
                drop(conn);
                shared.sending.store(false, Ordering::SeqCst);
                // A hint between the last look and the line above found `sending` still set.
                if !shared.again.load(Ordering::SeqCst)
                    || shared.sending.swap(true, Ordering::SeqCst)
                {
                    return;
                }
            }
        });
    }

    /// Gives the hint and waits until it is sent: for a process that ends.
    pub async fn hint_now(&self) {
        if let Err(error) = notify(self.shared.connections.pool(), "").await {
            tracing::debug!(%error, "the hint of new events was not sent");
        }
    }
}

/// Tells all hosts that the registry of plugins has changed.
pub async fn notify_plugins(pool: &PgPool) -> sqlx::Result<()> {
    notify(pool, "plugins").await
}

/// Tells all hosts that there are rows to deliver.
pub async fn notify_events(pool: &PgPool) -> sqlx::Result<()> {
    notify(pool, "").await
}

async fn notify(pool: &PgPool, payload: &str) -> sqlx::Result<()> {
    send(&mut *pool.acquire().await?, payload).await
}

async fn send_by(conn: &mut Option<PoolConnection<Postgres>>, pool: &PgPool) -> sqlx::Result<()> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(pool.acquire().await?),
    };
    send(conn, "").await
}

/// A NOTIFY has a transaction id, so its commit waits for the disk; nothing is lost without that, as
/// readers poll as well.
async fn send(conn: &mut PgConnection, payload: &str) -> sqlx::Result<()> {
    let sql = "SELECT pg_catalog.pg_notify($1, $2) \
               FROM pg_catalog.set_config('synchronous_commit', 'off', true)";
    sqlx::query(sql).bind(CHANNEL).bind(payload).execute(conn).await?;
    Ok(())
}

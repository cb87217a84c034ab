//! Connections that were used a moment ago, for who needs one next.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::runtime::Handle;

/// So long a connection is kept for the next one who needs one.
const LINGER: Duration = Duration::from_millis(100);
/// After so long without a rest it goes through its pool again, which looks at its age.
const TURNOVER: Duration = Duration::from_secs(60);
/// Connections that are kept at the same time, at most, and at most this part of the pool.
const MOST: u32 = 4;
const PART: u32 = 4;

/// A pool, and those of its connections that were used a moment ago. Cheap to clone.
///
/// What is given back to a pool is asked first whether it is still alive, on a task of its own: a round trip,
/// and two processors that wake up, beside whoever is about to send the next statement, who gets another
/// session meanwhile. An append of one event took a third longer with it. A connection of which its user
/// knows that all ended well needs no question.
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    pool: PgPool,
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The one that was used last is the last one.
    idle: Vec<Idle>,
    /// Somebody gives back what is not used.
    reaped: bool,
}

struct Idle {
    conn: PoolConnection<Postgres>,
    taken: Instant,
    since: Instant,
}

impl Connections {
    /// The connections of a pool. A small one is left as it is.
    pub fn new(pool: PgPool) -> Self {
        let most = (pool.options().get_max_connections() / PART).min(MOST) as usize;
        Self { shared: Arc::new(Shared { pool, most, kept: Mutex::default() }) }
    }

    /// The pool.
    pub fn pool(&self) -> &PgPool {
        &self.shared.pool
    }

    /// So few that none of them is kept.
    pub fn is_small(&self) -> bool {
        self.shared.most == 0
    }

    /// Connections that nobody uses, kept or in the pool.
    pub fn idle(&self) -> usize {
        self.shared.lock().idle.len() + self.shared.pool.num_idle()
    }
}

/// Where connections come from.
pub trait Source {
    /// A connection.
    ///
    /// # Errors
    /// Those of the pool.
    fn lend(&self) -> impl Future<Output = sqlx::Result<Lent>> + Send;
}

impl Source for PgPool {
    async fn lend(&self) -> sqlx::Result<Lent> {
        let conn = Some(self.acquire().await?);
        Ok(Lent { conn, taken: Instant::now(), home: None })
    }
}

impl Source for Connections {
    async fn lend(&self) -> sqlx::Result<Lent> {
        let home = Some(self.shared.clone());
        if let Some(Idle { conn, taken, .. }) = self.shared.last_used() {
            return Ok(Lent { conn: Some(conn), taken, home });
        }
        let conn = Some(self.shared.pool.acquire().await?);
        Ok(Lent { conn, taken: Instant::now(), home })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_used(&self) -> Option<Idle> {
        if self.pool.is_closed() { None } else { self.lock().idle.pop() }
    }

    /// Nobody waits for a connection of the pool.
    fn has_room(&self) -> bool {
        let max = self.pool.options().get_max_connections();
        !self.pool.is_closed() && (self.pool.size() < max || self.pool.num_idle() > 0)
    }

    fn keep(self: &Arc<Self>, idle: Idle) {
        if !self.has_room() || idle.taken.elapsed() > TURNOVER {
            return;
        }
        let mut kept = self.lock();
        if kept.idle.len() < self.most {
            kept.idle.push(idle);
            if !kept.reaped {
                kept.reaped = true;
                tokio::spawn(self.clone().reap());
            }
        }
    }

    /// Gives back what nobody has used for a while, until there is nothing left.
    async fn reap(self: Arc<Self>) {
        // Whether or not its runtime lives so long.
        let mut reaping = Reaping { shared: self.clone(), done: false };
        loop {
            tokio::select! {
                () = tokio::time::sleep(LINGER) => {}
                () = self.pool.close_event() => {}
            }
            let closed = self.pool.is_closed();
            let (rested, done): (Vec<Idle>, bool) = {
                let mut kept = self.lock();
                let rested = |idle: &mut Idle| closed || idle.since.elapsed() >= LINGER;
                let rested = kept.idle.extract_if(.., rested).collect();
                kept.reaped = !kept.idle.is_empty();
                (rested, !kept.reaped)
            };
            drop(rested);
            if done {
                reaping.done = true;
                return;
            }
        }
    }
}

/// Somebody gives back what is not used. Dropped before it is done, nobody does.
struct Reaping {
    shared: Arc<Shared>,
    done: bool,
}

impl Drop for Reaping {
    fn drop(&mut self) {
        if !self.done {
            self.shared.lock().reaped = false;
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A connection is given back by a task; without a runtime there is none, and no use for it.
        if Handle::try_current().is_err() {
            let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
            kept.idle.drain(..).for_each(|idle| drop(idle.conn.detach()));
        }
    }
}

/// A connection in use. Dropped, it goes back to its pool, which looks whether it is alive.
pub struct Lent {
    /// There until the end.
    conn: Option<PoolConnection<Postgres>>,
    taken: Instant,
    home: Option<Arc<Shared>>,
}

impl Lent {
    /// Gives it back: all that was asked was answered, it is in no transaction, and something could be written
    /// by it (a session that was opened while the database took no writes never takes any).
    pub fn keep(mut self) {
        if let (Some(conn), Some(home)) = (self.conn.take(), &self.home) {
            home.keep(Idle { conn, taken: self.taken, since: Instant::now() });
        }
    }

    /// Has it closed instead.
    pub fn close_on_drop(&mut self) {
        self.conn_mut().close_on_drop();
    }

    fn conn_mut(&mut self) -> &mut PoolConnection<Postgres> {
        self.conn.as_mut().expect("a connection is there until it is given back")
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.conn.as_ref().expect("a connection is there until it is given back")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.conn_mut()
    }
}

//! The one reader of a host that follows the end of the log, for all its projections, and the one
//! listener for hints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::losses::Losses;
use super::outage::Outage;
use super::supervisor::unless_stopped;
use super::tail::Tail;
use crate::backoff::Backoff;
use crate::event::Event;
use crate::plugin::Registry;
use crate::projection::Mode;
use crate::store::{CHANNEL, LogFilter, Look, SafeHead, StoreError, Wake, log_page, tenants};

/// Positions between two heads beyond which projections read what they want by themselves.
const TAIL: i64 = 5_000;

/// How long a hole may stop the head before it is said so.
const HOLE_WARNING: Duration = Duration::from_secs(10);

/// Reconnecting, and anything else that fails for reasons outside this process.
pub(super) const RECONNECT: Backoff =
    Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) };

/// Where the log ends, safely.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The safe head.
    pub position: i64,
    /// For each tenant, no event at or below the head has a greater position than this.
    pub tenants: Arc<BTreeMap<String, i64>>,
}

/// Counts hints of new events and of a changed registry.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hints {
    /// New events, or rows in the outbox or the retries.
    pub events: u64,
    /// A new version of a plugin.
    pub plugins: u64,
}

/// What the end of the log is read with, and where it is told.
pub(super) struct Parts {
    pub pool: PgPool,
    pub wake: Wake,
    pub registry: Arc<Registry>,
    pub head: watch::Sender<Head>,
    pub tail: Arc<Tail>,
}

/// Follows the safe head until cancelled.
pub(super) async fn follow(
    parts: Parts,
    mut hints: watch::Receiver<Hints>,
    poll: Duration,
    stop: CancellationToken,
) {
    let head = &parts.head;
    let mut local = parts.wake.subscribe();
    let mut safe = SafeHead::default();
    let (mut failures, mut outage) = (0, Outage::default());
    let mut warned = false;
    loop {
        let looked = unless_stopped(&stop, advance(&parts, &mut safe)).await;
        if stop.is_cancelled() {
            return;
        }
        let wait = match looked {
            Ok(look) => {
                failures = 0;
                outage.answered();
                match look {
                    Look::More => continue,
                    Look::Shorter => {
                        tracing::warn!(
                            "the log is shorter than it was (was a standby promoted, or \
                                        a backup restored?): reading it from the beginning"
                        );
                        head.send_replace(Head::default());
                        continue;
                    }
                    Look::AtEnd => poll,
                    Look::AtHole(wait) => wait,
                }
            }
            Err(error) => {
                failures += 1;
                outage.failed(&error);
                RECONNECT.delay(failures)
            }
        };
        match safe.stopped() {
            Some((age, writers)) if age > HOLE_WARNING && !warned => {
                warned = true;
                tracing::warn!(
                    position = safe.position(),
                    writers,
                    ?age,
                    "a transaction that may still add an event below the end of the log has been \
                     open for long: projections wait for it (see pg_stat_activity.xact_start)"
                );
            }
            None => warned = false,
            Some(_) => {}
        }
        let at_hole = safe.stopped().is_some();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            // At a hole or after an error, hints would only make it spin.
            _ = hints.changed(), if !at_hole && failures == 0 => {}
            _ = local.changed(), if !at_hole && failures == 0 => {}
        }
    }
}

async fn advance(parts: &Parts, safe: &mut SafeHead) -> Result<Look, StoreError> {
    let Parts { pool, head, tail, .. } = parts;
    let before = head.borrow().clone();
    let look = safe.look(pool).await?;
    let position = safe.position();
    if position > before.position {
        let mut known = (*before.tenants).clone();
        if before.position == 0 {
            // The first time, and with a log of any length: ask for the names alone.
            tail.begin(position);
            known.extend(tenants(pool).await?.into_iter().map(|tenant| (tenant, position)));
        } else if let Some(events) = new_events(parts, before.position, position).await? {
            for event in &events {
                match known.get_mut(&event.stream.tenant) {
                    Some(last) => *last = event.position,
                    None => drop(known.insert(event.stream.tenant.clone(), event.position)),
                }
            }
            tail.extend(before.position, position, events);
        } else {
            tail.begin(position);
            let rows =
                sqlx::query_file!("src/runner/sql/tenants_since.sql", before.position, position)
                    .fetch_all(pool)
                    .await?;
            known.extend(rows.into_iter().map(|row| (row.tenant, row.last)));
        }
        head.send_replace(Head { position, tenants: Arc::new(known) });
    }
    Ok(look)
}

/// The events between two heads, where they are few and somebody follows the log.
async fn new_events(
    parts: &Parts,
    before: i64,
    position: i64,
) -> Result<Option<Vec<Event>>, StoreError> {
    let followed = parts.registry.snapshot().of_mode(Mode::CatchUp).next().is_some();
    if !followed || position - before > TAIL {
        return Ok(None);
    }
    let filter = LogFilter { after: before, until: Some(position), ..LogFilter::default() };
    let page = log_page(&parts.pool, &filter, TAIL + 1).await?;
    Ok((!page.full).then_some(page.events))
}

/// Listens for hints until cancelled. A lost connection is a hint, too: something may have been
/// missed.
pub(super) async fn listen(
    pool: PgPool,
    hints: watch::Sender<Hints>,
    losses: Arc<Losses>,
    stop: CancellationToken,
) {
    let mut failures = 0;
    loop {
        let connect = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        let connected = tokio::select! {
            () = stop.cancelled() => return,
            connected = connect => connected,
        };
        let result = match connected {
            Ok(listener) => {
                let heard = tokio::select! {
                    () = stop.cancelled() => return,
                    heard = hear(listener, &hints) => heard,
                };
                losses.met();
                heard
            }
            Err(error) => Err(error),
        };
        failures = if result.is_ok() { 1 } else { failures + 1 };
        let delay = RECONNECT.delay(failures);
        if let Err(error) = result {
            // Who reads the log says that the database is away.
            let error = crate::store::describe(&error);
            tracing::debug!(error, ?delay, "cannot listen for hints; polling goes on");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
    }
}

/// Passes hints on until the connection is lost.
async fn hear(mut listener: PgListener, hints: &watch::Sender<Hints>) -> sqlx::Result<()> {
    hints.send_modify(|hints| {
        hints.events += 1;
        hints.plugins += 1;
    });
    while let Some(notification) = listener.try_recv().await? {
        hints.send_modify(|hints| match notification.payload() {
            "plugins" => hints.plugins += 1,
            _ => hints.events += 1,
        });
    }
    Ok(())
}

//! Handing events to one async projection inside a transaction that it shares with others: what
//! fails is undone to a savepoint, and halved until the event to blame is alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Active, Beyond, EventLog, Requests};
use crate::projection::{Failure, FailureKind};
use crate::store::Cause;

/// Set before each try; only one is open at a time.
const SAVEPOINT: &str = "eventfabric_delivery";

/// So often in a row contention interrupts a transaction. It says nothing of any event, and soon the
/// deliveries take turns (see `contention.rs`), so this is a number that is not reached.
const DEADLOCKS: u32 = 20;

/// How long a delivery that does not take turns waits for a lock. Longer than this, and it is taken to be
/// that of another delivery, which perhaps waits for this one: the server looks for that after a second
/// only. Deliveries that take turns wait as long as a statement may.
const PATIENCE: Duration = Duration::from_millis(20);

/// Whether a failure is that of transactions that can't go on beside each other.
fn is_contention(failure: &Failure, turns: bool) -> bool {
    match failure.sqlstate.as_deref() {
        Some("40P01" | "40001") => true,
        Some("55P03") => !turns,
        _ => false,
    }
}

/// What became of the events that were handed to a projection.
pub(super) struct Delivery {
    /// The transaction, good to go on with.
    pub tx: Tx,
    /// Indexes of the events that failed alone, with why.
    pub failed: Vec<(usize, Failure)>,
    /// Indexes of the events that were not tried, because an earlier one of their stream failed; only
    /// where the order of streams is kept.
    pub behind: Vec<usize>,
    /// Indexes of the events that were not tried to the end, and why: the plugin is wrong for every
    /// event ([`FailureKind::Fatal`]), or its failures took too long for a transaction that others
    /// wait for.
    pub left: Option<(Vec<usize>, Failure)>,
}

/// How a delivery is bounded.
pub(super) struct Bounds<'a> {
    /// How often in a row this was interrupted.
    pub interrupted: u32,
    /// So often a failure that can pass (a lock that was not free) interrupts the whole transaction,
    /// because the locks that it holds are part of the trouble; then the events count as failed.
    pub give_way: u32,
    /// The log, for what answers events with events.
    pub log: &'a Arc<dyn EventLog>,
    /// Later events of a stream are not tried once one has failed.
    pub order: bool,
    /// Deliveries to this projection take turns, or nobody else delivers to it: a lock is waited for as
    /// long as a statement may take.
    pub turns: bool,
    /// Once an event has trapped alone, the rest is left: nobody wants to know more.
    pub until_trap: bool,
    /// After a failure beyond this time, or after the host was told to stop, the rest is left.
    pub time: Duration,
    /// What becomes of the requests of a reactor.
    pub requests: Requests<'a>,
    /// The host is told to stop.
    pub stop: &'a CancellationToken,
}

/// Why nothing at all was delivered, and no event is to blame.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// A lock or a race: the whole transaction is to be tried again.
    Retry {
        /// The projection that met it.
        projection: String,
        /// Whether its deliveries were in each other's way.
        contended: bool,
        /// What happened.
        failure: Failure,
    },
    /// The connection is gone, and the projection that had it, if one did.
    Lost {
        /// Its name.
        projection: Option<String>,
        /// What happened.
        message: String,
    },
}

impl From<sqlx::Error> for Interrupted {
    fn from(error: sqlx::Error) -> Self {
        Self::Lost { projection: None, message: crate::store::describe(&error) }
    }
}

/// A failure as the store keeps it with a dead letter.
pub(super) fn cause(failure: &Failure) -> Cause<'_> {
    Cause {
        error: &failure.message,
        class: failure.class().as_str(),
        sqlstate: failure.sqlstate.as_deref(),
        sql: failure.statement.as_deref(),
    }
}

/// Hands events to a projection. When nothing was delivered, the transaction is rolled back.
pub(super) async fn deliver(
    mut tx: Tx,
    active: &Active,
    events: &[Event],
    bounds: &Bounds<'_>,
) -> Result<Delivery, Interrupted> {
    let start = Instant::now();
    let Active { plugin, sql, config, .. } = active;
    let lost = |message: String| {
        let projection = Some(active.plugin.description.name.clone());
        Interrupted::Lost { projection, message }
    };
    let mut failed: Vec<(usize, Failure)> = Vec::new();
    let mut behind = Vec::new();
    // Ranges still to do, the first one last.
    let mut todo = vec![(0, events.len())];
    while let Some((from, to)) = todo.pop() {
        if from == to {
            continue;
        }
        if bounds.order && !failed.is_empty() {
            let is_behind = |event: &Event| {
                failed.iter().any(|(index, _)| events[*index].stream == event.stream)
            };
            if let Some(at) = (from..to).find(|at| is_behind(&events[*at])) {
                behind.push(at);
                todo.push((at + 1, to));
                todo.push((from, at));
                continue;
            }
        }
        if bounds.turns {
            tx.savepoint(SAVEPOINT).await?;
        } else {
            tx.savepoint_within(SAVEPOINT, PATIENCE).await?;
        }
        let beyond =
            Beyond { log: Some(bounds.log), requests: bounds.requests, meter: Some(&active.meter) };
        let (back, result) = plugin.handle_with(tx, sql, &events[from..to], config, beyond).await;
        let Some(back) = back else {
            let message = match result {
                Err(failure) => failure.message,
                Ok(_) => "the plugin kept the transaction".to_owned(),
            };
            return Err(lost(message));
        };
        tx = back;
        let failure = match result {
            Ok(_) => {
                tx.release(SAVEPOINT).await?;
                continue;
            }
            Err(failure) => failure,
        };
        if failure.connection_lost {
            return Err(lost(failure.message));
        }
        // Where the plugin itself asks for a retry of one event, no lock of this transaction is to
        // blame.
        let contended = is_contention(&failure, bounds.turns);
        let give_way = if contended { DEADLOCKS } else { bounds.give_way };
        if failure.kind == FailureKind::Retry
            && failure.index.is_none()
            && bounds.interrupted < give_way
        {
            tx.rollback().await?;
            let projection = active.plugin.description.name.clone();
            return Err(Interrupted::Retry { projection, contended, failure });
        }
        // Undone, and forgotten: savepoints of the same name would pile up.
        tx.rollback_to(SAVEPOINT).await?;
        tx.release(SAVEPOINT).await?;
        let fatal = failure.kind == FailureKind::Fatal;
        let found = !fatal && to - from == 1;
        let out_of_time = start.elapsed() >= bounds.time || bounds.stop.is_cancelled();
        let decided = bounds.until_trap && found && failure.trapped;
        if found {
            failed.push((from, failure.clone()));
        }
        if fatal || out_of_time || decided {
            let from = if found { to } else { from };
            let mut left: Vec<usize> = (from..to).collect();
            left.extend(todo.iter().rev().flat_map(|(from, to)| *from..*to));
            return Ok(Delivery { tx, failed, behind, left: Some((left, failure)) });
        }
        if found {
            continue;
        }
        match failure.index.filter(|index| *index < to - from) {
            // The plugin says which: it alone, and the others without it.
            Some(index) => {
                let at = from + index;
                todo.push((at + 1, to));
                todo.push((at, at + 1));
                todo.push((from, at));
            }
            None => {
                let middle = from + (to - from) / 2;
                todo.push((middle, to));
                todo.push((from, middle));
            }
        }
    }
    Ok(Delivery { tx, failed, behind, left: None })
}

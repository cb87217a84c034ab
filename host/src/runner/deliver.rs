//! Handing events to one async projection inside a transaction that it shares with others: what
//! fails is undone to a savepoint, and halved until the event to blame is alone.

use std::time::{Duration, Instant};

use crate::db::Tx;
use crate::event::Event;
use crate::plugin::Active;
use crate::projection::{Failure, FailureKind};

/// Set before each try; only one is open at a time.
const SAVEPOINT: &str = "eventfabric_delivery";

/// What became of the events that were handed to a projection.
pub(super) struct Delivery {
    /// The transaction, good to go on with.
    pub tx: Tx,
    /// Indexes of the events that failed alone, with why.
    pub failed: Vec<(usize, Failure)>,
    /// Indexes of the events that were not tried to the end: the search took too long.
    pub left: Vec<usize>,
    /// The plugin is wrong for every event: the indexes that are left, and why.
    pub fatal: Option<(Vec<usize>, Failure)>,
}

/// Why nothing at all was delivered, and no event is to blame.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// A lock or a race: the whole transaction is to be tried again.
    Retry(Failure),
    /// The connection is gone, and the projection that lost it by a time-out, if one did.
    Lost(String),
}

impl From<sqlx::Error> for Interrupted {
    fn from(error: sqlx::Error) -> Self {
        Self::Lost(crate::store::describe(&error))
    }
}

/// Hands events to a projection. With `give_way` a failure that can pass (a deadlock) interrupts
/// the whole transaction, because the locks that it holds are part of the trouble; without it, or
/// where the plugin itself asks for a retry of one event, the events count as failed. When
/// something failed and `hold` is over, the rest is left: others wait for this transaction.
pub(super) async fn deliver(
    mut tx: Tx,
    active: &Active,
    events: &[Event],
    give_way: bool,
    hold: Duration,
) -> Result<Delivery, (Option<Tx>, Interrupted)> {
    let started = Instant::now();
    let mut failed = Vec::new();
    // Ranges still to do, the first one last.
    let mut todo = vec![(0, events.len())];
    while let Some((from, to)) = todo.pop() {
        if from == to {
            continue;
        }
        if let Err(error) = tx.savepoint(SAVEPOINT).await {
            return Err((None, error.into()));
        }
        let (back, result) =
            active.plugin.handle(tx, &active.sql, &events[from..to], &active.config).await;
        let Some(back) = back else {
            let message = match result {
                Err(failure) => failure.message,
                Ok(_) => "the plugin kept the transaction".to_owned(),
            };
            return Err((None, Interrupted::Lost(message)));
        };
        tx = back;
        let failure = match result {
            Ok(_) => {
                if let Err(error) = tx.release(SAVEPOINT).await {
                    return Err((None, error.into()));
                }
                continue;
            }
            Err(failure) => failure,
        };
        if failure.connection_lost {
            return Err((None, Interrupted::Lost(failure.message)));
        }
        if failure.kind == FailureKind::Retry && failure.index.is_none() && give_way {
            return Err((Some(tx), Interrupted::Retry(failure)));
        }
        if let Err(error) = tx.rollback_to(SAVEPOINT).await {
            return Err((None, error.into()));
        }
        if failure.kind == FailureKind::Fatal {
            todo.push((from, to));
            return Ok(Delivery {
                tx,
                failed,
                left: Vec::new(),
                fatal: Some((all(&todo), failure)),
            });
        }
        match failure.index.filter(|index| *index < to - from) {
            _ if to - from == 1 => failed.push((from, failure)),
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
        if started.elapsed() >= hold {
            return Ok(Delivery { tx, failed, left: all(&todo), fatal: None });
        }
    }
    Ok(Delivery { tx, failed, left: Vec::new(), fatal: None })
}

/// The indexes in these ranges, of which the last is the first to do.
fn all(todo: &[(usize, usize)]) -> Vec<usize> {
    todo.iter().rev().flat_map(|(from, to)| *from..*to).collect()
}

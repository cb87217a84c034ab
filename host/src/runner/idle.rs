//! Moves the checkpoints of projections that a batch of new events does not concern: many by one
//! statement, now and then, instead of a transaction each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::losses::Losses;
use super::membership::Membership;
use crate::store::{self, IdleMove, Place};

/// How long a move may wait for others.
const GATHER: Duration = Duration::from_millis(200);

/// Checkpoints that are to be moved, one move each.
#[derive(Debug, Default)]
pub(super) struct IdleMoves {
    waiting: Mutex<HashMap<Place, IdleMove>>,
    added: Notify,
}

impl IdleMoves {
    /// Has a checkpoint moved, soon.
    pub(super) fn add(&self, idle: IdleMove) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(idle.place.clone(), idle);
        self.added.notify_one();
    }

    fn take(&self) -> Vec<IdleMove> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting).into_values().collect()
    }

    /// Moves them until cancelled, and once more then.
    pub(super) async fn follow(
        self: Arc<Self>,
        pool: PgPool,
        members: Arc<Membership>,
        losses: Arc<Losses>,
        stop: CancellationToken,
    ) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = async {
                    self.added.notified().await;
                    tokio::time::sleep(GATHER).await;
                } => {}
            }
            let moves = self.take();
            let left = match store::move_idle(&pool, moves.clone(), members.name()).await {
                Ok(moved) => {
                    if moved.taken_back {
                        losses.met();
                    }
                    moved.left
                }
                Err(error) => {
                    tracing::debug!(%error, checkpoints = moves.len(), "checkpoints were not moved");
                    moves
                }
            };
            if !left.is_empty() {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                for idle in left {
                    // One that was added meanwhile is newer.
                    waiting.entry(idle.place.clone()).or_insert(idle);
                }
                self.added.notify_one();
            }
        }
    }
}

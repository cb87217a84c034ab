//! How much room a plugin's tables take on the server, looked at now and then.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::db::Tx;

/// After so many rows, or so much time, it is looked at again.
const ROWS: u64 = 100_000;
const TIME: Duration = Duration::from_secs(10);

/// There is no more room for a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "has no room left: its schema holds {held} of the {allowed} bytes allowed (with the tables of a \
     rebuild); raise `sandbox.plugin.{plugin}.schema_bytes`, or delete rows and give their room back \
     with VACUUM FULL, then run `eventfabric projections resume {plugin}`"
)]
pub struct Full {
    plugin: String,
    held: u64,
    allowed: u64,
}

/// The limit of a plugin, and when its tables were looked at.
#[derive(Debug)]
pub(super) struct Room {
    allowed: Option<u64>,
    plugin: String,
    /// Its live tables, those that a rebuild fills, and those that one has replaced.
    schemas: Vec<String>,
    looked: Mutex<Looked>,
}

#[derive(Debug, Default)]
struct Looked {
    at: Option<Instant>,
    /// Rows written since.
    rows: u64,
}

impl Looked {
    fn is_due(&self) -> bool {
        self.rows >= ROWS || self.at.is_none_or(|at| at.elapsed() >= TIME)
    }
}

impl Room {
    pub fn new(allowed: Option<u64>, plugin: &str, schemas: Vec<String>) -> Self {
        Self { allowed, plugin: plugin.to_owned(), schemas, looked: Mutex::default() }
    }

    /// Rows were written.
    pub fn wrote(&self, rows: u64) {
        let mut looked = self.looked();
        looked.rows = looked.rows.saturating_add(rows);
    }

    /// Looks at the tables as they are in this transaction, where it is time. While there is no room,
    /// it always is: so the plugin goes on as soon as there is some.
    pub async fn check(&self, tx: &mut Tx) -> sqlx::Result<Option<Full>> {
        let Some(allowed) = self.allowed.filter(|_| self.looked().is_due()) else {
            return Ok(None);
        };
        let held: i64 = sqlx::query_scalar(include_str!("sql/room.sql"))
            .bind(&self.schemas)
            .fetch_one(tx.conn())
            .await?;
        let held = held.unsigned_abs();
        if held > allowed {
            return Ok(Some(Full { plugin: self.plugin.clone(), held, allowed }));
        }
        *self.looked() = Looked { at: Some(Instant::now()), rows: 0 };
        Ok(None)
    }

    fn looked(&self) -> std::sync::MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_looked_at_after_many_rows_or_some_time() {
        let room = Room::new(Some(1), "board", Vec::new());
        assert!(room.looked().is_due());
        *room.looked() = Looked { at: Some(Instant::now()), rows: 0 };
        assert!(!room.looked().is_due());
        room.wrote(ROWS - 1);
        assert!(!room.looked().is_due());
        room.wrote(1);
        assert!(room.looked().is_due());
        *room.looked() = Looked { at: Instant::now().checked_sub(TIME), rows: 0 };
        assert!(room.looked().is_due());
    }
}

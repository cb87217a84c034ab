//! Events by name: by their positions or their ids.

use std::collections::HashMap;
use std::hash::Hash;

use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::row::EventRow;
use super::{EventStore, StoreError};
use crate::event::Event;

/// Events that one statement asks for.
const PART: usize = 1000;

impl EventStore {
    /// The events at these positions, in the order in which they are named. A dismissed event is
    /// among them: it was asked for, and [`Event::dismissed_at`] says so.
    ///
    /// # Errors
    /// [`StoreError::UnknownEvents`] with the positions that hold no event.
    pub async fn load_by_positions(&self, positions: &[i64]) -> Result<Vec<Event>, StoreError> {
        self.positions_of(None, positions).await
    }

    /// The events with these ids, in the order in which they are named. A dismissed event is among
    /// them: it was asked for, and [`Event::dismissed_at`] says so.
    ///
    /// # Errors
    /// [`StoreError::UnknownEvents`] with the ids that no event has.
    pub async fn load_by_ids(&self, ids: &[Uuid]) -> Result<Vec<Event>, StoreError> {
        self.ids_of(None, ids).await
    }

    /// The same for one tenant: to it, the positions of others hold nothing.
    pub(in crate::store) async fn positions_of(
        &self,
        tenant: Option<&str>,
        positions: &[i64],
    ) -> Result<Vec<Event>, StoreError> {
        let found = rows(&self.pool, tenant, positions).await?;
        in_order(positions, found, |event| event.position)
    }

    /// The same for one tenant: to it, nobody else's ids are known.
    pub(in crate::store) async fn ids_of(
        &self,
        tenant: Option<&str>,
        ids: &[Uuid],
    ) -> Result<Vec<Event>, StoreError> {
        let positions: Vec<i64> = places(&self.pool, ids).await?.into_values().collect();
        let found = rows(&self.pool, tenant, &positions).await?;
        in_order(ids, found, |event| event.id)
    }
}

/// Where the events with these ids are. A log in partitions has no index on ids; this knows what
/// there is instead.
pub(super) async fn places(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, i64>> {
    let rows = sqlx::query_file!("src/store/sql/find_by_ids.sql", ids).fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| (row.event_id, row.position)).collect())
}

async fn rows(
    pool: &PgPool,
    tenant: Option<&str>,
    positions: &[i64],
) -> Result<Vec<EventRow>, StoreError> {
    let mut found = Vec::with_capacity(positions.len());
    for part in positions.chunks(PART) {
        let statement = sqlx::query_file_as!(
            EventRow,
            "src/store/sql/load_by_positions.sql",
            part,
            tenant as Option<&str>
        );
        found.extend(statement.fetch_all(pool).await?);
    }
    Ok(found)
}

/// The events in the order of their names, or the names that are missing.
fn in_order<K: Eq + Hash + ToString>(
    names: &[K],
    found: Vec<EventRow>,
    name: impl Fn(&Event) -> K,
) -> Result<Vec<Event>, StoreError> {
    let mut by_name = HashMap::with_capacity(found.len());
    for row in found {
        let event = row.into_event()?;
        by_name.insert(name(&event), event);
    }
    let missing: Vec<String> =
        names.iter().filter(|name| !by_name.contains_key(name)).map(K::to_string).collect();
    if !missing.is_empty() {
        return Err(StoreError::UnknownEvents { missing });
    }
    Ok(names.iter().filter_map(|name| by_name.get(name).cloned()).collect())
}

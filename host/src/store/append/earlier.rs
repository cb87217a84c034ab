//! An append that is made again finds its events in the log and answers as the first time.

use std::collections::HashMap;

use uuid::Uuid;

use super::prepared::Prepared;
use super::{Appended, AppendedEvent};
use crate::event::StreamId;
use crate::store::{EventStore, StoreError};

macro_rules! refusal {
    ($prepared:expr, $row:expr) => {
        taken(
            $prepared,
            $row.event_id,
            StreamId {
                tenant: $row.tenant_id.clone(),
                aggregate: $row.aggregate_name.clone(),
                id: $row.aggregate_id.clone(),
            },
            $row.version,
        )
    };
}

impl EventStore {
    /// After a conflict, or a payload that no longer fits its schema: are the events in the log from an earlier try of this very append?
    pub(super) async fn find_earlier(
        &self,
        prepared: &Prepared,
        error: &StoreError,
    ) -> Result<Option<Appended>, StoreError> {
        let duplicate = match error {
            StoreError::Conflict { .. } | StoreError::InvalidEvent { .. } => false,
            StoreError::Database(sqlx::Error::Database(db)) if db.is_unique_violation() => true,
            _ => return Ok(None),
        };
        let ids: Vec<Uuid> = prepared.new.iter().map(|event| event.id).collect();
        let found: HashMap<Uuid, _> = sqlx::query_file!("src/store/sql/find_by_ids.sql", &ids)
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(|row| (row.event_id, row))
            .collect();
        let mut events = Vec::with_capacity(ids.len());
        for new in &prepared.new {
            let stream = &prepared.streams[new.stream].id;
            let Some(row) = found.get(&new.id) else { break };
            // (Of an event whose partition was detached only the key is known.)
            let Some(occurred_at) = row.occurred_at.filter(|_| {
                row.tenant_id == stream.tenant
                    && row.aggregate_name == stream.aggregate
                    && row.aggregate_id == stream.id
                    && row.event_type.as_ref() == Some(&new.event_type)
            }) else {
                return Err(refusal!(prepared, row));
            };
            events.push(AppendedEvent {
                id: new.id,
                position: row.position,
                version: row.version,
                occurred_at,
            });
        }
        if events.len() == prepared.new.len() {
            return Ok(Some(Appended { events, repeated: true }));
        }
        match found.values().next() {
            Some(row) if duplicate => Err(refusal!(prepared, row)),
            _ => Ok(None),
        }
    }
}

/// The error for an id that another event has. Where that is, is told to its own tenant only.
fn taken(prepared: &Prepared, id: Uuid, stream: StreamId, version: i32) -> StoreError {
    match prepared.streams.iter().any(|own| own.id.tenant == stream.tenant) {
        true => StoreError::DuplicateEvent { id, stream, version },
        false => StoreError::EventIdTaken { id },
    }
}

//! The events of a batch as causes of others, and the ids of what answers them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::event_log::{EventLog, Known};
use crate::event::{Event, NewEvent};
use crate::upcast::Upcasters;

/// The events of a batch, as causes.
pub struct Causes {
    pub log: Arc<dyn EventLog>,
    pub plugin: String,
    pub upcasters: Upcasters,
    pub causes: Vec<Cause>,
    pub known: Option<Known>,
    /// Events, and bytes of their payloads, that this batch has answered with.
    pub events: u64,
    pub bytes: usize,
}

/// One of them.
pub struct Cause {
    pub id: Uuid,
    pub position: i64,
    pub tenant: String,
    pub correlation: Option<String>,
    pub occurred_at: DateTime<Utc>,
    /// Events that it was answered with, in this handling.
    pub answers: u32,
    /// It was answered before: what it sees of the log ends here.
    pub upto: Option<i64>,
}

impl Causes {
    /// Of a batch of this plugin.
    pub fn new(
        log: Arc<dyn EventLog>,
        plugin: &str,
        upcasters: Upcasters,
        events: &[Event],
    ) -> Self {
        let cause = |event: &Event| Cause {
            id: event.id,
            position: event.position,
            tenant: event.stream.tenant.clone(),
            correlation: event.correlation_id.clone(),
            occurred_at: event.occurred_at,
            answers: 0,
            upto: None,
        };
        let causes = events.iter().map(cause).collect();
        let plugin = plugin.to_owned();
        Self { log, plugin, upcasters, causes, known: None, events: 0, bytes: 0 }
    }

    /// Takes in what is known of the batch.
    pub fn learn(&mut self, known: Known) {
        for cause in &mut self.causes {
            let first = known.first.get(&answer_id(&self.plugin, cause.id, 0));
            cause.upto = first.map(|position| position - 1);
        }
        self.known = Some(known);
    }

    /// The `n`th event, from 0, of the next answer to a cause.
    pub fn event(
        &self,
        cause: usize,
        n: u32,
        event_type: String,
        schema_version: i32,
        payload: Box<RawValue>,
    ) -> NewEvent {
        let cause = &self.causes[cause];
        NewEvent {
            id: Some(answer_id(&self.plugin, cause.id, cause.answers.saturating_add(n))),
            event_type,
            schema_version,
            payload,
            occurred_at: None,
            correlation_id: Some(cause.correlation.clone().unwrap_or_else(|| cause.id.to_string())),
            causation_id: Some(cause.id.to_string()),
            trace: self.known.as_ref().and_then(|known| known.traces.get(&cause.position)).cloned(),
        }
    }
}

/// The id of the `n`th event, from 0, with which a plugin answers a cause: the same whenever it does.
pub fn answer_id(plugin: &str, cause: Uuid, n: u32) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"eventfabric:process-manager\0");
    hash.update(plugin.as_bytes());
    hash.update(b"\0");
    hash.update(cause.as_bytes());
    hash.update(n.to_be_bytes());
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_answer_follows_from_plugin_cause_and_number() {
        let cause = Uuid::from_u128(7);
        let id = answer_id("transfers", cause, 0);
        // For ever: a host that made others would append everything once more.
        assert_eq!(id.to_string(), "6ee3d1c7-04c4-82cf-8729-576bc73329d0");
        assert_eq!(id, answer_id("transfers", cause, 0));
        for other in [
            answer_id("transfers", cause, 1),
            answer_id("transfer", cause, 0),
            answer_id("transfers", Uuid::from_u128(8), 0),
        ] {
            assert_ne!(id, other);
        }
    }
}

//! Appends as the arrays that their statements take.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::prepared::{Prepared, PreparedStream};
use crate::event::StreamId;

/// An array a parameter.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) tenants: Vec<String>,
    pub(super) aggregates: Vec<String>,
    pub(super) ids: Vec<String>,
    pub(super) topics: Vec<Option<String>>,
    pub(super) added: Vec<i32>,
    pub(super) least: Vec<i32>,
    pub(super) greatest: Vec<i32>,
    pub(super) stream: Vec<i32>,
    pub(super) nth: Vec<i32>,
    pub(super) event_ids: Vec<Uuid>,
    pub(super) types: Vec<String>,
    pub(super) schema_versions: Vec<i32>,
    pub(super) payloads: Vec<String>,
    pub(super) occurred_at: Vec<Option<DateTime<Utc>>>,
    pub(super) correlation_ids: Vec<Option<String>>,
    pub(super) causation_ids: Vec<Option<String>>,
    /// Empty where no event has a trace.
    pub(super) traceparents: Vec<Option<String>>,
    pub(super) tracestates: Vec<Option<String>>,
}

impl Columns {
    /// The streams and events of these appends, in this order.
    pub(super) fn of<'a>(appends: impl IntoIterator<Item = &'a Prepared>) -> Self {
        let mut columns = Self::default();
        for append in appends {
            columns.add(append);
        }
        if columns.traceparents.iter().all(Option::is_none) {
            columns.traceparents.clear();
            columns.tracestates.clear();
        }
        columns
    }

    fn add(&mut self, append: &Prepared) {
        let before = self.tenants.len();
        for PreparedStream { id, expected, topic, added } in &append.streams {
            let StreamId { tenant, aggregate, id } = id.clone();
            let (least, greatest) = expected.range();
            self.tenants.push(tenant);
            self.aggregates.push(aggregate);
            self.ids.push(id);
            self.topics.push(topic.clone());
            self.added.push(*added);
            self.least.push(least);
            self.greatest.push(greatest);
        }
        for event in &append.new {
            // WITH ORDINALITY counts from 1.
            self.stream.push((before + event.stream + 1) as i32);
            self.nth.push(event.nth);
            self.event_ids.push(event.id);
            self.types.push(event.event_type.clone());
            self.schema_versions.push(event.schema_version);
            self.payloads.push(event.payload.get().to_owned());
            self.occurred_at.push(event.occurred_at);
            self.correlation_ids.push(event.correlation_id.clone());
            self.causation_ids.push(event.causation_id.clone());
            let (traceparent, tracestate) = event.trace_columns();
            self.traceparents.push(traceparent);
            self.tracestates.push(tracestate);
        }
    }
}

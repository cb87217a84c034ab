//! The spans of deliveries: which traces the events of a batch belong to, and what follows from it.

use std::collections::HashMap;

use crate::db::Tx;
use crate::event::Event;
use crate::projection::Mode;
use crate::store;
use crate::trace::{self, Parent, Span, SpanKind, TraceContext};

/// The traces of events that are about to be delivered; none, where nobody asks for traces.
#[derive(Debug, Default)]
pub(super) struct Traces(HashMap<i64, TraceContext>);

impl Traces {
    /// Looks for those of these events.
    pub(super) async fn of(
        tx: &mut Tx,
        events: impl IntoIterator<Item = &Event>,
    ) -> sqlx::Result<Self> {
        if !trace::is_on() {
            return Ok(Self::default());
        }
        let positions: Vec<i64> = events.into_iter().map(|event| event.position).collect();
        store::traces(tx.conn(), &positions).await.map(Self)
    }

    /// Begins the span of a delivery. It is part of the trace of its events where all of them are of one;
    /// else it begins a trace, from which links lead to those of the events.
    pub(super) fn span<'a>(
        &self,
        name: &str,
        mode: Mode,
        events: impl Iterator<Item = &'a Event> + Clone,
        attempt: i32,
    ) -> Span {
        let (Some(first), true) = (events.clone().next(), trace::is_on()) else {
            return Span::default();
        };
        let of = |event: &Event| self.0.get(&event.position);
        let known = || events.clone().filter_map(of);
        let (parent, links) = match of(first) {
            Some(parent)
                if events
                    .clone()
                    .all(|event| of(event).is_some_and(|own| own.is_of_trace_of(parent))) =>
            {
                let mut others: Vec<&TraceContext> =
                    known().filter(|other| *other != parent).collect();
                others.dedup();
                (Parent::Of(parent), others)
            }
            _ if known().next().is_some_and(|_| !known().any(TraceContext::is_sampled)) => {
                // Who began these traces wants nothing recorded.
                return Span::default();
            }
            _ => (Parent::None, known().collect()),
        };
        let span = Span::begin(SpanKind::Consumer, parent, links, || format!("process {name}"));
        if !span.is_recorded() {
            return span;
        }
        let (count, last) = events.fold((0, first), |(count, _), event| (count + 1, event));
        span.text("messaging.system", "eventfabric");
        span.text("messaging.operation.name", "process");
        span.text("messaging.operation.type", "process");
        span.text("messaging.consumer.group.name", name.to_owned());
        span.text("eventfabric.mode", mode.to_string());
        span.text("eventfabric.positions", format!("{}-{}", first.position, last.position));
        span.number("messaging.batch.message_count", count);
        if count == 1 {
            span.text("messaging.message.id", first.id.to_string());
            span.text("messaging.destination.name", first.stream.aggregate.clone());
            span.text("eventfabric.stream", first.stream.to_string());
            span.text("eventfabric.event_type", first.event_type.clone());
        }
        if attempt > 1 {
            span.number("eventfabric.attempt", attempt.into());
        }
        span
    }
}

//! The last events of the log, read once for all projections that stand at its end.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::store::PAGE_BYTES;

/// Events at the end of the log that a host keeps in memory, at most.
const EVENTS: usize = 20_000;
/// Bytes of payload of these events, at most.
const BYTES: usize = 32 * 1024 * 1024;
/// What was read longer ago is read again by who wants it: it may have been dismissed meanwhile.
const FRESH: Duration = Duration::from_secs(10);

/// The last events of the log.
#[derive(Debug, Default)]
pub(super) struct Tail(RwLock<Recent>);

#[derive(Debug, Default)]
struct Recent {
    /// All events after `after` and up to `until` are here, but for dismissed ones.
    after: i64,
    until: i64,
    events: VecDeque<(Instant, Arc<Event>)>,
    bytes: usize,
}

/// Events of the tail that somebody wants.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In the order of positions.
    pub events: Vec<Event>,
    /// There can be more.
    pub full: bool,
}

impl Tail {
    /// Adds the events after `after`, where the tail ends or begins anew, and up to `until`.
    pub(super) fn extend(&self, after: i64, until: i64, events: Vec<Event>) {
        let mut recent = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if recent.until != after {
            *recent = Recent { after, ..Recent::default() };
        }
        let now = Instant::now();
        recent.bytes += events.iter().map(|event| event.payload.get().len()).sum::<usize>();
        recent.events.extend(events.into_iter().map(|event| (now, Arc::new(event))));
        recent.until = until;
        while recent.events.len() > EVENTS || recent.bytes > BYTES {
            let Some((_, oldest)) = recent.events.pop_front() else { break };
            recent.bytes -= oldest.payload.get().len();
            recent.after = oldest.position;
        }
    }

    /// Nothing is known of what is before this position, nor needed.
    pub(super) fn begin(&self, at: i64) {
        let recent = Recent { after: at, until: at, ..Recent::default() };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = recent;
    }

    /// The events after `after` and up to `until` that somebody wants, at most `limit`; `None` where
    /// the tail does not hold all of them, or not fresh.
    pub(super) fn between(
        &self,
        after: i64,
        until: i64,
        limit: i64,
        wants: impl Fn(&Event) -> bool,
    ) -> Option<Found> {
        let recent = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if after < recent.after || until > recent.until {
            return None;
        }
        let from = recent.events.partition_point(|(_, event)| event.position <= after);
        if recent.events.get(from).is_some_and(|(read, _)| read.elapsed() > FRESH) {
            return None;
        }
        let limit = usize::try_from(limit).unwrap_or(1);
        let (mut found, mut bytes) = (Found::default(), 0);
        let upto = recent.events.range(from..).take_while(|(_, event)| event.position <= until);
        for (_, event) in upto.filter(|(_, event)| wants(event)) {
            bytes += event.payload.get().len();
            found.events.push(Event::clone(event));
            if found.events.len() >= limit || bytes >= PAGE_BYTES {
                found.full = true;
                break;
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::StreamId;

    fn event(position: i64) -> Event {
        Event {
            position,
            id: uuid::Uuid::from_u128(position as u128),
            stream: StreamId::new("Account", "1"),
            version: position as i32,
            event_type: if position % 2 == 0 { "Even" } else { "Odd" }.to_owned(),
            schema_version: 1,
            payload: serde_json::value::RawValue::from_string("{}".to_owned()).unwrap(),
            occurred_at: chrono::DateTime::UNIX_EPOCH,
            correlation_id: None,
            causation_id: None,
            dismissed_at: None,
            topic: None,
            trace: None,
        }
    }

    fn positions(tail: &Tail, after: i64, until: i64, limit: i64) -> Option<Vec<i64>> {
        let found = tail.between(after, until, limit, |event| event.event_type == "Even")?;
        Some(found.events.iter().map(|event| event.position).collect())
    }

    #[test]
    fn what_it_holds_is_given_and_what_it_does_not_is_not() {
        let tail = Tail::default();
        tail.begin(10);
        tail.extend(10, 13, vec![event(11), event(12)]);
        tail.extend(13, 16, vec![event(14), event(16)]);
        assert_eq!(positions(&tail, 10, 16, 100), Some(vec![12, 14, 16]));
        assert_eq!(positions(&tail, 12, 15, 100), Some(vec![14]));
        assert_eq!(positions(&tail, 10, 16, 2), Some(vec![12, 14]));
        assert!(tail.between(10, 16, 2, |_| true).unwrap().full);
        assert_eq!(positions(&tail, 9, 16, 100), None, "before the tail");
        assert_eq!(positions(&tail, 10, 17, 100), None, "after it");
        // After a gap it begins anew.
        tail.extend(20, 21, vec![event(21)]);
        assert_eq!(positions(&tail, 12, 15, 100), None);
        assert_eq!(positions(&tail, 20, 21, 100), Some(vec![]));
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let tail = Tail::default();
        let count = EVENTS as i64 + 10;
        tail.extend(0, count, (1..=count).map(event).collect());
        assert_eq!(positions(&tail, 9, count, 1), None);
        assert_eq!(positions(&tail, 10, count, 1), Some(vec![12]));
    }
}

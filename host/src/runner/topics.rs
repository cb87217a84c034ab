//! The topics of events whose outbox rows are gone.

use std::collections::BTreeMap;

use crate::event::Event;

/// Gives an event the topic that its outbox row had, as the settings have it: the row is gone.
pub(super) fn with_topic(mut event: Event, topics: &BTreeMap<String, String>) -> Event {
    event.topic = topics.get(&event.stream.aggregate).cloned();
    event
}

//! Relays: projections that are part of the host rather than plugins. They follow the log as any catch-up
//! projection does, and hand its events to another system instead of writing tables.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};

use crate::event::Event;
use crate::plugin::{RELAY, Registry};
use crate::projection::{Description, Failure, Mode, TopicFilter};

/// Where a relay puts events.
pub trait Sink: Send + Sync {
    /// Hands events over, in their order, and waits until all of them are safe there. Events that come again,
    /// after a failure or a crash, are the same by their ids.
    ///
    /// # Errors
    /// What to do about it, as a plugin says it: `Retry` for what passes, `Poison` with the index of an event
    /// that the other side never takes.
    fn put<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), Failure>>;
}

/// A projection whose events go to a [`Sink`].
pub struct Relay {
    /// The projection: `relay:` and the relay's name.
    pub name: String,
    /// What it does, in a sentence for people.
    pub text: String,
    /// What its messages look like, as a text. Another one is another version of the projection: hosts that
    /// have been told different things do not take turns with them.
    pub form: String,
    /// Which types of events it takes; empty for all.
    pub types: Vec<String>,
    /// Of which kinds of aggregate; empty for all.
    pub aggregates: Vec<String>,
    /// Events in a batch, at most.
    pub batch: i64,
    /// How long a batch may take.
    pub time: Duration,
    /// Where they go.
    pub sink: Box<dyn Sink>,
}

impl Relay {
    /// The name of the projection of a relay.
    pub fn projection(name: &str) -> String {
        format!("{RELAY}{name}")
    }

    /// The version of the projection, in hex.
    pub fn version(&self) -> String {
        let of = (&self.form, &self.types, &self.aggregates);
        hex::encode(Sha256::digest(serde_json::json!(of).to_string()))
    }

    /// What hosts with the same settings of it call it.
    pub(super) fn key(&self) -> String {
        format!("{} {}", self.name, self.version())
    }

    /// Whether an event is for it.
    pub(super) fn wants(&self, event: &Event) -> bool {
        let among = |wanted: &[String], it| wanted.is_empty() || wanted.iter().any(|one| one == it);
        among(&self.types, &event.event_type) && among(&self.aggregates, &event.stream.aggregate)
    }

    /// Hands events over, within the time of a batch.
    pub(super) async fn put(&self, events: &[Event]) -> Result<(), Failure> {
        let put = tokio::time::timeout(self.time, self.sink.put(events));
        put.await.unwrap_or_else(|_| {
            let message = format!("{} did not take the events in {:?}", self.text, self.time);
            Err(Failure::new(crate::projection::FailureKind::Retry, message))
        })
    }

    /// Makes it a projection of the database, where it is none yet or was told other things.
    pub(super) async fn register(&self, registry: &Registry) -> anyhow::Result<()> {
        let description = Description {
            name: self.name.clone(),
            text: self.text.clone(),
            mode: Mode::CatchUp,
            topics: TopicFilter::All,
            event_types: self.types.clone(),
            migrations: Vec::new(),
        };
        registry.register_relay(&description, &self.version()).await
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("name", &self.name).finish_non_exhaustive()
    }
}

//! What a plugin author writes: a projection and its description.

use serde::de::DeserializeOwned;

use crate::{
    Backend, Event, Failure, Migration, RawDescription, RawEvent, Result, TopicFilter, Tx,
    Upcasters,
};

pub use crate::bindings::eventfabric::projection::types::Mode;

/// A projection: turns events into rows of its own tables.
///
/// There is no `self`: whatever a projection knows stands in its tables, because any batch may run
/// in a fresh instance, on any host. Export one with [`export_projection!`](crate::export_projection).
pub trait Projection {
    /// The events' data, read from the JSON payload. For several event types an enum with
    /// `#[serde(tag = "type")]`; `serde_json::Value` takes whatever comes, and
    /// `serde::de::IgnoredAny` is for projections that need no data.
    type Event: DeserializeOwned;

    /// What this projection is: name, mode, event types, migrations.
    fn describe() -> Description;

    /// How events of older schema versions are lifted to what [`Event`](Self::Event) reads; without
    /// more, they are taken as they are.
    fn upcasters() -> Upcasters {
        Upcasters::new()
    }

    /// Handles one event. Writes go to `tx`; [`Tx::run`] collects them, so that a whole batch costs
    /// one round trip.
    ///
    /// # Errors
    /// Whatever `?` meets. The event is blamed, the transaction rolled back.
    fn handle(tx: &Tx<'_>, event: &Event<Self::Event>) -> Result<()>;

    /// Handles a batch, oldest event first. Replace it where a batch can be merged before it is
    /// written; then [`handle`](Self::handle) is only called from here.
    ///
    /// # Errors
    /// As [`handle`](Self::handle). Use [`Event::poison`] or [`Tx::blame`] to name the event;
    /// without a name, the host halves the batch until it finds it.
    fn handle_batch(tx: &Tx<'_>, events: &[Event<Self::Event>]) -> Result<()> {
        for event in events {
            tx.blame(event);
            Self::handle(tx, event)?;
        }
        Ok(())
    }
}

/// What a plugin says of itself.
///
/// ```
/// use eventfabric_sdk::prelude::*;
///
/// let description = Description::new("accounts")
///     .text("Open accounts and their owners")
///     .mode(Mode::CatchUp)
///     .events(["Opened", "Closed"])
///     .migration(1, "create accounts", "CREATE TABLE accounts (id text PRIMARY KEY, owner text)");
/// assert_eq!(description.name(), "accounts");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Description(pub(crate) RawDescription);

impl Description {
    /// Starts a description. The name is the identity of the projection and names its schema:
    /// `[a-z][a-z0-9_]{0,47}`. Without more it is asynchronous and takes every event.
    pub fn new(name: impl Into<String>) -> Self {
        Self(RawDescription {
            name: name.into(),
            text: String::new(),
            mode: Mode::Async,
            topics: TopicFilter::All,
            event_types: Vec::new(),
            migrations: Vec::new(),
        })
    }

    /// One sentence for people.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.0.text = text.into();
        self
    }

    /// Where the events come from, and when.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.0.mode = mode;
        self
    }

    /// Only events whose topic is one of these (async projections only).
    #[must_use]
    pub fn only_topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.0.topics = TopicFilter::Include(topics.into_iter().map(Into::into).collect());
        self
    }

    /// Only events whose topic is none of these (async projections only).
    #[must_use]
    pub fn except_topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.0.topics = TopicFilter::Exclude(topics.into_iter().map(Into::into).collect());
        self
    }

    /// The event types to get; the host leaves the others out. Without a call: all of them.
    #[must_use]
    pub fn events<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.0.event_types.extend(types.into_iter().map(Into::into));
        self
    }

    /// The steps that make the plugin's tables, see [`migrations!`](crate::migrations).
    #[must_use]
    pub fn migrations(mut self, steps: impl IntoIterator<Item = Migration>) -> Self {
        self.0.migrations.extend(steps);
        self
    }

    /// One step, for plugins too small for a file of SQL.
    #[must_use]
    pub fn migration(
        self,
        number: u32,
        name: impl Into<String>,
        statements: impl Into<String>,
    ) -> Self {
        self.migrations([Migration { number, name: name.into(), sql: statements.into() }])
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The migrations, in the order they were added.
    pub fn steps(&self) -> &[Migration] {
        &self.0.migrations
    }

    /// The record that crosses to the host.
    pub fn into_raw(self) -> RawDescription {
        self.0
    }
}

/// Handles a batch as the host would have it handled: typed events, one transaction, everything
/// that was queued written at the end. The exported component and the test doubles both come here.
///
/// # Errors
/// What the host gets: kind, message and, where it is known, the index of the event.
pub fn handle<P: Projection>(backend: &dyn Backend, events: Vec<RawEvent>) -> Result<(), Failure> {
    let run = || -> Result<()> {
        let upcasters = P::upcasters();
        let events = (0..)
            .zip(events)
            .map(|(index, event)| Event::<P::Event>::parse(upcasters.lift(event, index)?, index))
            .collect::<Result<Vec<_>>>()?;
        let tx = Tx::new(backend);
        let outcome = P::handle_batch(&tx, &events);
        tx.finish(outcome)
    };
    run().map_err(Failure::from)
}

/// Parts of [`export_projection!`](crate::export_projection) that plugins need not know.
#[doc(hidden)]
pub mod export {
    /// Has a panic tell the host's log where it happened, before it traps.
    pub fn report_panics() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|info| {
                crate::log::write(crate::log::Level::Error, &info.to_string())
            }));
        });
    }
}

/// Exports a projection from its component. Natively it does nothing, so that the same crate can
/// be tested. One that answers [`Queries`](crate::Queries) says so.
///
/// ```ignore
/// export_projection!(Accounts);
/// export_projection!(Accounts, queries);
/// ```
#[macro_export]
macro_rules! export_projection {
    ($projection:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::bindings::Guest for Component {
                fn describe() -> $crate::RawDescription {
                    <$projection as $crate::Projection>::describe().into_raw()
                }

                fn handle(
                    tx: &$crate::RawTx,
                    events: ::std::vec::Vec<$crate::RawEvent>,
                ) -> ::std::result::Result<(), $crate::Failure> {
                    $crate::export::report_panics();
                    $crate::handle::<$projection>(tx, events)
                }
            }

    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
    ($projection:ty, queries) => {
        $crate::export_projection!($projection);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::query::exports::eventfabric::query::queries;

            struct Component;

            impl queries::Guest for Component {
                fn describe_queries() -> ::std::vec::Vec<queries::QueryDescription> {
                    $crate::describe_queries::<$projection>()
                }

                fn query(
                    tx: &$crate::RawTx,
                    request: $crate::Request,
                ) -> ::std::result::Result<$crate::RowSet, $crate::Failure> {
                    $crate::export::report_panics();
                    $crate::query::<$projection>(tx, request)
                }
            }

    $crate::bindings::query::export!(Component with_types_in $crate::bindings::query);
        };
    };
}

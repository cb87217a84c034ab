//! Events as a projection sees them.

use std::ops::Deref;

use serde::de::DeserializeOwned;

use crate::{Error, RawEvent, Result, Timestamptz};

/// A fact from the log: its typed data, and around it what the log knows of it.
///
/// `T` is read from the payload, which holds the event's `type` and `version` beside the data; so
/// an enum with `#[serde(tag = "type")]` fits events of several types. Every field of the raw event
/// (`position`, `aggregate_id`, `tenant`, `payload`…) can be read through the event itself.
///
/// ```
/// use eventfabric_sdk::{prelude::*, testing};
///
/// #[derive(Deserialize)]
/// #[serde(tag = "type")]
/// enum Account {
///     Opened { owner: String },
///     Closed,
/// }
/// let raw = testing::event("Opened", r#"{"owner": "Ada"}"#);
/// let event = Event::<Account>::parse(raw, 0)?;
/// assert_eq!(event.event_type, "Opened");
/// assert!(matches!(&event.data, Account::Opened { owner } if owner == "Ada"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Event<T> {
    /// The payload, typed.
    pub data: T,
    /// The place in the batch, from 0.
    pub index: u32,
    raw: RawEvent,
}

impl<T> Event<T> {
    /// When it happened.
    pub fn occurred_at(&self) -> Timestamptz {
        Timestamptz(self.raw.occurred_at)
    }

    /// An error that blames this event, see [`Error::poison`].
    pub fn poison(&self, message: impl std::fmt::Display) -> Error {
        Error::poison(message).at(self.index)
    }
}

impl<T: DeserializeOwned> Event<T> {
    /// Reads the payload of a raw event that stands at `index` of its batch.
    ///
    /// # Errors
    /// Poison, naming the event, when the payload is not what `T` expects.
    pub fn parse(raw: RawEvent, index: u32) -> Result<Self> {
        match serde_json::from_str(&raw.payload) {
            Ok(data) => Ok(Self { data, index, raw }),
            Err(error) => Err(Error::poison(format_args!(
                "the payload of {} version {} at position {} (stream {}/{}) can't be read: {error}",
                raw.event_type, raw.schema_version, raw.position, raw.aggregate, raw.aggregate_id
            ))
            .at(index)),
        }
    }
}

impl<T> Deref for Event<T> {
    type Target = RawEvent;

    fn deref(&self) -> &RawEvent {
        &self.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailureKind, testing};

    #[test]
    fn a_payload_that_does_not_parse_is_poison_and_names_the_event() {
        let raw = testing::event("Opened", "{}");
        #[derive(serde::Deserialize, Debug)]
        #[allow(dead_code)]
        struct Opened {
            owner: String,
        }
        let error = Event::<Opened>::parse(raw, 7).unwrap_err();
        assert_eq!((error.kind(), error.event()), (FailureKind::Poison, Some(7)));
        assert!(
            error.message().starts_with(
                "the payload of Opened version 1 at position 1 (stream Test/1) can't be read: \
                 missing field `owner`"
            ),
            "{error}"
        );
    }
}

//! Events as a program's own types.

use serde_json::value::RawValue;

use super::error::DecodeError;
use crate::event::{Event, NewEvent};
use crate::upcast::Upcasters;

/// The name under which an event is stored, and the version of its payload's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventType {
    /// Such as `Account.Deposited`; never changes.
    pub name: &'static str,
    /// The version that this program writes, from 1; goes up when the payload changes in a way that
    /// older readers, or this one reading older events, would trip over.
    pub version: i32,
}

/// The events of an aggregate: an enum in which each variant is an event type.
///
/// `#[derive(DomainEvent)]` implements it. A variant has named fields, or one struct, or nothing;
/// `#[event(type = "…")]` sets the stored type (without it, the variant's name), and
/// `#[event(version = …)]` the schema version (without it, 1). Attributes of serde work on fields, and
/// `#[serde(rename_all_fields = "camelCase")]` on the enum. Serde's own derives are not needed.
///
/// ```
/// use eventfabric::session::{DomainEvent, EventType};
///
/// #[derive(Debug, PartialEq, DomainEvent)]
/// #[serde(rename_all_fields = "camelCase")]
/// enum AccountEvent {
///     #[event(type = "Account.Opened")]
///     Opened { owner_name: String },
///     #[event(type = "Account.Deposited", version = 2)]
///     Deposited { cents: i64, #[serde(default)] note: Option<String> },
///     #[event(type = "Account.Closed")]
///     Closed,
/// }
///
/// let event = AccountEvent::Opened { owner_name: "Ada".to_owned() };
/// assert_eq!(event.event_type(), EventType { name: "Account.Opened", version: 1 });
/// let payload = event.payload()?;
/// assert_eq!(payload.get(), r#"{"type":"Account.Opened","ownerName":"Ada"}"#);
/// assert_eq!(AccountEvent::from_payload("Account.Opened", &payload)?, event);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// What can't be stored does not compile: events under the name of another,
///
/// ```compile_fail
/// #[derive(eventfabric::session::DomainEvent)]
/// enum E {
///     #[event(type = "Opened")]
///     A,
///     #[event(type = "Opened")]
///     B,
/// }
/// ```
///
/// fields without names, or under one that the event itself needs,
///
/// ```compile_fail
/// #[derive(eventfabric::session::DomainEvent)]
/// enum E { Moved(i64, i64) }
/// ```
///
/// ```compile_fail
/// #[derive(eventfabric::session::DomainEvent)]
/// enum E { Moved { version: i64 } }
/// ```
///
/// a version before the first, and anything but an enum of its own.
///
/// ```compile_fail
/// #[derive(eventfabric::session::DomainEvent)]
/// enum E { #[event(version = 0)] Opened }
/// ```
///
/// ```compile_fail
/// #[derive(eventfabric::session::DomainEvent)]
/// struct Opened { owner: String }
/// ```
///
/// ```compile_fail
/// #[derive(eventfabric::session::DomainEvent)]
/// enum E<T> { Opened { owner: T } }
/// ```
pub trait DomainEvent: Sized + Send + Sync + 'static {
    /// Every type of these events, with the version that is written.
    const TYPES: &'static [EventType];

    /// The type of this event.
    fn event_type(&self) -> EventType;

    /// The payload: a JSON object that holds `type` beside the data. (The store adds `version`.)
    ///
    /// # Errors
    /// Data that is no JSON: a map whose keys are no text, a variant that holds something else than
    /// a struct.
    fn payload(&self) -> serde_json::Result<Box<RawValue>>;

    /// Reads a payload of the version that is written.
    ///
    /// # Errors
    /// A type that is not one of these, or another payload than that type has.
    fn from_payload(event_type: &str, payload: &RawValue) -> serde_json::Result<Self>;
}

/// An event as it is appended.
///
/// # Errors
/// As [`DomainEvent::payload`].
pub fn encode<E: DomainEvent>(event: &E) -> serde_json::Result<NewEvent> {
    let EventType { name, version } = event.event_type();
    Ok(NewEvent {
        id: None,
        event_type: name.to_owned(),
        schema_version: version,
        payload: event.payload()?,
        occurred_at: None,
        correlation_id: None,
        causation_id: None,
        trace: None,
    })
}

/// An event of the log as one of these, lifted where it is of an older version.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode<E: DomainEvent>(event: Event, upcasters: &Upcasters) -> Result<E, DecodeError> {
    let Some(known) = E::TYPES.iter().find(|known| known.name == event.event_type) else {
        return Err(DecodeError::UnknownType {
            event_type: event.event_type,
            known: E::TYPES.iter().map(|known| known.name).collect(),
        });
    };
    let event = upcasters.lift_to(event, known.version)?;
    Ok(E::from_payload(known.name, &event.payload)?)
}

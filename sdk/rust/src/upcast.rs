//! Lifting events of older schema versions to what a projection reads.

use serde_json::{Map, Value};

use crate::{Error, RawEvent, Result};

/// A payload as a JSON object.
pub type Payload = Map<String, Value>;

/// A step from one schema version of an event type to the next.
type Step = fn(&mut Payload) -> Result<()>;

/// How events of older schema versions become what [`Projection::Event`](crate::Projection::Event)
/// reads: a projection's own view, whatever the host does before it.
///
/// ```
/// use eventfabric_sdk::{prelude::*, testing::{self, RecordingTx}};
///
/// #[derive(Deserialize)]
/// struct Deposited { cents: i64 }
///
/// struct Deposits;
///
/// impl Projection for Deposits {
///     type Event = Deposited;
///
///     fn describe() -> Description {
///         Description::new("deposits").events(["Deposited"])
///     }
///
///     fn upcasters() -> Upcasters {
///         // Version 1 held whole euros.
///         Upcasters::new().step("Deposited", 1, |payload| {
///             let euros = payload.remove("euros").and_then(|euros| euros.as_i64());
///             let euros = euros.ok_or_else(|| Error::poison("no euros"))?;
///             payload.insert("cents".to_owned(), (euros * 100).into());
///             Ok(())
///         })
///     }
///
///     fn handle(tx: &Tx, event: &Event<Deposited>) -> Result<()> {
///         tx.run("INSERT INTO deposits VALUES ($1)", params![event.data.cents])
///     }
/// }
///
/// let db = RecordingTx::new();
/// let mut new = testing::event("Deposited", r#"{"cents": 250, "version": 2}"#);
/// new.schema_version = 2;
/// testing::run::<Deposits>(&db, [testing::event("Deposited", r#"{"euros": 7}"#), new])?;
/// assert_eq!(db.calls_of("INSERT INTO deposits"), [params![700_i64], params![250_i64]]);
/// # Ok::<(), eventfabric_sdk::Failure>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Upcasters {
    steps: Vec<(&'static str, u32, Step)>,
}

impl Upcasters {
    /// None at all.
    pub const fn new() -> Self {
        Self { steps: Vec::new() }
    }

    /// Adds the step of an event type from schema version `from` to `from + 1`. It is given the whole
    /// payload; `type` and `version` in it are set anew afterwards.
    #[must_use]
    pub fn step(mut self, event_type: &'static str, from: u32, lift: Step) -> Self {
        self.steps.push((event_type, from, lift));
        self
    }

    /// Lifts an event that stands at `index` of its batch as far as the steps of its type lead. One
    /// of a type without steps stays as it is.
    ///
    /// # Errors
    /// Poison, naming the event, when its version is newer than the steps lead to, a step is missing,
    /// or one refuses the payload.
    pub fn lift(&self, mut event: RawEvent, index: u32) -> Result<RawEvent> {
        let of_type = || self.steps.iter().filter(|step| step.0 == event.event_type);
        let Some(current) = of_type().map(|step| step.1.saturating_add(1)).max() else {
            return Ok(event);
        };
        if event.schema_version == current {
            return Ok(event);
        }
        let blame = |what: String| {
            Error::poison(format_args!(
                "{} at position {} (stream {}/{}): {what}",
                event.event_type, event.position, event.aggregate, event.aggregate_id
            ))
            .at(index)
        };
        if event.schema_version > current {
            return Err(blame(format!(
                "schema version {} is newer than this plugin, which knows it up to {current}: deploy \
                 a newer plugin",
                event.schema_version
            )));
        }
        let mut payload: Payload =
            serde_json::from_str(&event.payload).map_err(|error| blame(error.to_string()))?;
        for version in event.schema_version..current {
            let Some((.., lift)) = of_type().find(|step| step.1 == version) else {
                return Err(blame(format!(
                    "nothing lifts schema version {version} to {}, on the way to {current}",
                    version + 1
                )));
            };
            lift(&mut payload).map_err(|error| {
                blame(format!("the upcaster from schema version {version}: {}", error.message()))
            })?;
            payload.insert("type".to_owned(), event.event_type.as_str().into());
            payload.insert("version".to_owned(), (version + 1).into());
        }
        event.payload = Value::Object(payload).to_string();
        event.schema_version = current;
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailureKind, testing};

    fn steps() -> Upcasters {
        let mark = |payload: &mut Payload| {
            if payload.contains_key("bad") {
                return Err(Error::poison("a bad payload"));
            }
            let seen = payload.get("seen").and_then(Value::as_i64).unwrap_or_default();
            payload.insert("seen".to_owned(), (seen + 1).into());
            Ok(())
        };
        Upcasters::new().step("Opened", 2, mark).step("Opened", 1, mark).step("Closed", 4, mark)
    }

    fn event(event_type: &str, version: u32, payload: &str) -> RawEvent {
        RawEvent { schema_version: version, ..testing::event(event_type, payload) }
    }

    #[test]
    fn events_are_lifted_step_by_step_and_others_left_alone() {
        let lifted = steps().lift(event("Opened", 1, "{}"), 0).unwrap();
        assert_eq!(lifted.schema_version, 3);
        assert_eq!(lifted.payload, r#"{"seen":2,"type":"Opened","version":3}"#);
        let untouched = event("Moved", 7, r#"{"big":12345678901234567890123}"#);
        assert_eq!(steps().lift(untouched.clone(), 0).unwrap().payload, untouched.payload);
    }

    #[test]
    fn what_cannot_be_lifted_is_poison_and_named() {
        for (event, words) in [
            (event("Opened", 4, "{}"), "schema version 4 is newer than this plugin"),
            (event("Closed", 1, "{}"), "nothing lifts schema version 1 to 2, on the way to 5"),
            (event("Opened", 2, r#"{"bad":1}"#), "from schema version 2: a bad payload"),
        ] {
            let error = steps().lift(event, 5).unwrap_err();
            assert_eq!((error.kind(), error.event()), (FailureKind::Poison, Some(5)));
            assert!(error.message().contains(words), "{error}");
        }
    }
}

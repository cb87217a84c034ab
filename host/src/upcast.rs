//! Upcasters: events of older schema versions, lifted step by step to the current one. The log keeps
//! them as they were written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::event::Event;

/// Any error of a step.
pub type StepError = Box<dyn std::error::Error + Send + Sync>;

type Step = Arc<dyn Fn(Map<String, Value>) -> Result<Map<String, Value>, StepError> + Send + Sync>;

/// Steps from one schema version of an event type to the next. Cheap to clone.
///
/// ```
/// use eventfabric::upcast::Upcasters;
/// use serde_json::json;
///
/// let upcasters = Upcasters::new()
///     // Version 1 held whole euros.
///     .step("Account.Deposited", 1, |mut payload| {
///         let euros = payload.remove("euros").and_then(|euros| euros.as_i64()).ok_or("no euros")?;
///         payload.insert("cents".to_owned(), json!(euros * 100));
///         Ok(payload)
///     })
///     // Version 2 knew no currency.
///     .step("Account.Deposited", 2, |mut payload| {
///         payload.insert("currency".to_owned(), json!("EUR"));
///         Ok(payload)
///     });
/// assert_eq!(upcasters.current("Account.Deposited"), Some(3));
/// let lifted = upcasters.lift_payload("Account.Deposited", 1, 3, r#"{"euros": 7}"#)?;
/// let lifted: serde_json::Value = serde_json::from_str(lifted.get()).unwrap();
/// assert_eq!(
///     lifted,
///     json!({"cents": 700, "currency": "EUR", "type": "Account.Deposited", "version": 3})
/// );
/// # Ok::<(), eventfabric::upcast::UpcastError>(())
/// ```
///
/// Numbers beyond 64 bits lose digits in a payload that is lifted; others pass untouched.
#[derive(Clone, Default)]
pub struct Upcasters {
    types: Arc<HashMap<String, BTreeMap<i32, Step>>>,
}

impl Upcasters {
    /// None at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the step of an event type from schema version `from` to `from + 1`. What it is given is
    /// the whole payload; `type` and `version` in it are set anew afterwards. A second step from the
    /// same version replaces the first.
    #[must_use]
    pub fn step(
        mut self,
        event_type: impl Into<String>,
        from: i32,
        lift: impl Fn(Map<String, Value>) -> Result<Map<String, Value>, StepError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let types = Arc::make_mut(&mut self.types);
        types.entry(event_type.into()).or_default().insert(from, Arc::new(lift));
        self
    }

    /// There is no step.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// The version that the steps of this type lead to; none where there are no steps.
    pub fn current(&self, event_type: &str) -> Option<i32> {
        let (last, _) = self.types.get(event_type)?.last_key_value()?;
        last.checked_add(1)
    }

    /// The types that have steps, with the versions that these begin at, in order.
    pub fn steps(&self) -> impl Iterator<Item = (&str, Vec<i32>)> {
        self.types.iter().map(|(name, steps)| (name.as_str(), steps.keys().copied().collect()))
    }

    /// Lifts an event to the version that the steps of its type lead to. One without steps is given
    /// back as it is.
    ///
    /// # Errors
    /// See [`UpcastError`].
    pub fn lift(&self, event: Event) -> Result<Event, UpcastError> {
        match self.current(&event.event_type) {
            Some(current) => self.lift_to(event, current),
            None => Ok(event),
        }
    }

    /// Whether [`Upcasters::lift`] would do something to this event, or fail.
    pub fn concerns(&self, event: &Event) -> bool {
        self.current(&event.event_type).is_some_and(|current| current != event.schema_version)
    }

    /// Lifts an event to this version of its schema.
    ///
    /// # Errors
    /// See [`UpcastError`].
    pub fn lift_to(&self, mut event: Event, current: i32) -> Result<Event, UpcastError> {
        if event.schema_version != current {
            let payload = event.payload.get();
            event.payload =
                self.lift_payload(&event.event_type, event.schema_version, current, payload)?;
            event.schema_version = current;
        }
        Ok(event)
    }

    /// Lifts a payload from one version of its schema to another.
    ///
    /// # Errors
    /// See [`UpcastError`].
    pub fn lift_payload(
        &self,
        event_type: &str,
        from: i32,
        current: i32,
        payload: &str,
    ) -> Result<Box<serde_json::value::RawValue>, UpcastError> {
        let name = || event_type.to_owned();
        if from > current {
            return Err(UpcastError::Newer { event_type: name(), version: from, current });
        }
        let steps = self.types.get(event_type);
        let failed = |version: i32, source: StepError| UpcastError::Step {
            event_type: name(),
            version,
            source,
        };
        let mut payload: Map<String, Value> =
            serde_json::from_str(payload).map_err(|error| failed(from, error.into()))?;
        for version in from..current {
            let step = steps
                .and_then(|steps| steps.get(&version))
                .ok_or_else(|| UpcastError::Missing { event_type: name(), version, current })?;
            payload = step(payload).map_err(|error| failed(version, error))?;
            payload.insert("type".to_owned(), event_type.into());
            payload.insert("version".to_owned(), (version + 1).into());
        }
        serde_json::value::to_raw_value(&payload).map_err(|error| failed(current, error.into()))
    }
}

impl std::fmt::Debug for Upcasters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let steps = self.types.iter().flat_map(|(name, steps)| {
            steps.keys().map(move |from| format!("{name} {from} to {}", i64::from(*from) + 1))
        });
        f.debug_set().entries(steps).finish()
    }
}

/// Why an event could not be lifted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpcastError {
    /// A newer program wrote it.
    #[error(
        "schema version {version} of {event_type} is newer than this program, which knows it up to \
         {current}: use a newer program"
    )]
    Newer {
        /// The type of the event.
        event_type: String,
        /// The version of the event's schema.
        version: i32,
        /// The newest version that is known.
        current: i32,
    },
    /// A step is missing.
    #[error(
        "nothing lifts {event_type} from schema version {version} to {}, on the way to {current}: \
         register an upcaster for that step", i64::from(*.version) + 1
    )]
    Missing {
        /// The type of the event.
        event_type: String,
        /// Where the step would begin.
        version: i32,
        /// Where the way leads to.
        current: i32,
    },
    /// A step refused the payload.
    #[error("the upcaster of {event_type} from schema version {version} failed: {source}")]
    Step {
        /// The type of the event.
        event_type: String,
        /// Where the step begins.
        version: i32,
        /// What it said.
        source: StepError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(
        name: &'static str,
    ) -> impl Fn(Map<String, Value>) -> Result<Map<String, Value>, StepError> {
        move |mut payload| {
            if payload.contains_key("bad") {
                return Err("a bad payload".into());
            }
            let seen = payload.entry("seen").or_insert_with(|| "".into());
            *seen = format!("{}{name}", seen.as_str().unwrap_or_default()).into();
            Ok(payload)
        }
    }

    fn upcasters() -> Upcasters {
        Upcasters::new().step("T", 3, mark("3")).step("T", 1, mark("1")).step("T", 2, mark("2"))
    }

    fn lifted(from: i32, current: i32, payload: &str) -> Result<Value, UpcastError> {
        let raw = upcasters().lift_payload("T", from, current, payload)?;
        Ok(serde_json::from_str(raw.get()).unwrap())
    }

    #[test]
    fn steps_are_taken_in_order_from_the_events_own_version() {
        assert_eq!(upcasters().current("T"), Some(4));
        assert_eq!(lifted(1, 4, "{}").unwrap()["seen"], "123");
        assert_eq!(lifted(2, 4, "{}").unwrap()["seen"], "23");
        assert_eq!(lifted(1, 4, "{}").unwrap()["version"], 4);
    }

    #[test]
    fn a_newer_version_a_missing_step_and_a_refusal_say_so() {
        let error = lifted(5, 4, "{}").unwrap_err().to_string();
        assert!(error.contains("version 5") && error.contains("use a newer program"), "{error}");
        let error = lifted(2, 6, "{}").unwrap_err().to_string();
        assert!(error.contains("from schema version 4 to 5, on the way to 6"), "{error}");
        let error = lifted(1, 4, r#"{"bad": 1}"#).unwrap_err().to_string();
        assert!(error.contains("from schema version 1 failed: a bad payload"), "{error}");
        assert!(matches!(lifted(0, 4, "{}"), Err(UpcastError::Missing { version: 0, .. })));
        assert!(matches!(lifted(1, 4, "[]"), Err(UpcastError::Step { .. })));
    }
}

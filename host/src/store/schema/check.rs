//! Events against schemas.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::store::StoreError;
use crate::store::prepare::PreparedEvent;

/// What the host itself writes into each payload.
const OURS: [&str; 2] = ["type", "version"];
/// Faults of one event that are told, at most.
const FAULTS: usize = 5;
/// Characters of what is told of one fault, at most: it may quote the payload.
const FAULT_LENGTH: usize = 200;

/// Checks payloads against one schema.
pub struct EventChecker {
    validator: Validator,
    /// The fields of the host that the schema knows nothing of.
    left_out: Vec<&'static str>,
}

impl EventChecker {
    /// Understands a JSON Schema. Formats (`date-time`, `uuid`) are checked, patterns run in linear time,
    /// and nothing outside the schema is looked up.
    ///
    /// # Errors
    /// Says what is wrong with the schema.
    pub fn new(schema: &Value) -> Result<Self, String> {
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex())
            .build(schema)
            .map_err(|error| {
                format!(
                    "it is no JSON Schema that can be used: at {}: {error}",
                    place(error.instance_path().as_str())
                )
            })?;
        let reference = schema.get("$ref").and_then(Value::as_str);
        let inner = reference.and_then(|it| it.strip_prefix('#')).and_then(|at| schema.pointer(at));
        let properties = inner.unwrap_or(schema).get("properties");
        let named = |name: &str| properties.is_some_and(|all| all.get(name).is_some());
        Ok(Self { validator, left_out: OURS.into_iter().filter(|name| !named(name)).collect() })
    }

    /// What is wrong with a payload (a JSON object) as the log keeps it. Its fields `type` and `version`
    /// count only where the schema's own `properties` name them.
    ///
    /// # Errors
    /// The first faults, each with its place in the payload.
    pub fn check(&self, payload: &str) -> Result<(), String> {
        let mut data: Value = serde_json::from_str(payload).map_err(|error| error.to_string())?;
        if let Value::Object(fields) = &mut data {
            self.left_out.iter().for_each(|name| drop(fields.remove(*name)));
        }
        if self.validator.is_valid(&data) {
            return Ok(());
        }
        let faults = self.validator.iter_errors(&data).map(|fault| {
            let what = fault.to_string();
            let what = match what.char_indices().nth(FAULT_LENGTH) {
                Some((at, _)) => format!("{}…", &what[..at]),
                None => what,
            };
            format!("{}: {what}", place(fault.instance_path().as_str()))
        });
        Err(faults.take(FAULTS).collect::<Vec<_>>().join("; "))
    }
}

/// A JSON pointer, for people.
fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "/" } else { pointer }
}

/// The schemas that appends are checked against, as last read. Shared by the clones of a store.
#[derive(Default)]
pub(in crate::store) struct Enforced(RwLock<Arc<Known>>);

#[derive(Default)]
struct Known {
    generation: i64,
    checkers: HashMap<String, HashMap<i32, EventChecker>>,
}

impl Enforced {
    /// Checks events; tells with which state of the schemas. `fault` makes the error of the event with
    /// this index.
    pub(in crate::store) fn check(
        &self,
        events: &[PreparedEvent],
        fault: impl Fn(usize, String) -> StoreError,
    ) -> Result<i64, StoreError> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if !known.checkers.is_empty() {
            for (index, event) in events.iter().enumerate() {
                let versions = known.checkers.get(&event.event_type);
                let Some(checker) = versions.and_then(|all| all.get(&event.schema_version)) else {
                    continue;
                };
                checker.check(event.payload.get()).map_err(|faults| {
                    let (of, version) = (&event.event_type, event.schema_version);
                    let reason = format!(
                        "the payload does not fit the schema that is registered for version {version} of \
                         {of}: {faults} (`eventfabric schemas show {of} {version}` has the schema)"
                    );
                    fault(index, reason)
                })?;
            }
        }
        Ok(known.generation)
    }

    /// The state that is known.
    pub(in crate::store) fn generation(&self) -> i64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).generation
    }

    /// Reads them anew; tells whether they have changed.
    pub(in crate::store) async fn refresh(
        &self,
        executor: impl PgExecutor<'_>,
    ) -> Result<bool, StoreError> {
        let rows =
            sqlx::query_file!("src/store/sql/schemas_enforced.sql").fetch_all(executor).await?;
        let mut known = Known::default();
        let mut read = Vec::new();
        let before = self.generation();
        for row in rows {
            known.generation = row.generation;
            if let (Some(of), Some(version), Some(Json(schema))) =
                (row.event_type, row.schema_version, row.schema)
            {
                read.push((of, version, schema));
            }
        }
        if known.generation == before {
            return Ok(false);
        }
        // Some of them take long to be understood.
        let known = tokio::task::spawn_blocking(move || {
            for (of, version, schema) in read {
                let checker =
                    EventChecker::new(&schema).map_err(|reason| StoreError::UnusableSchema {
                        event_type: of.clone(),
                        schema_version: version,
                        reason,
                    })?;
                known.checkers.entry(of).or_default().insert(version, checker);
            }
            Ok::<_, StoreError>(known)
        });
        let known = known.await.map_err(|_| sqlx::Error::WorkerCrashed)??;
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.generation != current.generation {
            *current = Arc::new(known);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn account() -> Value {
        json!({
            "type": "object",
            "properties": {"owner": {"type": "string", "pattern": "^[A-Z]"}, "id": {"type": "string", "format": "uuid"}},
            "required": ["owner"],
            "additionalProperties": false,
        })
    }

    #[test]
    fn what_the_host_writes_into_a_payload_counts_only_where_the_schema_names_it() {
        let checker = EventChecker::new(&account()).unwrap();
        checker.check(r#"{"type": "AccountOpened", "version": 1, "owner": "Ada"}"#).unwrap();
        let mut schema = account();
        schema["properties"]["version"] = json!({"const": 2});
        let referred = json!({"$ref": "#/$defs/It", "$defs": {"It": schema}});
        for schema in [schema, referred] {
            let checker = EventChecker::new(&schema).unwrap();
            let faults = checker.check(r#"{"version": 1, "owner": "Ada"}"#);
            assert!(faults.unwrap_err().contains("/version"));
        }
    }

    #[test]
    fn every_fault_has_its_place() {
        let checker = EventChecker::new(&account()).unwrap();
        let faults = checker.check(r#"{"owner": "ada", "id": "x", "more": 1}"#).unwrap_err();
        for part in ["/owner: ", "/id: ", "more"] {
            assert!(faults.contains(part), "{faults}");
        }
        let long = format!(r#"{{"owner": "{}"}}"#, "ä".repeat(10_000));
        assert!(checker.check(&long).unwrap_err().len() < 1_000);
    }

    #[test]
    fn a_schema_that_is_none_or_needs_the_network_is_refused() {
        let wrong = EventChecker::new(&json!({"type": "strange"})).err().unwrap();
        assert!(wrong.contains("/type"), "{wrong}");
        let far = json!({"$ref": "http://127.0.0.1:9/far.json"});
        assert!(EventChecker::new(&far).err().unwrap().contains("far.json"));
        // A pattern that would need backtracking.
        assert!(EventChecker::new(&json!({"pattern": "(?=a)b"})).is_err());
    }
}

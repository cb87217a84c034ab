//! Scenario files: given these events, expect these rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::requests::{Answered, Expected};
use crate::event::{Event, ExpectedVersion, NewEvent, StreamId};
use crate::store::Append;

/// A scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Scenario {
    /// What it is about.
    #[serde(default)]
    pub text: String,
    /// The settings of the plugin.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// What has happened.
    pub given: Vec<Given>,
    /// What the requests of a reactor are answered, in turn; after that it is the status 200.
    #[serde(default)]
    pub answers: Vec<Answered>,
    /// What must come of it.
    pub expect: Expect,
}

/// An event. Of what is left out, aggregate, id and tenant are those of the event before, and the rest is
/// filled in, each time the same.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Given {
    r#type: String,
    aggregate: Option<String>,
    id: Option<String>,
    tenant: Option<String>,
    /// Of the schema of the data.
    version: Option<i32>,
    /// A line of an import calls it so.
    #[serde(alias = "payload")]
    data: Option<Box<RawValue>>,
    occurred_at: Option<DateTime<Utc>>,
    event_id: Option<Uuid>,
    topic: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
}

/// What must come of the events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Expect {
    /// The rows of tables, in any order. Columns that no row names are not looked at.
    #[serde(default)]
    pub tables: BTreeMap<String, Vec<Row>>,
    /// What queries answer.
    #[serde(default)]
    pub queries: Vec<Asked>,
    /// The one event that fails.
    pub error: Option<Trouble>,
    /// The events that the plugin appends, in the order of the log. It may append to streams of these
    /// aggregates, and of no other.
    pub appended: Option<Vec<Appended>>,
    /// All requests that are sent, in turn.
    pub requests: Option<Vec<Expected>>,
    /// Texts, each of which is in one of the statements that were used.
    #[serde(default)]
    pub statements: Vec<String>,
    /// Texts, each of which is in one of the lines that were logged; a line begins with its level: `warn: …`.
    #[serde(default)]
    pub logs: Vec<String>,
}

/// An event that is appended. Of what is left out, aggregate, id and tenant are those of the one before, and
/// the rest may be anything.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Appended {
    pub r#type: String,
    pub aggregate: Option<String>,
    pub id: Option<String>,
    pub tenant: Option<String>,
    /// Of the schema of the data.
    pub version: Option<i32>,
    #[serde(alias = "payload")]
    pub data: Option<serde_json::Value>,
}

/// A row: values by column.
pub(in crate::cli) type Row = BTreeMap<String, Box<RawValue>>;

/// A query with its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Asked {
    pub sql: String,
    pub rows: Vec<Row>,
    /// In the order in which they are given.
    #[serde(default)]
    pub ordered: bool,
}

/// How an event fails. What is left out may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Trouble {
    /// Which event, from 1.
    pub event: Option<usize>,
    /// `poison`, `retry`, `fatal` or `trap`.
    pub kind: Option<crate::projection::ErrorClass>,
    /// A part of the message.
    pub message: Option<String>,
}

/// The scenario files of a folder, sorted by name.
///
/// # Errors
/// The folder can't be read.
pub(in crate::cli) fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| {
            crate::cli::exit::bad_input(format!("{} cannot be read: {error}", folder.display()))
        })?,
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    Ok(files)
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong in it, and where.
    pub(in crate::cli) fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let mut json = serde_json::Deserializer::from_str(&text);
        let scenario: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let (path, inner) = (error.path().to_string(), error.inner().to_string());
            if path == "." { inner } else { format!("{path}: {inner}") }
        })?;
        json.end().map_err(|error| error.to_string())?;
        Ok(scenario)
    }
}

/// The events as the log would have them.
///
/// # Errors
/// Names the event that can't be.
pub(in crate::cli) fn events(given: &[Given]) -> Result<Vec<Event>, String> {
    // Of what is not given: 2026-01-01, and a second later each.
    let begin = DateTime::<Utc>::from_timestamp(1_767_225_600, 0).unwrap_or_default();
    let mut appends = Vec::with_capacity(given.len());
    let mut stream = StreamId::new("", "");
    for (number, event) in (1..).zip(given) {
        if let Some(tenant) = &event.tenant {
            stream.tenant.clone_from(tenant);
        }
        if let Some(aggregate) = &event.aggregate {
            stream.aggregate.clone_from(aggregate);
        }
        if let Some(id) = &event.id {
            stream.id.clone_from(id);
        }
        if stream.aggregate.is_empty() || stream.id.is_empty() {
            return Err(format!(
                "event {number}: say which stream it belongs to, by `aggregate` and `id`; later events of \
                 the same stream may leave them out"
            ));
        }
        let new = NewEvent {
            id: event.event_id.or(Some(Uuid::from_u128(ID | number))),
            event_type: event.r#type.clone(),
            schema_version: event.version.unwrap_or(1),
            payload: match &event.data {
                Some(data) => data.clone(),
                None => {
                    RawValue::from_string("{}".to_owned()).map_err(|error| error.to_string())?
                }
            },
            occurred_at: Some(
                event.occurred_at.unwrap_or(begin + TimeDelta::seconds(number as i64 - 1)),
            ),
            correlation_id: event.correlation_id.clone(),
            causation_id: event.causation_id.clone(),
            trace: None,
        };
        let append = Append {
            stream: stream.clone(),
            expected: ExpectedVersion::Any,
            topic: event.topic.clone(),
            events: vec![new],
        };
        appends.push(append);
    }
    if appends.is_empty() {
        return Ok(Vec::new());
    }
    Append::in_empty_log(appends).map_err(|error| error.to_string())
}

/// The ids of events that have none of their own: version 7, of the beginning of time, and the number.
const ID: u128 = 0x0000_0000_0000_7000_8000_0000_0000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    fn given(json: &str) -> Result<Vec<Event>, String> {
        events(&serde_json::from_str::<Vec<Given>>(json).unwrap())
    }

    #[test]
    fn what_is_left_out_is_filled_in_and_each_time_the_same() {
        let json = r#"[{"type": "Opened", "aggregate": "Account", "id": "1", "data": {"n": 9007199254740993}},
                       {"type": "Closed", "occurred_at": "2020-01-01T00:00:00Z"},
                       {"type": "Opened", "id": "2", "tenant": "acme"}]"#;
        let events = given(json).unwrap();
        let of = |event: &Event| (event.position, event.stream.to_string(), event.version);
        assert_eq!(of(&events[0]), (1, "Account/1".to_owned(), 1));
        assert_eq!(of(&events[1]), (2, "Account/1".to_owned(), 2));
        assert_eq!(of(&events[2]), (3, "acme:Account/2".to_owned(), 1));
        assert_eq!(
            events[0].payload.get(),
            r#"{"type":"Opened","version":1,"n": 9007199254740993}"#
        );
        assert_eq!(events[1].occurred_at.to_rfc3339(), "2020-01-01T00:00:00+00:00");
        assert_eq!(events[2].occurred_at.to_rfc3339(), "2026-01-01T00:00:02+00:00");
        assert_eq!(events[2].id.to_string(), "00000000-0000-7000-8000-000000000003");
        assert_eq!(format!("{events:?}"), format!("{:?}", given(json).unwrap()));
    }

    #[test]
    fn an_event_without_a_stream_or_with_another_type_in_it_is_named() {
        assert!(
            given(r#"[{"type": "Opened"}]"#).unwrap_err().starts_with("event 1: say which stream")
        );
        let wrong = r#"[{"type": "A", "aggregate": "X", "id": "1", "data": {"type": "B"}}]"#;
        assert!(given(wrong).unwrap_err().contains("own `type` is \"B\""));
    }
}

//! One line of an NDJSON file as an event.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::event::{ExpectedVersion, NewEvent, StreamId};
use crate::store::Append;
use crate::trace::TraceContext;

/// Bytes of a line of `import`: a longer one is refused, so that a file without line ends does not fill the memory.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The namespace of the ids that lines without one get (UUID version 5, RFC 9562).
const NAMESPACE: Uuid = Uuid::from_u128(0x1e0d_0bd2_6b1f_5b5c_9d36_5f3a_6d0c_41aa);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    aggregate: String,
    id: String,
    r#type: String,
    #[serde(default = "one")]
    version: i32,
    payload: Box<RawValue>,
    occurred_at: Option<DateTime<Utc>>,
    event_id: Option<Uuid>,
    tenant: Option<String>,
    topic: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    traceparent: Option<TraceContext>,
}

fn one() -> i32 {
    1
}

/// Reads a line. `source` and `number` make its id, where it has none of its own: so the same line
/// of the same file is the same event whenever it is read.
pub(super) fn parse(
    text: &str,
    source: &str,
    number: u64,
    tenant: &str,
    topics: &std::collections::BTreeMap<String, String>,
) -> Result<Append, String> {
    let line: Line = serde_json::from_str(text).map_err(|error| why(&error))?;
    let id = line.event_id.unwrap_or_else(|| {
        Uuid::new_v5(&NAMESPACE, format!("{source}\n{number}\n{text}").as_bytes())
    });
    let topic = line.topic.or_else(|| topics.get(&line.aggregate).cloned());
    let stream = StreamId::new(line.aggregate, line.id)
        .in_tenant(line.tenant.unwrap_or_else(|| tenant.to_owned()));
    let event = NewEvent {
        id: Some(id),
        event_type: line.r#type,
        schema_version: line.version,
        payload: line.payload,
        occurred_at: line.occurred_at,
        correlation_id: line.correlation_id,
        causation_id: line.causation_id,
        trace: line.traceparent,
    };
    Append::checked(Append { stream, expected: ExpectedVersion::Any, topic, events: vec![event] })
        .map_err(|error| error.to_string())
}

/// What is wrong, without the number of the line, which is always 1 here and another one in the file.
fn why(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    match text.strip_suffix(&place) {
        Some(what) => format!("{what} at column {}", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::DEFAULT_TENANT;

    const LINE: &str =
        r#"{"aggregate":"A","id":"1","type":"Made","payload":{"n":9007199254740993}}"#;

    fn id(text: &str, source: &str, number: u64) -> Uuid {
        parse(text, source, number, DEFAULT_TENANT, &Default::default()).unwrap().events[0]
            .id
            .unwrap()
    }

    #[test]
    fn the_same_line_is_the_same_event() {
        assert_eq!(id(LINE, "f", 1), id(LINE, "f", 1));
        assert_ne!(id(LINE, "f", 1), id(LINE, "f", 2));
        assert_ne!(id(LINE, "f", 1), id(LINE, "g", 1));
        let given = LINE.replace(
            r#""id":"1""#,
            r#""id":"1","event_id":"01890a5d-ac96-774b-bcce-b302099a8057""#,
        );
        assert_eq!(id(&given, "f", 1), id(&given, "g", 2));
    }

    #[test]
    fn numbers_keep_all_their_digits() {
        let append = parse(LINE, "f", 1, DEFAULT_TENANT, &Default::default()).unwrap();
        assert!(append.events[0].payload.get().contains("9007199254740993"));
    }

    #[test]
    fn a_broken_line_says_what_is_wrong() {
        let wrong =
            |text: &str| parse(text, "f", 1, DEFAULT_TENANT, &Default::default()).unwrap_err();
        let cut = wrong(r#"{"aggregate":"A"#);
        assert!(cut.contains("EOF") && cut.contains("column 15") && !cut.contains("line"), "{cut}");
        assert!(wrong(r#"{"aggregate":"A","id":"1","payload":{}}"#).contains("type"));
        assert!(wrong(&LINE.replace("payload", "paylod")).contains("paylod"));
        assert!(wrong(&LINE.replace(r#"{"n":9007199254740993}"#, "[1]")).contains("object"));
        assert!(wrong(&LINE.replace(r#""id":"1""#, r#""id":"""#)).contains("id"));
    }
}

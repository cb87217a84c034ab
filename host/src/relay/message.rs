//! What an event looks like as a message.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::escape::header;
use crate::event::Event;

/// An event as the HTTP API shows it.
#[derive(Serialize)]
struct Body<'a> {
    position: i64,
    event_id: Uuid,
    tenant: &'a str,
    aggregate: &'a str,
    id: &'a str,
    version: i32,
    #[serde(rename = "type")]
    event_type: &'a str,
    schema_version: i32,
    payload: &'a RawValue,
    occurred_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_id: Option<&'a str>,
}

/// The body of a message.
pub(super) fn body(event: &Event) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Body {
        position: event.position,
        event_id: event.id,
        tenant: &event.stream.tenant,
        aggregate: &event.stream.aggregate,
        id: &event.stream.id,
        version: event.version,
        event_type: &event.event_type,
        schema_version: event.schema_version,
        payload: &event.payload,
        occurred_at: event.occurred_at,
        correlation_id: event.correlation_id.as_deref(),
        causation_id: event.causation_id.as_deref(),
    })
}

/// The headers of a message for this stream. The id is what JetStream knows one by that comes again.
pub(super) fn headers(event: &Event, stream: &str) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("Nats-Msg-Id", event.id.to_string()),
        ("Nats-Expected-Stream", stream.to_owned()),
        ("Eventfabric-Position", event.position.to_string()),
        ("Eventfabric-Tenant", header(&event.stream.tenant)),
        ("Eventfabric-Aggregate", header(&event.stream.aggregate)),
        ("Eventfabric-Id", header(&event.stream.id)),
        ("Eventfabric-Version", event.version.to_string()),
        ("Eventfabric-Type", header(&event.event_type)),
        ("Eventfabric-Schema-Version", event.schema_version.to_string()),
        ("Eventfabric-Occurred-At", event.occurred_at.to_rfc3339_opts(SecondsFormat::Micros, true)),
    ];
    for (name, id) in [
        ("Eventfabric-Correlation-Id", &event.correlation_id),
        ("Eventfabric-Causation-Id", &event.causation_id),
    ] {
        headers.extend(id.as_deref().map(|id| (name, header(id))));
    }
    headers
}

/// The bytes that a server counts: those of the headers as they are sent, and those of the body.
pub(super) fn size(headers: &[(&'static str, String)], body: &[u8]) -> usize {
    let lines = headers.iter().map(|(name, value)| name.len() + ": ".len() + value.len() + 2);
    "NATS/1.0\r\n".len() + lines.sum::<usize>() + "\r\n".len() + body.len()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::StreamId;

    pub fn event() -> Event {
        Event {
            position: 7,
            id: Uuid::from_u128(7),
            stream: StreamId::new("Account", "1"),
            version: 3,
            event_type: "Opened".to_owned(),
            schema_version: 2,
            payload: RawValue::from_string(r#"{"n":9007199254740993}"#.to_owned()).unwrap(),
            occurred_at: DateTime::UNIX_EPOCH,
            correlation_id: None,
            causation_id: Some("a\r\nb".to_owned()),
            dismissed_at: None,
            topic: None,
            trace: None,
        }
    }

    #[test]
    fn a_body_keeps_the_payload_as_it_is() {
        let body = String::from_utf8(body(&event()).unwrap()).unwrap();
        assert!(body.contains(r#""payload":{"n":9007199254740993},"#), "{body}");
        assert!(!body.contains("correlation_id"), "{body}");
    }

    #[test]
    fn a_header_is_one_line() {
        let headers = headers(&event(), "EVENTS");
        assert!(headers.contains(&("Eventfabric-Causation-Id", "a%0D%0Ab".to_owned())));
        assert!(headers.iter().all(|(_, value)| value.bytes().all(|byte| byte.is_ascii_graphic())));
    }
}
